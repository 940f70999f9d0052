"""Levels to the nano-dollar, rates over the whole period, periods over changes of the clocks."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.alerts.levels import SEEN, gone_ms, reached, start_ms
from proxy.policy.model import Period
from proxy.policy.spending import Level
from tests.alerts.samples import DAY_MS, DOLLAR, THRESHOLDS

LENGTH_MS = DAY_MS
AMOUNTS = st.integers(1, 2**53)


def levels(spent: int, capacity: int) -> list[int]:
    return [threshold for threshold, _ in reached(spent, capacity, THRESHOLDS)]


@pytest.mark.parametrize("capacity", [200 * DOLLAR, 2**53, 100])
@pytest.mark.parametrize("threshold", [80, 95, 100])
def test_a_level_is_reached_at_its_threshold_and_not_a_nano_dollar_before(capacity: int, threshold: int) -> None:
    at = -(-capacity * threshold // 100)
    assert threshold in levels(at, capacity)
    assert threshold not in levels(at - 1, capacity)


def test_one_step_may_reach_several() -> None:
    assert reached(96, 100, THRESHOLDS) == [(80, Level.WARNING), (95, Level.CRITICAL)]
    assert levels(10**6, 100) == [80, 95, 100]


@pytest.mark.parametrize(("spent", "found"), [(0, []), (-5, []), (1, [80, 95, 100])])
def test_of_a_budget_of_nothing_the_first_nano_dollar_is_all(spent: int, found: list[int]) -> None:
    assert levels(spent, 0) == found


def gone(spent: int, capacity: int, elapsed_ms: int) -> int | None:
    return gone_ms(spent, capacity, 0, LENGTH_MS, elapsed_ms)


def test_half_spent_at_a_third_of_the_day_is_gone_at_two_thirds() -> None:
    assert gone(50, 100, LENGTH_MS // 3) == LENGTH_MS * 2 // 3


def test_a_rate_needs_to_be_seen() -> None:
    """A busy minute after midnight says nothing of a day."""
    assert gone(50, 100, LENGTH_MS // SEEN) == LENGTH_MS // SEEN * 2
    assert gone(50, 100, LENGTH_MS // SEEN - 1) is None


def test_what_fits_its_period_or_nearly_is_nobodys_news() -> None:
    half = LENGTH_MS // 2
    assert gone(55, 100, half) is not None  # 110 by the end
    assert gone(54, 100, half) is None


@pytest.mark.parametrize(("spent", "capacity", "elapsed_ms"), [
    (100, 100, LENGTH_MS // 2), (101, 100, LENGTH_MS // 2), (0, 100, LENGTH_MS // 2), (9, 0, LENGTH_MS // 2),
    (99, 100, LENGTH_MS), (99, 100, LENGTH_MS + 5), (99, 100, 0), (99, 100, -5),
])  # fmt: skip
def test_what_is_gone_or_over_has_no_forecast(spent: int, capacity: int, elapsed_ms: int) -> None:
    assert gone(spent, capacity, elapsed_ms) is None


@given(AMOUNTS, AMOUNTS, st.integers(0, LENGTH_MS))
def test_a_forecast_lies_ahead_and_within_the_period(spent: int, capacity: int, elapsed_ms: int) -> None:
    """At the same rate, exactly as much as is left is spent until then."""
    found = gone(spent, capacity, elapsed_ms)
    if found is not None:
        assert elapsed_ms <= found < LENGTH_MS
        assert spent * found <= capacity * elapsed_ms < spent * (found + 1)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(("period", "zone", "start", "end"), [
    (Period.HOUR, "UTC", "2026-11-18T13:00", "2026-11-18T14:00"),
    (Period.DAY, "UTC", "2026-11-18T00:00", "2026-11-19T00:00"),
    (Period.DAY, "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
    (Period.DAY, "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23
    (Period.WEEK, "UTC", "2026-11-16T00:00", "2026-11-23T00:00"),
    (Period.MONTH, "Asia/Tokyo", "2026-10-31T15:00", "2026-11-30T15:00"),
    (Period.MONTH, "UTC", "2026-12-01T00:00", "2027-01-01T00:00"),
])  # fmt: skip
def test_a_period_began_where_its_calendar_says(period: Period, zone: str, start: str, end: str) -> None:
    assert start_ms(ms(end), period, zone) == ms(start)
