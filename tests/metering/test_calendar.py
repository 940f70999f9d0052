"""Calendar periods, whatever the clocks do."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.calendar import period_edges
from proxy.policy.model import Period

HOUR_MS = 3_600_000
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe",
    "Pacific/Apia", "Africa/Casablanca", "Asia/Beirut", "America/Santiago",
)  # fmt: skip


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.integers(ms("1995-01-01"), ms("2045-01-01")), st.sampled_from(list(Period)), st.sampled_from(ZONES))
def test_a_period_holds_its_moment_and_ends_where_the_next_begins(now_ms: int, period: Period, zone: str) -> None:
    start, following, after = period_edges(now_ms, period, zone)
    assert start <= now_ms < following < after
    assert period_edges(start, period, zone)[0] == start
    assert period_edges(following - 1, period, zone)[:2] == (start, following)
    if period is not Period.HOUR:
        assert period_edges(following, period, zone)[:2] == (following, after)
        begins = datetime.fromtimestamp(start / 1000, UTC).astimezone(ZoneInfo(zone))
        assert begins.hour <= 1, "midnight, or when the clocks left it out"


@pytest.mark.parametrize(
    ("now", "period", "zone", "start", "following"),
    [
        ("2026-11-23T10:30", Period.HOUR, "Asia/Kolkata", "2026-11-23T10:00", "2026-11-23T11:00"),
        ("2026-11-23T10:30", Period.DAY, "UTC", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("2026-11-22T23:30", Period.WEEK, "UTC", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("2024-02-29T12:00", Period.MONTH, "UTC", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("2026-12-31T23:59", Period.MONTH, "America/New_York", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-03-29T12:00", Period.DAY, "Europe/Berlin", "2026-03-29T00:00", "2026-03-30T00:00"),
    ],
)
def test_known_periods(now: str, period: Period, zone: str, start: str, following: str) -> None:
    assert period_edges(ms(now, zone), period, zone)[:2] == (ms(start, zone), ms(following, zone))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-23", 24)])
def test_a_day_is_as_long_as_the_clocks_make_it(day: str, hours: int) -> None:
    start, following, _ = period_edges(ms(f"{day}T12:00", "Europe/Berlin"), Period.DAY, "Europe/Berlin")
    assert following - start == hours * HOUR_MS


def test_a_midnight_that_is_left_out_is_when_the_clocks_change() -> None:
    """São Paulo went from 23:59:59 on 3 November 2018 to 01:00."""
    start, _, _ = period_edges(ms("2018-11-04T12:00", "America/Sao_Paulo"), Period.DAY, "America/Sao_Paulo")
    assert start == ms("2018-11-04T03:00")
