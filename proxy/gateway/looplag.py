"""How late a worker's loop is: what runs too long in it holds up every request of that worker."""

import asyncio
from typing import Final

from proxy.telemetry.metrics import LOOP_LAG, Metrics

LOOK_S: Final = 0.5


async def tell_lag(metrics: Metrics) -> None:
    """Sleeps and tells by how much it overslept, until it is cancelled."""
    loop, lag = asyncio.get_running_loop(), metrics.histogram(LOOP_LAG)
    while True:
        due_s = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        lag.observe(max(0.0, loop.time() - due_s))
