"""Points in time as ops write them: ``30d`` back or on, ``2026-12-01``, ``2026-12-01T18:00``, ``eod``. Pure."""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from proxy.core.units import UnitError, parse_duration_ms
from proxy.metering.calendar import period_edges
from proxy.policy.model import Period

ENDS: Final = {"eod": Period.DAY, "eow": Period.WEEK, "eom": Period.MONTH}
"""Words for the end of the period that now is in."""


def back_ms(text: str, now_ms: int) -> int:
    """Epoch ms: so long ago, or a date; without a zone it is UTC's, as reports count days. Raises: ValueError."""
    try:
        return now_ms - parse_duration_ms(text)
    except UnitError:
        found = _written_ms(text, UTC)
    if found is None:
        raise ValueError(f"{text!r} is neither a time back, such as 30d, nor a date, such as 2026-11-01")
    return found


def ahead_ms(text: str, now_ms: int, time_zone: str) -> int:
    """Epoch ms: in so long, a date, or a word of ENDS; each in this zone, unless it names one. Raises: ValueError."""
    if text in ENDS:
        return period_edges(now_ms, ENDS[text], time_zone)[1]
    try:
        return now_ms + parse_duration_ms(text)
    except UnitError:
        found = _written_ms(text, ZoneInfo(time_zone))
    if found is None:
        raise ValueError(f"{text!r} is none of {', '.join(ENDS)}, a time such as 3d, or a date such as 2026-12-01")
    return found


def shown(at_ms: int) -> str:
    """In UTC, to the second (RFC 3339)."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precisely(at_ms: int) -> str:
    """In UTC, to the millisecond (RFC 3339)."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written_ms(text: str, zone: tzinfo) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        local = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return round(local.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
