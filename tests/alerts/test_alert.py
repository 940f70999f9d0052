"""An alert is the same wherever it is found, and says amounts to the nano-dollar."""

import json
from dataclasses import replace

import pytest

from proxy.alerts.alert import Alert, Cause, Firing, Mark, decimal, percent, timestamp
from proxy.policy.spending import Level

MARK = Mark("tenant tenant:acme", "2026-11", 200 * 10**9, 80)
ALERT = Alert(
    mark=MARK, cause=Cause.THRESHOLD, level=Level.WARNING, message="80%", current=160 * 10**9 + 1, limit=200 * 10**9,
    budget="tenant", scope="tenant:acme", period="2026-11", tenant="acme", user=None, at_ms=1_795_003_200_999,
    resets_ms=1_796_083_200_000,
)  # fmt: skip


def test_an_id_is_its_marks_and_nothing_elses() -> None:
    """Pinned: receivers know repetitions by it, also those of the gateway's next version."""
    assert (
        MARK.id == Mark("tenant tenant:acme", "2026-11", 200 * 10**9, 80).id == "alert-0112cfaf7d5a09acf50c3ed6fea0ffee"
    )
    others = [
        replace(MARK, meter="x"),
        replace(MARK, period="x"),
        replace(MARK, capacity=1),
        replace(MARK, threshold=95),
    ]
    assert len({MARK.id, *(mark.id for mark in others)}) == 5


def test_no_two_marks_run_together() -> None:
    assert Mark("a", "b c", 1, 2).id != Mark("a b", "c", 1, 2).id
    assert Mark("a", "b", 11, 2).id != Mark("a", "b", 1, 12).id


def test_a_payload_is_what_receivers_read() -> None:
    assert json.loads(ALERT.payload()) == {
        "id": MARK.id,
        "type": "cost_alert",
        "cause": "threshold",
        "level": "warning",
        "message": "80%",
        "current": "160.000000001",
        "limit": "200.00",
        "percent": 80.0,
        "budget": "tenant",
        "scope": "tenant:acme",
        "period": "2026-11",
        "resets_at": "2026-12-01T00:00:00Z",
        "expected_at": None,
        "tenant": "acme",
        "user": None,
        "at": "2026-11-18T12:00:00Z",
    }


def test_whatever_a_caller_is_called_can_be_sent() -> None:
    assert json.loads(replace(ALERT, tenant="half \ud83d", user="ü").payload())["tenant"] == "half ?"


def test_a_firing_carries_its_mark() -> None:
    firing = Firing(ALERT, (("ops", ""),))
    assert (firing.id, firing.payload) == (MARK.id, ALERT.payload())
    assert Mark(firing.meter, firing.period, firing.capacity, firing.threshold) == MARK


@pytest.mark.parametrize(
    ("nanousd", "text"), [(1, "0.000000001"), (160 * 10**9, "160.00"), (2**53 - 1, "9007199.254740991")]
)
def test_dollars_are_exact_and_plain(nanousd: int, text: str) -> None:
    assert decimal(nanousd) == text


@pytest.mark.parametrize(
    ("current", "limit", "shown"),
    [(999, 1000, 99.9), (9999, 10_000, 99.9), (10, 10, 100.0), (3, 2, 150.0), (0, 0, 100.0)],
)
def test_a_percentage_is_never_rounded_up(current: int, limit: int, shown: float) -> None:
    assert percent(current, limit) == shown


def test_an_instant_is_rfc_3339() -> None:
    assert timestamp(1_795_003_200_999) == "2026-11-18T12:00:00Z"


def test_an_alert_that_is_not_of_money_has_a_route_and_no_amounts() -> None:
    told = json.loads(replace(ALERT, cause=Cause.ISOLATION, route="reports").payload())
    assert (told["type"], told["cause"], told["route"]) == ("isolation_alert", "isolation", "reports")
    assert (told["current"], told["limit"], told["percent"]) == (None, None, None)
