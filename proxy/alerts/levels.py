"""Which levels of a budget are reached, and what is to be expected of its rate. Pure: integers throughout, no rounding.

Levels are looked at, not crossings: a level at or over its threshold is reached however it came there, and looking
again finds the same. What fires once is the mark's business.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from proxy.policy.model import Period
from proxy.policy.spending import Level

# A forecast needs to have seen an eighth of the period (three hours of a day), and something to say: that the budget
# would be passed by a tenth. One that fits its period exactly would otherwise be announced as gone every other day.
SEEN: Final = 8
_MARGIN: Final = (11, 10)


def reached(spent: int, capacity: int, thresholds: Iterable[tuple[int, Level]]) -> list[tuple[int, Level]]:
    """Those of ``thresholds`` (percent) that ``spent`` is at or over. Where nothing was spent nothing is reached."""
    return [(percent, level) for percent, level in thresholds if spent > 0 and spent * 100 >= capacity * percent]


def gone_ms(spent: int, capacity: int, start_ms: int, end_ms: int, now_ms: int) -> int | None:
    """When ``capacity`` is used up, if the period goes on as it has gone so far; None where nothing is to be said.

    The whole period's rate and not the last hour's: a budget of a day sees a quiet night and a busy noon, and what
    matters is what they come to together. Sudden rises are what ``Unusual`` is for.
    """
    elapsed, length = now_ms - start_ms, end_ms - start_ms
    if not 0 < elapsed < length or elapsed * SEEN < length or not 0 < spent < capacity:
        return None
    over, under = _MARGIN
    if spent * length * under < capacity * elapsed * over:
        return None
    return start_ms + elapsed * capacity // spent


def start_ms(end_ms: int, period: Period, time_zone: str) -> int:
    """When the period began that ends at ``end_ms``. Raises: zoneinfo.ZoneInfoNotFoundError."""
    if period is Period.HOUR:
        return end_ms - 3_600_000
    zone = ZoneInfo(time_zone)
    last = datetime.fromtimestamp(end_ms / 1000 - 1, UTC).astimezone(zone).date()
    first = _first(last, period)
    return round(datetime(first.year, first.month, first.day, tzinfo=zone).timestamp() * 1000)


def _first(day: date, period: Period) -> date:
    if period is Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period is Period.MONTH else day
