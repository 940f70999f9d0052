"""Every call ends in time, with a reply or without; while Redis is away nothing is sent."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from proxy.cache.link import AWAY, MOST_AT_ONCE, Link
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.store.errors import Away, StoreAway
from proxy.store.scripts import load
from tests.store.servers import BINARIES, Server, free_port, server

BINARY = next(iter(BINARIES.values()))


@pytest.fixture
def own_redis() -> Iterator[Server]:
    with server(BINARY) as started:
        yield started


@pytest.fixture
async def heard() -> list[StoreAway | None]:
    return []


@pytest.fixture
async def link(own_redis: Server, heard: list[StoreAway | None]) -> AsyncIterator[Link]:
    made = Link(parse_store_url(own_redis.url), SystemClock(), 200, heard.append)
    yield made
    await made.close()


async def until(link: Link, is_open: bool) -> None:
    async with asyncio.timeout(8):
        while link.open != is_open:  # noqa: ASYNC110 - the probe's task makes it so
            await asyncio.sleep(0.005)


async def test_a_script_that_redis_does_not_know_is_sent_whole(own_redis: Server, link: Link) -> None:
    script = load("cache_lease")
    assert await link.run(script, (b"sl:{x}",), b"renew", b"me", 1_000) == 0
    with own_redis.client as client:
        client.script_flush()
    assert await link.run(script, (b"sl:{x}",), b"renew", b"me", 1_000) == 0


async def test_an_outage_is_told_once_and_costs_microseconds(
    own_redis: Server, link: Link, heard: list[StoreAway | None]
) -> None:
    assert await link.call("PING")
    own_redis.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        replies = await asyncio.gather(*(link.call("GET", "x") for _ in range(3 * MOST_AT_ONCE)))
        assert set(replies) == {AWAY}
        assert link.unanswered
        assert time.monotonic() - began < 1.0  # one timeout for all, not one after another
        assert not link.open
        began = time.perf_counter()
        for _ in range(1_000):
            assert await link.call("GET", "x") is AWAY
        assert (time.perf_counter() - began) / 1_000 < 100e-6
    finally:
        own_redis.signal(signal.SIGCONT)
    await until(link, True)
    assert await link.call("GET", "x") is None
    first, *rest = heard
    assert first is not None
    assert first.reason is Away.TIMEOUT
    assert rest == [None]


async def test_one_connection_that_was_closed_is_no_outage(own_redis: Server, link: Link) -> None:
    assert await link.call("PING")
    with own_redis.client as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert await link.call("PING")
    assert link.open


async def test_a_call_that_redis_refuses_is_no_outage(link: Link) -> None:
    for _ in range(5):
        assert await link.call("NOSUCHCOMMAND") is AWAY
    assert link.open
    assert link.refused == 5


async def test_nothing_there_at_all_is_an_outage() -> None:
    link = Link(parse_store_url(f"redis://127.0.0.1:{free_port()}"), SystemClock(), 200)
    for _ in range(3):
        assert await link.call("PING") is AWAY
    assert not link.open
    await link.close()


async def test_a_caller_that_leaves_takes_nothing_of_others(own_redis: Server, link: Link) -> None:
    """Its connection is not used again before its reply has come: no reply is read as another call's."""
    await link.call("SET", "a", "1")
    await link.call("SET", "b", "2")
    for _ in range(50):
        left = asyncio.create_task(link.call("GET", "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left.cancel()
        assert await link.call("GET", "b") == b"2"
        await asyncio.gather(left, return_exceptions=True)
    replies = await asyncio.gather(*(link.call("GET", "ab"[number % 2]) for number in range(40)))
    assert replies == [b"12"[number % 2 : number % 2 + 1] for number in range(40)]
    assert link.open
