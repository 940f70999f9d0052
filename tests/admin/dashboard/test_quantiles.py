"""Quantiles as Prometheus estimates them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.dashboard.quantiles import in_ms, quantile

BUCKETS = (0.1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("share", "counts", "told"),
    [
        (0.5, {}, None),
        (0.5, {"0.1": 10.0}, 0.05),  # spread evenly
        (0.5, {"0.1": 5.0, "0.5": 5.0}, 0.1),
        (0.75, {"0.1": 5.0, "0.5": 5.0}, 0.3),
        (0.99, {"0.1": 1.0, "inf": 99.0}, 1.0),  # beyond what is told apart
        (1.0, {"1.0": 3.0}, 1.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(share: float, counts: dict[str, float], told: float | None) -> None:
    assert quantile(share, BUCKETS, counts) == (None if told is None else pytest.approx(told))


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_is_never_quicker(numbers: list[int], one: float, other: float) -> None:
    counts = dict(zip(("0.1", "0.5", "1.0", "inf"), map(float, numbers), strict=True))
    low, high = (quantile(share, BUCKETS, counts) for share in sorted((one, other)))
    assert (low is None) == (not sum(numbers))
    assert low is None or high is None or 0 <= low <= high <= 1.0


def test_milliseconds_have_the_digits_that_are_known() -> None:
    assert [in_ms(value) for value in (None, 0.000_123_4, 0.005_678, 0.123_456)] == [None, 0.12, 5.68, 123.5]
