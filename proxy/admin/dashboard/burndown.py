"""What is left of a budget over its period, as a chart shows it, and where it leads at the pace so far. Pure.

The pace is that of the whole period, as for the alerts' forecast (``alerts.levels``), and it is told from the same
share of the period on: a budget of a day sees a quiet night and a busy noon.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.alerts.levels import SEEN
from proxy.core.units import NANOS

SLICES: Final = 96  # of a period: a quarter of an hour of a day, about eight hours of a month


@dataclass(frozen=True, slots=True)
class Burning:
    """Of one budget in its period; epoch milliseconds and nano-dollars. ``amount``: grants included; ``settled`` and
    ``held`` are now's, and know of what the slices do not have yet."""

    start_ms: int
    end_ms: int
    now_ms: int
    amount: int
    settled: int
    held: int

    @property
    def left(self) -> int:
        return self.amount - self.settled - self.held

    @property
    def slice_ms(self) -> int:
        return -(-(self.end_ms - self.start_ms) // SLICES)


@dataclass(frozen=True, slots=True)
class Forecast:
    """``gone_ms``: when nothing is left, None: not before the period's end; ``left``: at its end, or 0."""

    gone_ms: int | None
    left: int


def forecast(burning: Burning) -> Forecast | None:
    """None: too early, or nothing was spent."""
    elapsed, length = burning.now_ms - burning.start_ms, burning.end_ms - burning.start_ms
    spent = burning.settled
    if not 0 < elapsed < length or elapsed * SEEN < length or spent <= 0:
        return None
    at_end = spent * length // elapsed
    if at_end <= burning.amount:
        return Forecast(None, burning.amount - at_end)
    return Forecast(max(burning.now_ms, burning.start_ms + elapsed * burning.amount // spent), 0)


def burndown(burning: Burning, slices: Mapping[int, int]) -> dict[str, Any]:
    """JSON's map: dollars as numbers, for drawing. ``points``: [epoch ms, what was left], to now's at the end."""
    points, left = [[burning.start_ms, burning.amount / NANOS]], burning.amount
    for number in range(max(slices, default=-1) + 1):
        at_ms = burning.start_ms + (number + 1) * burning.slice_ms
        if at_ms >= burning.now_ms:
            break
        left -= slices.get(number, 0)
        points.append([at_ms, left / NANOS])
    points.append([burning.now_ms, (burning.amount - burning.settled) / NANOS])
    expected = forecast(burning)
    return {
        "start_ms": burning.start_ms,
        "end_ms": burning.end_ms,
        "now_ms": burning.now_ms,
        "amount_usd": burning.amount / NANOS,
        "settled_usd": burning.settled / NANOS,
        "held_usd": burning.held / NANOS,
        "left_usd": burning.left / NANOS,
        "points": points,
        "forecast": None if expected is None else {"gone_ms": expected.gone_ms, "left_usd": expected.left / NANOS},
    }
