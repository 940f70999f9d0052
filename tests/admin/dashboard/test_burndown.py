"""What is left of a budget, and where it leads."""

from dataclasses import replace

import pytest

from proxy.admin.dashboard.burndown import SLICES, Burning, Forecast, burndown, forecast
from proxy.core.units import NANOS

DAY = 86_400_000
HALF = Burning(start_ms=0, end_ms=DAY, now_ms=DAY // 2, amount=100 * NANOS, settled=30 * NANOS, held=5 * NANOS)


def test_what_is_left_falls_slice_by_slice_to_what_it_is_now() -> None:
    """The counters know more than the rows: the last point is theirs."""
    chart = burndown(HALF, {0: 10 * NANOS, 2: 15 * NANOS})
    slice_ms = DAY // SLICES
    assert chart["points"] == [[0, 100], [slice_ms, 90], [2 * slice_ms, 90], [3 * slice_ms, 75], [DAY // 2, 70]]
    assert (chart["amount_usd"], chart["settled_usd"], chart["held_usd"], chart["left_usd"]) == (100, 30, 5, 65)


def test_nothing_is_drawn_beyond_now() -> None:
    """Clocks of gateways differ by a little."""
    chart = burndown(HALF, {SLICES - 1: 15 * NANOS})
    assert max(at_ms for at_ms, _ in chart["points"]) == HALF.now_ms


def test_a_budget_that_was_not_touched_is_a_line() -> None:
    chart = burndown(replace(HALF, settled=0, held=0), {})
    assert chart["points"] == [[0, 100], [DAY // 2, 100]]
    assert chart["forecast"] is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, Forecast(None, 40 * NANOS)),  # 60 by the end
        ({"settled": 50 * NANOS}, Forecast(None, 0)),
        ({"settled": 80 * NANOS}, Forecast(DAY * 5 // 8, 0)),
        ({"settled": 120 * NANOS}, Forecast(DAY // 2, 0)),  # gone already
        ({"now_ms": DAY // 8 - 1}, None),  # too early
        ({"now_ms": DAY // 8}, Forecast(DAY // 8 * 100 // 30, 0)),
        ({"settled": 0}, None),
        ({"now_ms": DAY}, None),
    ],
)
def test_the_pace_is_that_of_the_period_so_far(changes: dict[str, int], told: Forecast | None) -> None:
    assert forecast(replace(HALF, **changes)) == told
