"""Points in time as ops write them."""

from datetime import UTC, datetime

import pytest

from proxy.admin.moments import ahead_ms, back_ms, shown

NOW_MS = 1_795_000_000_000  # 2026-11-18T11:06:40Z, a Wednesday
HOUR_MS = 3_600_000


def utc(month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(2026, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW_MS - 30 * 24 * HOUR_MS),
        ("90s", NOW_MS - 90_000),
        ("2026-11-01", utc(11, 1)),
        ("2026-11-01T12:30", utc(11, 1, 12, 30)),
        ("2026-11-01T12:30:00+02:00", utc(11, 1, 10, 30)),
    ],
)
def test_a_report_begins_so_long_ago_or_at_a_day_of_utc(text: str, expected: int) -> None:
    assert back_ms(text, NOW_MS) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("eod", "UTC", utc(11, 19)),
        ("eow", "UTC", utc(11, 23)),
        ("eom", "UTC", utc(12, 1)),
        ("eod", "Pacific/Auckland", utc(11, 19, 11)),
        ("2026-12-01", "Europe/Zurich", utc(11, 30, 23)),
        ("2026-12-01T18:00", "Europe/Zurich", utc(12, 1, 17)),
        ("2026-12-01T18:00Z", "Europe/Zurich", utc(12, 1, 18)),
        ("3d", "Europe/Zurich", NOW_MS + 72 * HOUR_MS),
    ],
)
def test_a_grant_ends_in_the_budgets_own_zone(text: str, zone: str, expected: int) -> None:
    assert ahead_ms(text, NOW_MS, zone) == expected


@pytest.mark.parametrize("text", ["", "soon", "30", "2026-13-01", "eoy", "-1d", "9999-99-99", "0001-01-01x"])
def test_what_is_neither_says_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        back_ms(text, NOW_MS)
    with pytest.raises(ValueError, match="such as"):
        ahead_ms(text, NOW_MS, "UTC")


def test_what_is_shown_reads_back() -> None:
    assert shown(NOW_MS) == "2026-11-18T11:06:40Z"
    assert back_ms(shown(NOW_MS), 0) == NOW_MS
