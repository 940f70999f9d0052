"""Rates, shares and moments in the words of a policy and of its readers. Pure."""

from datetime import UTC, datetime
from typing import Final

from proxy.core.units import NANOS, format_duration
from proxy.policy.model import MILLI, Rate
from proxy.policy.words import WrittenRate

_LONG: Final = 10_000  # from here on digits are grouped


def written_rate(rate: Rate) -> WrittenRate:
    """A compiled rate as it was read."""
    return WrittenRate(rate.capacity // MILLI, rate.window_ms, rate.period)


def rate_text(rate: WrittenRate) -> str:
    """As a policy writes it: ``600/1m``, ``100_000/day``, ``5``."""
    number = f"{rate.count:_}" if rate.count >= _LONG else str(rate.count)
    if rate.period is not None:
        return f"{number}/{rate.period.value}"
    return f"{number}/{format_duration(rate.window_ms)}" if rate.window_ms else number


def burst_rate_text(rate: Rate) -> str:
    """A compiled rate, with what a smooth one lets through at once: ``60/1m, 3 at once``."""
    burst = f", {rate.burst // MILLI} at once" if rate.burst else ""
    return rate_text(written_rate(rate)) + burst


def share_text(part: int, whole: int) -> str:
    """Percent, with as many digits as say something: ``12.3%``, ``0.04%``."""
    if not part or not whole:
        return "0%"
    percent = 100 * part / whole
    return f"{percent:.1f}%" if percent >= 1 else f"{percent:.2g}%" if percent >= 1e-4 else "<0.0001%"


def usd_text(nanousd: int) -> str:
    """Dollars as people read them: two decimals, four below a dime."""
    usd = nanousd / NANOS
    return f"${usd:,.2f}" if usd >= 0.1 or not usd else f"${usd:,.4f}"


def moment_text(ms: int) -> str:
    """Epoch milliseconds as ``2026-11-23 12:00:00``, UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
