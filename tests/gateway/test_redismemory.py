"""What a Redis uses of its memory is told; one that does not answer is not made up."""

import asyncio

from proxy.gateway.redismemory import figures, stores_of, watch_memory
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.gateway import reached
from tests.gateway.lives import POLICY
from tests.store.servers import BINARIES, server


def test_figures_are_the_whole_numbers_of_the_reply() -> None:
    info = b"# Memory\r\nused_memory:1234\r\nused_memory_human:1.20K\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
    assert figures(info) == {b"used_memory": 1234, b"maxmemory": 0}


def test_the_caches_redis_is_asked_where_it_is_another() -> None:
    assert stores_of(POLICY, "unix:///meters.sock") == {"meters": "unix:///meters.sock"}


async def test_what_is_used_and_what_may_be() -> None:
    """And a Redis that is away has no figures, and keeps those of others from nobody."""
    files = SheetFiles.make()
    metrics, reader = Metrics(Sheet(files)), SheetReader(files)
    with server(next(iter(BINARIES.values())), "--maxmemory", "64mb") as redis:
        looking = asyncio.create_task(watch_memory([("away", "redis://127.0.0.1:1/0"), ("meters", redis.url)], metrics))
        await reached(lambda: ("sluicegate_redis_memory_max_bytes", ("meters",)) in dict(reader.series()))
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    found = dict(reader.series())
    assert found["sluicegate_redis_memory_max_bytes", ("meters",)] == 64 << 20
    assert 100_000 < found["sluicegate_redis_memory_bytes", ("meters",)] < 64 << 20
    assert ("sluicegate_redis_memory_bytes", ("away",)) not in found
