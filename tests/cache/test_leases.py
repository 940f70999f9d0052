"""One holder a key, whoever asks, for as long as it says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.cache.leases import Leases, lease_name
from proxy.cache.link import Link
from proxy.cache.room import Room
from proxy.cache.shared import Shared
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from tests.store.servers import Server, free_port

NAME = lease_name(b"key")


class Fetchers(Leases):
    """With the look that gives the lease."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._shared = Shared(link, Room(link, None))

    async def take(self, key: bytes, token: bytes, ttl_ms: int, variant: bytes = b"") -> bool | None:
        _, got = await self._shared.look(key, lease_name(key, variant), token, ttl_ms)
        return got


@pytest.fixture
async def leases(empty_redis: Server) -> AsyncIterator[Fetchers]:
    link = Link(parse_store_url(empty_redis.url), SystemClock(), 2_000)
    yield Fetchers(link)
    await link.close()


async def test_of_many_one_gets_it(leases: Fetchers) -> None:
    got = await asyncio.gather(*(leases.take(b"key", b"%d" % number, 10_000) for number in range(50)))
    assert (got.count(True), got.count(False)) == (1, 49)


async def test_another_key_has_another_lease(leases: Fetchers) -> None:
    assert await leases.take(b"key", b"a", 10_000)
    assert await leases.take(b"another", b"b", 10_000)


async def test_who_fetches_a_variant_keeps_nobody_from_another(leases: Fetchers) -> None:
    assert await leases.take(b"key", b"a", 10_000, b"de")
    assert await leases.take(b"key", b"b", 10_000, b"fr")
    assert not await leases.take(b"key", b"c", 10_000, b"de")


def test_a_lease_lies_where_the_answers_of_its_url_do() -> None:
    """In a cluster both are of one script: what the braces hold decides."""
    whole, variant = lease_name(b"key"), lease_name(b"key", b"{de}")
    assert variant.startswith(whole + b":")
    assert variant.count(b"{") == 1


async def test_a_take_that_is_sent_twice_is_held(leases: Fetchers) -> None:
    """Its reply was lost: the holder must not wait for itself."""
    assert await leases.take(b"key", b"a", 10_000)
    assert await leases.take(b"key", b"a", 10_000)


async def test_only_the_holder_renews_and_releases(leases: Fetchers) -> None:
    await leases.take(b"key", b"a", 10_000)
    assert not await leases.renew(NAME, b"b", 10_000)
    assert not await leases.release(NAME, b"b")
    assert await leases.renew(NAME, b"a", 10_000)
    assert await leases.release(NAME, b"a")
    assert not await leases.release(NAME, b"a")
    assert await leases.take(b"key", b"b", 10_000)


async def test_a_lease_that_is_not_renewed_ends(leases: Fetchers, empty_redis: Server) -> None:
    await leases.take(b"key", b"a", 20)
    async with asyncio.timeout(5):
        while not await leases.take(b"key", b"b", 10_000):  # noqa: ASYNC110 - Redis' clock
            await asyncio.sleep(0.005)
    assert not await leases.renew(NAME, b"a", 10_000)
    with empty_redis.client as client:
        (name,) = client.keys("sl:*")
        assert 9_000 < client.pttl(name) <= 10_000


async def test_renewing_prolongs_it(leases: Fetchers, empty_redis: Server) -> None:
    await leases.take(b"key", b"a", 1_000)
    assert await leases.renew(NAME, b"a", 60_000)
    with empty_redis.client as client:
        assert client.pttl(client.keys("sl:*")[0]) > 50_000


async def test_without_redis_nobody_can_tell() -> None:
    link = Link(parse_store_url(f"redis://127.0.0.1:{free_port()}"), SystemClock(), 200)
    leases = Fetchers(link)
    assert await leases.take(b"key", b"a", 1_000) is None
    assert not await leases.renew(NAME, b"a", 1_000)
    assert not await leases.release(NAME, b"a")
    await link.close()
