"""What a store can answer instead of a reply."""

import pytest

from proxy.store.errors import Away, StoreAway


@pytest.mark.parametrize("reason", list(Away), ids=str)
def test_an_absence_says_why_in_the_metrics_words(reason: Away) -> None:
    """The reason is a label: one lower-case word."""
    assert str(StoreAway(reason)) == reason.value
    assert reason.value.isalpha()
    assert reason.value.islower()


def test_a_detail_follows_the_reason() -> None:
    away = StoreAway(Away.TIMEOUT, "no answer from redis://host:6379")
    assert str(away) == "timeout: no answer from redis://host:6379"
    assert away.reason is Away.TIMEOUT
