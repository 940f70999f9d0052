"""A hit that comes again byte for byte is answered without being parsed, and nobody can tell by its answer."""

import asyncio
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.gateway.recall import Recall
from proxy.policy.caching import CacheScope, Caching
from tests.e2e.gateway import Client, bearer, get, once, reached, running, stranger
from tests.e2e.origin import Exchange
from tests.e2e.policies import policy

ROUTES = """
limits: {few: {scope: user, rate: 5/1h}, many: {scope: tenant, rate: 1000/1h}}
routes:
  - {name: free, match: {path: "/free/**"}, upstream: app, cache: {ttl: 1h, hits_pay: false}, limits: [few]}
  - {name: pays, match: {path: "/pays/**"}, upstream: app, cache: {ttl: 1h}, limits: [many]}
  - {name: few, match: {path: "/few/**"}, upstream: app, cache: {ttl: 1h}, limits: [few]}
  - {name: short, match: {path: "/short/**"}, upstream: app, cache: {ttl: 1s, early_refresh: false}}
  - {name: any, match: {path: "/**"}, upstream: app}
"""
VOLATILE = {"age", "x-request-id", "ratelimit", "date", "cache-status"}


@pytest.fixture(scope="module")
def gateway(origin):
    with running(policy(origin.port, ROUTES, workers=1)) as gateway:
        yield gateway


def recalled(answer):
    """Whether it was answered without being parsed: such requests are numbered apart."""
    return "r" in answer.get("X-Request-ID")


def lasting(answer):
    return answer.status, answer.body, sorted(each for each in answer.headers if each[0].lower() not in VOLATILE)


def line_of(gateway, answer):
    return next((line for line in gateway.requests if line["id"] == answer.get("X-Request-ID")), None)


async def answers(gateway, request, count):
    async with await Client.connect(gateway) as client:
        out = []
        for _ in range(count):
            await client.send(request)
            out.append(await client.answer())
        return out


@pytest.mark.parametrize("route", ["free", "pays"])
async def test_the_third_is_recalled_and_says_the_same(gateway, route):
    """The first fetches, the second is parsed and learnt. Its line in the log is the same, too."""
    first, second, third, fourth = await answers(gateway, get(f"/{route}/a?b=1", stranger()), 4)
    assert first.get("Cache-Status") == "sluicegate; fwd=uri-miss; stored"
    assert [recalled(each) for each in (first, second, third, fourth)] == [False, False, True, True]
    assert lasting(second) == lasting(third) == lasting(fourth)
    assert second.get("Cache-Status").startswith("sluicegate; hit; ttl=")
    await reached(lambda: line_of(gateway, fourth))
    ours, theirs = line_of(gateway, third), line_of(gateway, second)
    same = ("path", "status", "out", "method", "host", "route", "outcome", "tier", "ip", "tenant", "user", "cache")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert ours["cache"] == "hit"
    assert ("redis_ms" in ours) == (route == "pays")


async def test_another_connection_knows_it_too(gateway):
    request = get("/free/shared", stranger())
    await answers(gateway, request, 2)
    assert recalled((await answers(gateway, request, 1))[0])


async def test_what_a_hit_pays_is_paid(gateway):
    """Five in an hour: the sixth is refused, however it is answered."""
    out = await answers(gateway, get("/few/a", stranger()), 8)
    assert [each.status for each in out] == [200] * 5 + [429] * 3
    assert any(map(recalled, out))
    remaining = [int(each.get("RateLimit").partition("r=")[2].partition(";")[0]) for each in out[:5]]
    assert remaining == [4, 3, 2, 1, 0]
    assert out[-1].get("Retry-After")


async def test_what_pays_nothing_is_not_counted(gateway):
    """The fetch alone was."""
    user = stranger()
    out = await answers(gateway, get("/free/a", user), 20)
    assert {each.status for each in out} == {200}
    assert [each.status for each in await answers(gateway, get("/few/b", user), 5)] == [200] * 4 + [429]


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request.replace(b"GET", b"HEAD"),
        lambda request: request.replace(b"/free/", b"/FREE/"),
        lambda request: request.replace(b"Host: app.test", b"Host: other.test"),
        lambda request: request.replace(b"\r\n\r\n", b"\r\nX: 1\r\n\r\n"),
        lambda request: request.replace(b"HTTP/1.1", b"HTTP/1.0"),
        lambda request: request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        lambda request: request.replace(b"\r\n\r\n", b"\r\nCache-Control: no-store\r\n\r\n"),
        lambda request: request.replace(b"\r\n\r\n", b"\r\nRange: bytes=0-0\r\n\r\n"),
        lambda request: request.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"),
        lambda request: request[:-6] + b"x\r\n\r\n",  # the token's last character
    ],
)
async def test_whatever_is_not_the_same_to_the_byte_is_parsed(gateway, change):
    request = get("/free/mutated", stranger())
    assert recalled((await answers(gateway, request, 3))[-1])
    changed = change(request)
    assert changed != request
    parsed = await once(gateway, changed, head=changed.startswith(b"HEAD"))
    assert not recalled(parsed)
    # It may be known by its own bytes from now on; what it says is its own all the same.
    for _ in range(2):
        again = await once(gateway, changed, head=changed.startswith(b"HEAD"))
        assert again.status == parsed.status
        assert again.body == parsed.body or parsed.status != 200


