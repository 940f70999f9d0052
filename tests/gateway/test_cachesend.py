"""Stored answers as they leave: the head is made once, and everything of this request's own is added."""

import pytest

from proxy.cache.answers import answer
from proxy.cache.entry import Stored, Terms
from proxy.cache.reuse import PLAIN
from proxy.gateway.cachesend import send_stored
from proxy.gateway.exchange import Outcome
from proxy.policy.caching import CacheScope, Caching
from tests.gateway.conftest import RememberingConnection, exchange_of

NOW = 1_800_000_000_000
TENANT = Caching(CacheScope.TENANT)
PUBLIC = Caching(CacheScope.PUBLIC, status_field=False)


class Connection(RememberingConnection):
    writing_paused = False

    def send_last(self, data):
        self.sent += data


def stored():
    headers = [
        (b"Date", b"Mon, 23 Nov 2026 06:00:00 GMT"),
        (b"Cache-Control", b"public, s-maxage=9"),
        (b"X-Request-ID", b"theirs"),
        (b"Content-Length", b"999"),
    ]
    return Stored(200, b"OK", headers, b"body", Terms(NOW - 7_000, 0, 60_000), b"key")


async def sent(one, caching=TENANT, method=b"GET", **more):
    exchange = exchange_of(method + b" / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.connection = Connection(**more)
    exchange.request_id = "ours"
    exchange.fields = [(b"RateLimit", b'"x";r=1')]
    ready = answer(one, PLAIN, exchange.method, exchange.headers, NOW)
    await send_stored(exchange, one, ready, caching, b"sluicegate; hit")
    assert (exchange.outcome, exchange.status) == (Outcome.CACHED, 200)
    head, _, body = exchange.connection.sent.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


async def test_a_hit_is_the_stored_answer_and_its_age():
    lines, body = await sent(stored())
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert body == b"body"
    assert sorted(lines[1:]) == sorted(
        [
            b"Date: Mon, 23 Nov 2026 06:00:00 GMT",
            b"Cache-Control: private",
            b"X-Upstream-Request-ID: theirs",
            b"Content-Length: 4",
            b"Age: 7",
            b"X-Request-ID: ours",
            b'RateLimit: "x";r=1',
            b"Cache-Status: sluicegate; hit",
        ]
    )


async def test_what_is_public_stays_as_the_app_said_it_and_the_route_may_hide_the_cache():
    lines, _ = await sent(stored(), PUBLIC)
    assert b"Cache-Control: public, s-maxage=9" in lines
    assert not any(line.startswith(b"Cache-Status") for line in lines)


async def test_its_head_is_made_once_for_a_policy():
    one = stored()
    first = await sent(one)
    made = one.ready
    assert await sent(one) == first
    assert one.ready is made
    other = Caching(CacheScope.PUBLIC)
    lines, _ = await sent(one, other)
    assert b"Cache-Control: public, s-maxage=9" in lines
    assert one.ready[0] is other


async def test_a_head_request_gets_the_length_and_no_body():
    lines, body = await sent(stored(), method=b"HEAD")
    assert (b"Content-Length: 4" in lines, body) == (True, b"")


@pytest.mark.parametrize("draining", [False, True])
async def test_a_worker_that_drains_says_so(draining):
    lines, _ = await sent(stored(), draining=draining)
    assert (b"Connection: close" in lines) is draining


async def test_what_the_app_has_just_said_has_no_age():
    """It would deny that the app was asked (RFC 9111 §5.1)."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.connection = Connection()
    one = stored()
    ready = answer(one, PLAIN, "GET", exchange.headers, NOW)
    await send_stored(exchange, one, ready, TENANT, b"sluicegate; fwd=stale", aged=False)
    assert b"\r\nAge:" not in exchange.connection.sent
    lines, _ = await sent(one)
    assert b"Age: 7" in lines
