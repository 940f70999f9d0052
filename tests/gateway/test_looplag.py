"""A loop that is held up tells by how much."""

import asyncio
import time

from proxy.gateway.looplag import LOOK_S, tell_lag
from proxy.telemetry.metrics import LOOP_LAG, SUM, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.gateway import reached


async def test_a_loop_that_is_held_up_tells_by_how_much() -> None:
    """And one that is not tells that as well."""
    files = SheetFiles.make()
    telling = asyncio.create_task(tell_lag(Metrics(Sheet(files))))
    reader = SheetReader(files)

    def sum_s() -> float:
        return dict(reader.series()).get((LOOP_LAG.name + SUM, ()), -1.0)

    await reached(lambda: sum_s() >= 0)
    assert sum_s() < 0.2
    time.sleep(LOOK_S + 0.3)  # noqa: ASYNC251 - it is what the test is about
    await reached(lambda: sum_s() >= 0.25)
    telling.cancel()
