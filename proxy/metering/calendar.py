"""Where calendar periods begin and end, daylight saving included. Pure: callers pass now_ms.

An hour begins at a full hour of local time, a week on Monday (ISO 8601). Where a change of the clocks leaves out a
midnight, the day begins when the clocks change; where it repeats one, at the first.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from proxy.policy.model import Period

HOUR_MS: Final = 3_600_000


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _first(day: date, period: Period) -> date:
    if period is Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period is Period.MONTH else day


def _after(first: date, period: Period) -> date:
    if period is Period.MONTH:
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if period is Period.WEEK else 1)


def period_edges(now_ms: int, period: Period, time_zone: str) -> tuple[int, int, int]:
    """Epoch milliseconds at which this period, the next and the one after begin: start ≤ now_ms < next < after.

    Raises: zoneinfo.ZoneInfoNotFoundError.
    """
    zone = ZoneInfo(time_zone)
    local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
    if period is Period.HOUR:
        offset_ms = round((local.utcoffset() or timedelta()).total_seconds() * 1000)
        start = (now_ms + offset_ms) // HOUR_MS * HOUR_MS - offset_ms
        return start, start + HOUR_MS, start + 2 * HOUR_MS
    first = _first(local.date(), period)
    second = _after(first, period)
    third = _after(second, period)
    # A zone that skipped a day (Apia, 30 December 2011) has two midnights at one instant: the empty day has no period.
    edges = sorted({_midnight_ms(day, zone) for day in (first, second, third, _after(third, period))})
    return edges[0], edges[1], edges[2]
