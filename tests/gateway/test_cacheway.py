"""A request's way through the cache: what it pays, who gets past it, who waits and for how long."""

import asyncio
import itertools
import re
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.cache.reuse import PLAIN
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway import cacheway
from proxy.gateway.cachedrequest import CachedRequest
from proxy.policy.caching import CacheScope, Caching
from tests.e2e.crowds import in_flight
from tests.e2e.gateway import Client, bearer, get, once, reached, running, stranger
from tests.e2e.origin import Exchange
from tests.e2e.policies import policy
from tests.gateway.conftest import exchange_of

ROUTES = """
limits: {ten: {scope: user, rate: 10/1h}}
routes:
  - {name: tenth, match: {path: "/tenth/**"}, upstream: app, cache: {ttl: 1h, hits_pay: 0.1}, limits: [ten]}
  - {name: whole, match: {path: "/whole/**"}, upstream: app, cache: {ttl: 1h}, limits: [ten]}
  - {name: user, match: {path: "/user/**"}, upstream: app, cache: {scope: user, ttl: 1h}}
  - {name: opt, match: {path: "/opt/**"}, upstream: app, auth: optional, cache: {ttl: 1h}}
  - name: bypass
    match: {path: "/bypass/**"}
    upstream: app
    cache: {ttl: 1h, bypass: {tiers: [enterprise], claims: [{role: admin}]}}
  - {name: wait, match: {path: "/wait/**"}, upstream: app, cache: {ttl: 1h, wait: 200ms}}
  - {name: get, match: {path: "/get/**"}, upstream: app, cache: {ttl: 1h, methods: GET}}
"""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(origin):
    with running(policy(origin.port, ROUTES, workers=1)) as gateway:
        yield gateway


async def test_a_hit_pays_the_part_that_the_route_says(gateway):
    """One for the fetch, a tenth for each hit: ninety hits and no more."""
    request = get("/tenth/a", stranger())
    statuses = [(await once(gateway, request)).status for _ in range(92)]
    assert statuses == [200] * 91 + [429]


async def test_a_hit_that_pays_wholly_is_refused_like_any_request(gateway):
    request = get("/whole/a", stranger())
    assert [(await once(gateway, request)).status for _ in range(11)] == [200] * 10 + [429]


async def test_users_do_not_share_where_the_scope_is_the_user(gateway, origin):
    for _ in range(2):
        for user in ("a", "b"):
            await once(gateway, get("/user/x", bearer(user=user, tenant="users")))
    assert len(origin.asked("/user/x")) == 2


async def test_nobody_knows_whose_an_anonymous_answer_is(gateway, origin):
    """Where the scope is the tenant it is neither stored nor answered from what is."""
    await once(gateway, get("/opt/a", stranger()))
    for _ in range(2):
        answer = await once(gateway, get("/opt/a"))
        assert answer.status == 200
        assert answer.get("Cache-Control") == "private"
    assert len(origin.asked("/opt/a")) == 3
    await reached(lambda: any(line.get("cache_why") == "no-owner" for line in gateway.requests), 5)


@pytest.mark.parametrize(
    ("claims", "bypasses"), [({}, False), ({"tier": "enterprise"}, True), ({"role": "admin"}, True)]
)
async def test_who_may_gets_the_upstreams_own_answer_when_it_asks(gateway, origin, claims, bypasses):
    path, user = f"/bypass/{next(_numbers)}", stranger(**claims)
    await once(gateway, get(path, user))
    await once(gateway, get(path, user, "Cache-Control: no-cache"))
    assert len(origin.asked(path)) == (2 if bypasses else 1)
    await once(gateway, get(path, user))
    assert len(origin.asked(path)) == (2 if bypasses else 1)


async def test_who_wants_nothing_fetched_is_told_that_nothing_is_stored(gateway, origin):
    user = stranger()
    answer = await once(gateway, get("/whole/only", user, "Cache-Control: only-if-cached"))
    assert (answer.status, answer.json()["reason"]) == (504, "not_cached")
    assert len(origin.asked("/whole/only")) == 0
    await reached(lambda: gateway.metric(r'sluicegate_cache_requests_total\{.*why="only-if-cached"'))
    await once(gateway, get("/whole/only", user))
    assert (await once(gateway, get("/whole/only", user, "Cache-Control: only-if-cached"))).status == 200


@pytest.mark.parametrize("line", ['If-Match: "a"', "X-HTTP-Method-Override: DELETE", "If-Unmodified-Since: x"])
async def test_who_wants_nothing_fetched_is_told_so_also_where_nothing_stored_could_answer(gateway, origin, line):
    """And it is counted, like every request on a route that caches."""
    path, user = f"/whole/only/{next(_numbers)}", stranger()
    await once(gateway, get(path, user))
    metric = r'sluicegate_cache_requests_total\{result="miss",.*why="only-if-cached"'
    before = gateway.metric(metric)
    answer = await once(gateway, get(path, user, "Cache-Control: only-if-cached", line))
    assert (answer.status, answer.json()["reason"]) == (504, "not_cached")
    assert len(origin.asked(path)) == 1
    await reached(lambda: gateway.metric(metric) == before + 1)
    assert (await once(gateway, get(path, user, line))).status == 200
    assert len(origin.asked(path)) == 2