async def test_two_at_once_and_one_in_two_reads_are_answered_in_order(gateway):
    """No read that is not one whole request is known, and certainty comes back after a head in two parts."""
    user = stranger()
    request, other = get("/pays/order", user), get("/any", user)
    await answers(gateway, request, 3)
    async with await Client.connect(gateway) as client:
        await client.send(request + other + request)
        first, second, third = [await client.answer() for _ in range(3)]
        assert [each.get("Cache-Status") is None for each in (first, second, third)] == [False, True, False]
    async with await Client.connect(gateway) as client:
        await client.send(request[:20])
        await asyncio.sleep(0.02)  # so that it is a read of its own; if it is not, less is proven
        await client.send(request[20:])
        assert not recalled(await client.answer())
        await client.send(request)
        assert recalled(await client.answer())


async def test_what_comes_while_a_recalled_request_is_decided_waits_its_turn(gateway):
    """Two requests in two writes, the second before the first is answered; hundreds of times."""
    user = stranger()
    mine, others = get("/pays/turn", user), get("/other/turn", user)
    await answers(gateway, mine, 3)
    async with await Client.connect(gateway) as client:
        for _ in range(100):
            client.writer.write(mine)
            await asyncio.sleep(0)
            client.writer.write(others)
            assert (await client.answer()).get("Cache-Status") is not None
            assert (await client.answer()).get("Cache-Status") is None


async def test_it_ends_with_the_answers_lifetime(gateway, origin):
    origin.answers["/short/a"] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"
    request = get("/short/a", stranger())
    assert recalled((await answers(gateway, request, 3))[-1])
    origin.answers["/short/a"] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"
    begun = time.monotonic()
    while (await once(gateway, request)).body == b"old":
        assert time.monotonic() - begun < 3


async def test_it_ends_with_the_token(gateway):
    """Thirty seconds of leeway are for clocks that differ."""
    user = bearer(user="ends", tenant="ends", exp=int(time.time()) - 28)
    request = get("/free/ends", user)
    assert recalled((await answers(gateway, request, 3))[-1])
    begun = time.monotonic()
    while (answer := await once(gateway, request)).status == 200:
        assert time.monotonic() - begun < 6
    assert answer.status == 401


async def test_it_ends_with_a_write(gateway, origin):
    """An unsafe request to the same target: what was stored is not reused, recalled or not."""
    user = stranger()
    request = get("/free/written", user)
    assert recalled((await answers(gateway, request, 3))[-1])
    count = len(origin.seen)
    assert (await once(gateway, get("/free/written", user, method="POST", body=b"x"))).status == 200
    assert not recalled(await once(gateway, request))
    assert len(origin.seen) == count + 2


async def test_a_client_that_leaves_meanwhile_disturbs_nobody(gateway):
    user = stranger()
    request = get("/pays/leaves", user)
    await answers(gateway, request, 3)
    random.seed(7)
    for _ in range(30):
        client = await Client.connect(gateway)
        await client.send(request)
        await asyncio.sleep(random.random() / 1000)
        client.writer.transport.abort()
    assert recalled((await answers(gateway, request, 1))[0])


async def test_a_slow_reader_gets_all_of_it(gateway, origin):
    """Large answers to one who does not read are not piled up: they wait, and arrive whole."""
    body = random.Random(1).randbytes(300_000)

    async def large(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    origin.answers["/free/large"] = large
    request = get("/free/large", stranger())
    await answers(gateway, request, 2)
    async with await Client.connect(gateway) as client:
        for _ in range(40):
            await client.send(request)
        for _ in range(40):
            assert (await client.answer()).body == body


async def test_what_memory_has_let_go_of_is_not_held(origin):
    """Requests are remembered, answers are not: memory's budget is one."""
    body = random.Random(2).randbytes(500_000)

    async def large(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    routes = f"cache: {{memory: 4MiB}}\n{ROUTES}"
    with running(policy(origin.port, routes, workers=1)) as small:
        (pid,) = small.worker_pids()
        user, before = stranger(), 0
        for number in range(120):
            origin.answers[f"/pays/big/{number}"] = large
            request = get(f"/pays/big/{number}", user)
            for answer in await answers(small, request, 3):
                assert len(answer.body) == len(body)
            if number == 19:
                before = _resident(pid)
        assert _resident(pid) - before < 25 * 2**20  # a hundred of them are 50 MB


@pytest.mark.parametrize("leased", [False, True])
def test_what_is_due_is_answered_by_the_ordinary_way_and_not_rolled_for_again(leased):
    """Nor is it rolled for here where it cannot be answered here."""
    now_ms, rolls = 1_800_000_000_000, []

    def is_due(stored, _now_ms):
        rolls.append(stored)
        return True

    resource, plan = SimpleNamespace(), SimpleNamespace(leased=leased)
    caches = SimpleNamespace(
        clock=SimpleNamespace(now_ms=lambda: now_ms),
        memory=SimpleNamespace(get=lambda _key: resource),
        log=SimpleNamespace(may_reuse=lambda _stored, _monotonic_ms: True),
        is_due=is_due,
    )
    stored = Stored(200, b"OK", [], b"", Terms(now_ms, 0, 1_000), b"key")
    recall = Recall(caches, None, "")
    recall._known["peer", b"data"] = SimpleNamespace(
        key=b"key",
        stored=lambda: stored,
        holds=lambda *_: True,
        caching=Caching(CacheScope.PUBLIC),
        route=SimpleNamespace(limits=("limit",)),
        identity=None,
        address="",
        runtime=SimpleNamespace(planner=SimpleNamespace(plan=lambda *_: plan)),
    )
    assert not recall(SimpleNamespace(peer="peer"), b"data")
    assert rolls == ([] if leased else [stored])
    assert recall._known


def _resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
