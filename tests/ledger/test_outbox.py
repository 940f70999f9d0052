"""The stream from the mover's side: what is taken, left behind, lost and found."""

import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from proxy.ledger.outbox import GROUP, Outbox
from tests.ledger.samples import RECORD, a_record, an_entry
from tests.store.servers import BINARIES, Server, server

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=list(BINARIES.values()), ids=list(BINARIES))
def stream_server(request: pytest.FixtureRequest):
    with server(request.param) as started:
        yield started


@pytest.fixture(params=[2, 3])
async def client(stream_server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    async with Redis.from_url(stream_server.url, protocol=request.param) as connected:
        yield connected


@pytest.fixture
def stream() -> bytes:
    return b"{m0}outbox%d" % next(_numbers)


async def fill(client: Redis, stream: bytes, count: int) -> None:
    for n in range(count):
        await client.xadd(stream, an_entry(a_record(f"r{n}")))


async def test_each_entry_goes_to_one_consumer_and_leaves_when_done(client: Redis, stream: bytes) -> None:
    """Also what was written before there was a group."""
    await fill(client, stream, 5)
    one, two = Outbox(client, "one", stream=stream), Outbox(client, "two", stream=stream)
    first, second = await one.new(3, 1), await two.new(3, 1)
    assert [arrived.record and arrived.record.id for arrived in (*first, *second)] == ["r0", "r1", "r2", "r3", "r4"]
    assert await one.new(3, 1) == []
    assert await one.depth() == 5
    await one.done(first)
    assert await one.depth() == 2
    assert [arrived.entry for arrived in await one.first(9)] == [arrived.entry for arrived in second]


async def test_the_whole_stream_is_read_page_by_page(client: Redis, stream: bytes) -> None:
    """However long it is, whoever has taken what, and with what comes meanwhile."""
    await fill(client, stream, 25)
    one = Outbox(client, "one", stream=stream)
    await one.new(7, 1)
    pages = []
    async for page in one.pages(10):
        pages.append([arrived.record.id for arrived in page if arrived.record is not None])
        if len(pages) == 1:
            await client.xadd(stream, an_entry(a_record("late")))
    assert [len(page) for page in pages] == [10, 10, 6]
    assert [name for page in pages for name in page] == [*(f"r{n}" for n in range(25)), "late"]
    assert [page async for page in Outbox(client, "one", stream=b"{m0}none").pages(10)] == []


async def test_what_one_left_behind_another_claims(client: Redis, stream: bytes) -> None:
    await fill(client, stream, 2)
    one, two = Outbox(client, "one", stream=stream), Outbox(client, "two", stream=stream)
    taken = await one.new(9, 1)
    assert await two.rested(9, 60_000) == []
    assert await two.rested(9, 0) == taken


async def test_a_claimed_entry_that_is_gone_is_forgotten(client: Redis, stream: bytes) -> None:
    """A mover died between deleting and acknowledging. Redis 6.2 claims such entries without their fields."""
    await fill(client, stream, 2)
    one, two = Outbox(client, "one", stream=stream), Outbox(client, "two", stream=stream)
    gone, left = await one.new(9, 1)
    await client.xdel(stream, gone.entry)
    assert await two.rested(9, 0) == [left]
    await two.done([left])
    assert (await client.xpending(stream, GROUP))["pending"] == 0


async def test_a_stream_that_redis_lost_is_made_anew(client: Redis, stream: bytes) -> None:
    outbox = Outbox(client, "one", stream=stream)
    assert await outbox.new(9, 1) == []
    await client.delete(stream)
    assert await outbox.rested(9, 0) == []
    await fill(client, stream, 1)
    assert len(await outbox.new(9, 1)) == 1


async def test_age_is_by_redis_clock(client: Redis, stream: bytes) -> None:
    outbox = Outbox(client, "one", stream=stream)
    assert await outbox.oldest_ms() is None
    await client.xadd(stream, an_entry(RECORD), id="5000-1")
    assert await outbox.oldest_ms() == 5000
    assert await outbox.now_ms() > 5000


async def test_a_consumer_leaves_only_with_empty_hands(client: Redis, stream: bytes) -> None:
    """With it Redis would forget which entries it had taken, and nobody could claim them."""
    await fill(client, stream, 1)
    outbox = Outbox(client, "one", stream=stream)
    taken = await outbox.new(9, 1)
    await outbox.leave()
    assert len(await client.xinfo_consumers(stream, GROUP)) == 1
    await outbox.done(taken)
    await outbox.leave()
    assert await client.xinfo_consumers(stream, GROUP) == []