async def test_a_method_that_is_not_listed_goes_by(gateway, origin):
    user = stranger()
    await once(gateway, get("/get/a", user))
    await once(gateway, get("/get/a", user, method="HEAD"), head=True)
    assert [each.request_line.split()[0] for each in origin.seen if "/get/a" in each.request_line] == ["GET", "HEAD"]


async def test_many_wait_for_one_and_none_longer_than_the_route_says(gateway, origin):
    """The first hangs: the others go alone after their time, and what they bring is stored."""
    release = threading.Event()
    calls = itertools.count()

    async def hang_once(exchange: Exchange) -> None:
        if next(calls) == 0:
            await reached(release.is_set, 60)
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.answers["/wait/a"] = hang_once
    request = get("/wait/a", stranger())
    first = asyncio.create_task(once(gateway, request))
    await reached(lambda: len(origin.asked("/wait/a")) == 1)
    begun = time.monotonic()
    others = await asyncio.gather(*(once(gateway, request) for _ in range(5)))
    assert time.monotonic() - begun >= 0.19
    assert {each.status for each in others} == {200}
    release.set()
    assert (await first).status == 200


async def test_those_who_waited_say_that_they_did(gateway, origin):
    release = threading.Event()

    async def slow(exchange: Exchange) -> None:
        await reached(release.is_set, 60)
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.answers["/user/slow"] = slow
    request = get("/user/slow", stranger())
    tasks = [asyncio.create_task(once(gateway, request)) for _ in range(10)]
    await in_flight(gateway, 10)  # all of them have come before the first is answered
    release.set()
    answers = await asyncio.gather(*tasks)
    assert {each.body for each in answers} == {b"ok"}
    assert len(origin.asked("/user/slow")) == 1
    told = [each.get("Cache-Status") for each in answers]
    assert told.count("sluicegate; fwd=uri-miss; stored") == 1
    assert sum(re.fullmatch(r"sluicegate; fwd=uri-miss; ttl=\d+; collapsed", each) is not None for each in told) == 9
    await reached(lambda: any(line.get("cache") == "coalesced" for line in gateway.requests), 5)


async def test_those_who_select_other_variants_do_not_wait_for_one_another(gateway, origin):
    """Once it is known what they differ by: the origin answers none of them before it was asked for all."""
    kinds = [str(number) for number in range(6)]

    async def vary(exchange: Exchange) -> None:
        if exchange.seen.get("X-Kind") in kinds:
            await reached(lambda: len(origin.asked("/user/vary")) == 1 + len(kinds), 3)
        await exchange.send(b"HTTP/1.1 200 OK\r\nVary: X-Kind\r\nContent-Length: 2\r\n\r\nok")

    origin.answers["/user/vary"] = vary
    user = stranger()
    await once(gateway, get("/user/vary", user, "X-Kind: known"))
    answers = await asyncio.gather(*(once(gateway, get("/user/vary", user, f"X-Kind: {kind}")) for kind in kinds))
    assert [answer.status for answer in answers] == [200] * len(kinds)


async def test_a_crowd_on_a_cold_key_is_one_fetch_for_each_variant(gateway, origin):
    """Nobody knows beforehand what the variants differ by: who gets another's has not waited in vain."""
    kinds, release = ["br", "gzip", "zstd", "identity"], threading.Event()

    async def vary(exchange: Exchange) -> None:
        await reached(release.is_set, 60)
        kind = exchange.seen.get("X-Kind").encode()
        await exchange.send(b"HTTP/1.1 200 OK\r\nVary: X-Kind\r\nContent-Length: %d\r\n\r\n" % len(kind) + kind)

    origin.answers["/user/crowd"] = vary
    user = stranger()
    asked = kinds * 15
    tasks = [asyncio.create_task(once(gateway, get("/user/crowd", user, f"X-Kind: {kind}"))) for kind in asked]
    await in_flight(gateway, len(asked))
    release.set()
    assert [answer.body.decode() for answer in await asyncio.gather(*tasks)] == asked
    assert len(origin.asked("/user/crowd")) == len(kinds)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
