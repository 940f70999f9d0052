"""From all counts to those that the dashboard shows."""

import pytest

from proxy.admin.dashboard.figures import DECLINED, Ended, Figures, by, ended, figures, of, since
from proxy.core.errors import Reason
from proxy.telemetry.metrics import CACHE_REQUESTS, CONNECTIONS, DURATION, REQUESTS, UPSTREAM_FAILURES


@pytest.mark.parametrize(
    ("status", "outcome", "told"),
    [
        ("200", "forwarded", Ended.SERVED),
        ("404", "forwarded", Ended.SERVED),
        ("500", "forwarded", Ended.ERRORED),  # the app's own
        ("429", "refused", Ended.REFUSED),
        ("502", "failed", Ended.FAILED),
        ("200", "cut", Ended.FAILED),
        ("200", "cached", Ended.SERVED),
        ("499", "client_gone", Ended.SERVED),
    ],
)
def test_how_a_request_ended(status: str, outcome: str, told: Ended) -> None:
    assert ended(status, outcome) is told


def test_what_is_not_shown_is_summed_over_or_left_out() -> None:
    """Tiers, statuses and why something was no hit; gauges, which cannot be subtracted."""
    totals = {
        (REQUESTS.name, ("app", "gold", "200", "forwarded")): 3.0,
        (REQUESTS.name, ("app", "trial", "404", "forwarded")): 2.0,
        (REQUESTS.name, ("app", "trial", "429", "refused")): 1.0,
        (CACHE_REQUESTS.name, ("app", "gold", "miss", "uri-miss")): 4.0,
        (CACHE_REQUESTS.name, ("app", "gold", "miss", "stale")): 1.0,
        (DURATION.name, ("app", "0.001")): 6.0,
        (UPSTREAM_FAILURES.name, ("origin", "upstream_reset")): 2.0,
        (CONNECTIONS.name, ()): 9.0,
    }
    assert figures(totals) == {
        ("ended", "app", "served"): 5.0,
        ("ended", "app", "refused"): 1.0,
        ("cache", "app", "miss"): 5.0,
        ("took", "app", "0.001"): 6.0,
        ("unanswered", "origin"): 2.0,
    }


def test_between_two_looks_only_what_grew_is_told() -> None:
    """Nor anything below zero: a worker may die while it is read."""
    before = {("spend", "openai"): 1.0, ("cache", "a", "hit"): 5.0, ("redis", "0.1"): 7.0}
    now = {("spend", "openai"): 1.5, ("cache", "a", "hit"): 5.0, ("redis", "0.1"): 6.0, ("retried", "b"): 2.0}
    assert since(now, before) == {("spend", "openai"): 0.5, ("retried", "b"): 2.0}


def test_figures_are_summed_by_a_part_of_their_key() -> None:
    counted: Figures = {("ended", "a", "served"): 1.0, ("ended", "b", "served"): 2.0, ("took", "a", "0.1"): 4.0}
    assert by(counted, "ended") == {"a": 1.0, "b": 2.0}
    assert by(counted, "ended", 2) == {"served": 3.0}
    assert of(counted, "ended", ["b", "c"]) == {"b": {"served": 2.0}, "c": {}}


def test_what_clients_and_ops_bring_about_is_declined() -> None:
    assert {Reason.MAINTENANCE, Reason.UPGRADE_UNSUPPORTED, Reason.LOOP} <= DECLINED
    assert not {Reason.INTERNAL, Reason.UPSTREAM_TIMEOUT, Reason.STORE_AWAY, Reason.QUOTA_EXCEEDED} & DECLINED