async def test_those_who_want_the_same_part_wait_for_one_fetch(gateway, origin, whole):
    """Whether the app answers with that part or with all; who wants another part does not wait for it."""
    path, release = f"/user/parts/{whole}", threading.Event()

    async def part(exchange: Exchange) -> None:
        if exchange.seen.get("Range") == "bytes=0-3":
            await reached(release.is_set, 60)
        if whole:
            await exchange.send(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 10\r\n\r\n0123456789')
            return
        first, last = map(int, (exchange.seen.get("Range") or "").removeprefix("bytes=").split("-"))
        head = b'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes %d-%d/10\r\n' % (first, last)
        body = b"0123456789"[first : last + 1]
        await exchange.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    origin.answers[path] = part
    user = stranger()
    tasks = [asyncio.create_task(once(gateway, get(path, user, "Range: bytes=0-3"))) for _ in range(20)]
    await in_flight(gateway, 20)
    await reached(lambda: len(origin.asked(path)) == 1)
    assert (await once(gateway, get(path, user, "Range: bytes=4-6"))).body == (b"0123456789" if whole else b"456")
    release.set()
    assert {(answer.status, answer.body) for answer in await asyncio.gather(*tasks)} <= {
        (206, b"0123"),
        (200, b"0123456789"),  # as the app has answered the one that asked it
    }
    # Two; but a worker that got no CPU for a second no longer trusts what it holds, and those who come then ask anew.
    assert 2 <= len(origin.asked(path)) < 10


async def test_a_part_that_is_not_stored_says_nothing_of_the_whole(gateway, origin):
    """Those who wait for the whole still are one fetch."""
    path, release = "/user/unstored-part", threading.Event()

    async def part(exchange: Exchange) -> None:
        if exchange.seen.get("Range"):
            head = b"HTTP/1.1 206 Partial Content\r\nCache-Control: no-store\r\nContent-Range: bytes 0-1/2\r\n"
            await exchange.send(head + b"Content-Length: 2\r\n\r\nok")
        else:
            await reached(release.is_set, 60)
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.answers[path] = part
    user = stranger()
    assert (await once(gateway, get(path, user, "Range: bytes=0-1"))).status == 206
    tasks = [asyncio.create_task(once(gateway, get(path, user))) for _ in range(5)]
    await in_flight(gateway, 5)
    release.set()
    assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}
    assert len(origin.asked(path)) == 2


async def test_those_who_waited_too_long_look_once_more_before_they_go_alone(gateway, origin):
    """The first hangs on: the answer that another brings meanwhile is everybody's."""
    release, calls = threading.Event(), itertools.count()

    async def hang_once(exchange: Exchange) -> None:
        if next(calls) == 0:
            await reached(release.is_set, 60)
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.answers["/wait/again"] = hang_once
    request = get("/wait/again", stranger())
    first = asyncio.create_task(once(gateway, request))
    await reached(lambda: len(origin.asked("/wait/again")) == 1)
    second = asyncio.create_task(once(gateway, request))
    await asyncio.sleep(0.1)  # the third's wait ends that much later
    assert (await once(gateway, request)).body == b"ok"
    assert (await second).body == b"ok"
    assert len(origin.asked("/wait/again")) == 2
    release.set()
    await first


async def test_a_client_that_does_not_read_keeps_nobody_waiting(gateway, origin):
    """What others want is read on: they wait for the app, which is asked once."""
    body = bytes(7_000_000)
    origin.answers["/user/unread"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    request = get("/user/unread", stranger())
    async with await Client.connect(gateway) as slow:
        slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.writer.transport.pause_reading()
        await slow.send(request)
        await reached(lambda: len(origin.asked("/user/unread")) == 1)
        begun = time.monotonic()
        assert (await once(gateway, request)).body == body
        assert time.monotonic() - begun < 3  # the route's wait is five seconds
        assert len(origin.asked("/user/unread")) == 1


class Purged:
    """Of a worker: what it has stored is valid until it says so."""

    def __init__(self, stored):
        self.valid = True
        self.memory = {stored.key: SimpleNamespace(variants=[stored])}
        self.clock = SimpleNamespace(now_ms=lambda: 1)

    def may_reuse(self, _stored):
        return self.valid


@pytest.mark.parametrize("valid", [True, False])
async def test_what_is_purged_while_its_hit_pays_is_not_sent(monkeypatch, valid):
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.target, exchange.forwarded_host = "/a", "h"
    identity, caching = Identity(IdentityKind.ANONYMOUS, "anonymous"), Caching(CacheScope.PUBLIC, early=False)
    request = CachedRequest(exchange, caching, "route", identity, b"", PLAIN)
    caches = Purged(Stored(200, b"OK", [], b"", Terms(0, 0, 60_000), request.key))
    done = []

    async def pay(*_):
        caches.valid = valid
        await asyncio.sleep(0)

    async def told(what, *_):
        done.append(what)

    monkeypatch.setattr(cacheway, "admit", pay)
    monkeypatch.setattr(cacheway._Way, "_send", lambda *_: told("sent"))
    monkeypatch.setattr(cacheway._Way, "_fly", lambda *_: told("fetched"))
    await cacheway._Way(request, SimpleNamespace(shared=SimpleNamespace(caches=caches)), None).go()
    assert done == ["sent" if valid else "fetched"]
