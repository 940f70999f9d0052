"""What one worker keeps in Redis another finds, and a Redis that is away costs nobody anything."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from proxy.cache.codec import INLINE
from proxy.cache.digests import key_digest
from proxy.cache.entry import Stored
from proxy.cache.leases import lease_name
from proxy.cache.link import AWAY, Link
from proxy.cache.room import Room
from proxy.cache.shared import MAX_VARIANTS, PIECE, Found, Listing, Shared
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from tests.cache.stored import answer
from tests.fuzz import named, seeds
from tests.store.servers import BINARIES, Server, cluster, server

BINARY = next(iter(BINARIES.values()))
KEY = b"\0any\r\nbytes"
INCOMPRESSIBLE = [(b"Content-Encoding", b"gzip")]


def shared_at(url: str, timeout_ms: int = 2_000) -> tuple[Link, Shared]:
    link = Link(parse_store_url(url), SystemClock(), timeout_ms)
    return link, Shared(link, Room(link, None))


@pytest.fixture
async def shared(empty_redis: Server) -> AsyncIterator[Shared]:
    link, made = shared_at(empty_redis.url)
    yield made
    await link.close()


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """One that the test may harm."""
    with server(BINARY) as started:
        yield started


async def test_what_was_put_is_found(shared: Shared) -> None:
    stored = answer(KEY, tags=(1, 2**64 - 1), seen=7 << 20)
    assert await shared.get(KEY) is None
    assert await shared.put(KEY, stored, 60_000)
    assert await shared.get(KEY) == Found((stored,))


async def test_a_look_finds_what_was_put_and_gives_the_lease_to_one(shared: Shared) -> None:
    """Who gets it after an answer was stored has seen that answer."""
    assert await shared.look(KEY, lease_name(KEY), b"a", 10_000) == (None, True)
    assert await shared.look(KEY, lease_name(KEY), b"b", 10_000) == (None, False)
    stored = answer(KEY)
    assert await shared.put(KEY, stored, 60_000)
    assert await shared.look(KEY, lease_name(KEY), b"b", 10_000) == (Found((stored,)), False)
    assert await shared.look(KEY, lease_name(KEY), b"a", 10_000) == (Found((stored,)), True)


async def test_a_large_body_comes_back_from_its_pieces(shared: Shared, empty_redis: Server) -> None:
    body = bytes(range(256)) * 3_000
    stored = answer(KEY, headers=INCOMPRESSIBLE, body=body)
    assert await shared.put(KEY, stored, 60_000)
    assert await shared.get(KEY) == Found((stored,))
    with empty_redis.client as client:
        pieces = list(client.scan_iter(b"sb:*"))
        assert len(pieces) == -(-len(body) // PIECE)
        assert all(client.strlen(piece) <= PIECE for piece in pieces)
        assert client.hlen(b"sc:{%b}" % key_digest(KEY)) == 2


async def test_an_error_is_not_kept_while_an_answer_is(shared: Shared) -> None:
    """Once the answer has gone it is, and gives way to the next answer."""
    good, bad = answer(KEY, body=b"good"), answer(KEY, status=503, body=b"bad")
    assert await shared.put(KEY, good, 60_000)
    assert not await shared.put(KEY, bad, 60_000)
    assert await shared.get(KEY) == Found((good,))
    await shared.discard(KEY)
    assert await shared.put(KEY, bad, 60_000)
    assert await shared.get(KEY) == Found((bad,))
    assert await shared.put(KEY, good, 60_000)
    assert await shared.get(KEY) == Found((good,))


async def test_a_part_is_not_kept_while_the_whole_is(shared: Shared) -> None:
    """Parts take one another's place; the whole, once it comes, is found before them."""
    whole = answer(KEY, body=b"0123456789")
    first, second = (answer(KEY, status=206, body=b"01", range=(at, at + 1, 10)) for at in (0, 8))
    for part in (first, second):
        assert await shared.put(KEY, part, 60_000)
        assert await shared.get(KEY) == Found((part,))
    assert await shared.put(KEY, whole, 60_000)
    assert not await shared.put(KEY, first, 60_000)
    found = await shared.get(KEY)
    assert found is not None
    assert found.variants == (whole, second)


async def test_a_large_body_that_lost_a_piece_is_a_miss(shared: Shared, empty_redis: Server) -> None:
    await shared.put(KEY, answer(KEY, headers=INCOMPRESSIBLE, body=b"x" * (2 * PIECE)), 60_000)
    with empty_redis.client as client:
        client.delete(next(client.scan_iter(b"sb:*")))
    assert await shared.get(KEY) is None


async def test_a_large_body_is_not_found_by_another_record(shared: Shared) -> None:
    """A record that replaces another of the same length never gets the other's pieces."""
    first = answer(KEY, headers=INCOMPRESSIBLE, body=b"a" * (INLINE + 1))
    second = answer(KEY, headers=INCOMPRESSIBLE, body=b"b" * (INLINE + 1))
    await asyncio.gather(*(shared.put(KEY, each, 60_000) for each in (first, second)))
    found = await shared.get(KEY)
    assert found is not None
    assert found.variants[0] in (first, second)


async def test_only_wanted_large_bodies_are_read(shared: Shared) -> None:
    english = answer(KEY, headers=INCOMPRESSIBLE, body=b"e" * (INLINE + 1), vary=(("accept-language", "en"),))
    french = answer(KEY, headers=INCOMPRESSIBLE, body=b"f" * (INLINE + 1), vary=(("accept-language", "fr"),))
    for each in (english, french):
        await shared.put(KEY, each, 60_000)
    before = shared.bytes_read
    found = await shared.get(KEY, lambda stored: stored.vary == english.vary)
    assert found == Found((english,))
    assert shared.bytes_read - before < 2 * INLINE


async def test_variants_live_side_by_side_newest_first_and_the_oldest_go(shared: Shared, empty_redis: Server) -> None:
    variants = [answer(KEY, vary=(("accept", str(number)),)) for number in range(MAX_VARIANTS + 2)]
    for each in variants:
        assert await shared.put(KEY, each, 60_000)
    again = answer(KEY, vary=variants[4].vary, body=b"newer")
    await shared.put(KEY, again, 60_000)
    found = await shared.get(KEY)
    expected = [again, *(each for each in reversed(variants[2:]) if each is not variants[4])]
    assert found == Found(tuple(expected))
    with empty_redis.client as client:
        assert client.hlen(b"sc:{%b}" % key_digest(KEY)) == MAX_VARIANTS + 1  # and the index


async def test_the_key_lives_as_long_as_its_last_variant(shared: Shared, empty_redis: Server) -> None:
    await shared.put(KEY, answer(KEY, vary=(("a", "long"),)), 60_000)
    await shared.put(KEY, answer(KEY, vary=(("a", "short"),)), 1)
    with empty_redis.client as client:
        assert 50_000 < client.pttl(b"sc:{%b}" % key_digest(KEY)) <= 60_000
    await asyncio.sleep(0.005)
    await shared.put(KEY, answer(KEY, vary=(("a", "third"),)), 30_000)
    found = await shared.get(KEY)
    assert found is not None
    assert [each.vary[0][1] for each in found.variants] == ["third", "long"]


async def test_a_mark_leaves_older_answers_and_ends_with_the_next(shared: Shared) -> None:
    stored = answer(KEY)
    assert await shared.mark(KEY, 10_000)
    found = await shared.get(KEY)
    assert found is not None
    assert not found.variants
    assert 0 < found.not_stored_until_ms - time.time() * 1000 <= 10_001
    await shared.put(KEY, stored, 60_000)
    assert await shared.get(KEY) == Found((stored,))
    await shared.mark(KEY, 10_000)
    found = await shared.get(KEY)
    assert found is not None
    assert found.variants == (stored,)
    assert found.not_stored_until_ms


async def test_a_mark_says_why_until_something_is_stored(shared: Shared, empty_redis: Server) -> None:
    await shared.mark(KEY, 10_000, "no-store")
    await shared.mark(KEY, 10_000, "set-cookie")
    found = await shared.get(KEY)
    assert found is not None
    assert found.not_stored_why == "set-cookie"
    await shared.put(KEY, answer(KEY), 60_000)
    assert await shared.get(KEY) == Found((answer(KEY),))
    with empty_redis.client as client:
        assert client.hlen(b"sc:{%b}" % key_digest(KEY)) == 2  # the answer and the index


async def test_what_is_listed_has_every_variant_and_no_body(shared: Shared) -> None:
    """Large ones too, whose bodies live apart, and compressed ones by the length that the app sent."""
    large = answer(KEY, headers=INCOMPRESSIBLE, body=bytes(range(256)) * 3_000, vary=(("a", "large"),))
    small = answer(KEY, body=b"x" * 2_000, vary=(("a", "small"),))
    assert await shared.listed(KEY) == Listing()
    await shared.put(KEY, large, 60_000)
    await shared.put(KEY, small, 30_000)
    await shared.mark(KEY, 10_000, "private")
    read = shared.bytes_read
    listing = await shared.listed(KEY)
    assert isinstance(listing, Listing)
    assert [(one.stored, one.body_bytes) for one in listing.variants] == [
        (answer(KEY, body=b"", vary=(("a", "small"),)), 2_000),
        (answer(KEY, headers=INCOMPRESSIBLE, body=b"", vary=(("a", "large"),)), 768_000),
    ]
    now_ms = time.time() * 1000
    assert [round((one.kept_until_ms - now_ms) / 10_000) for one in listing.variants] == [3, 6]
    assert round((listing.not_stored_until_ms - now_ms) / 10_000) == 1
    assert listing.not_stored_why == "private"
    assert shared.bytes_read == read


async def test_nothing_is_listed_where_redis_is_away() -> None:
    link, shared = shared_at("redis://127.0.0.1:9")
    assert await shared.listed(KEY) is AWAY
    await link.close()


@pytest.mark.parametrize("seed", seeds(20))
async def test_the_script_does_as_its_twin(shared: Shared, seed: int) -> None:
    """Whatever is put, marked and discarded, in any order: beside a dict that keeps the newest."""
    twin: dict[int, Stored] = {}
    marked = False
    with named(seed) as chance:
        for number in range(40):
            match chance.choices(("put", "mark", "discard"), (20, 4, 1)):
                case ["mark"]:
                    assert await shared.mark(KEY, 60_000)
                    marked = True
                case ["discard"]:
                    assert await shared.discard(KEY)
                    twin, marked = {}, False
                case _:
                    variant = chance.randrange(MAX_VARIANTS + 3)
                    stored = answer(KEY, vary=(("accept", str(variant)),), body=b"%d" % number)
                    assert await shared.put(KEY, stored, 60_000)
                    twin.pop(variant, None)
                    twin[variant], marked = stored, False
                    if len(twin) > MAX_VARIANTS:
                        del twin[next(iter(twin))]
            found = await shared.get(KEY) or Found(())
            assert found.variants == tuple(reversed(twin.values()))
            assert (found.not_stored_until_ms > 0) == marked


async def test_what_is_discarded_is_gone(shared: Shared) -> None:
    await shared.put(KEY, answer(KEY), 60_000)
    assert await shared.discard(KEY)
    assert await shared.get(KEY) is None


async def test_another_key_behind_the_same_digest_is_a_miss(shared: Shared, empty_redis: Server) -> None:
    """As if two canonical keys had one digest: the entry's own key is compared."""
    await shared.put(KEY, answer(KEY), 60_000)
    with empty_redis.client as client:
        client.copy(b"sc:{%b}" % key_digest(KEY), b"sc:{%b}" % key_digest(b"other"))
    assert await shared.get(b"other") is None


async def test_what_others_wrote_there_is_a_miss(shared: Shared, empty_redis: Server) -> None:
    name = b"sc:{%b}" % key_digest(KEY)
    with empty_redis.client as client:
        client.set(name, b"a string")
        assert await shared.get(KEY) is None
        assert not await shared.put(KEY, answer(KEY), 60_000)
        client.delete(name)
        client.hset(name, mapping={b"i": b"\xff" * 37, b"\xff" * 8: b"junk"})
        assert await shared.get(KEY) is None


async def test_a_redis_that_hangs_costs_one_timeout_and_is_found_again(own_redis: Server) -> None:
    link, shared = shared_at(own_redis.url, 100)
    await shared.put(KEY, answer(KEY), 60_000)
    own_redis.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert await shared.get(KEY) is None
        assert time.monotonic() - began < 1
        began = time.monotonic()
        for _ in range(1_000):
            assert await shared.get(KEY) is None
        assert not await shared.put(KEY, answer(KEY), 60_000)
        assert not await shared.mark(KEY, 1_000)
        assert time.monotonic() - began < 0.5
    finally:
        own_redis.signal(signal.SIGCONT)
    async with asyncio.timeout(5):
        while await shared.get(KEY) is None:  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)
    await link.close()


async def test_a_redis_that_was_killed_is_found_again(own_redis: Server) -> None:
    link, shared = shared_at(own_redis.url)
    await shared.put(KEY, answer(KEY), 60_000)
    own_redis.kill()
    assert await shared.get(KEY) is None
    assert await shared.get(KEY) is None
    assert not link.open
    own_redis.start()
    async with asyncio.timeout(5):
        while not await shared.put(KEY, answer(KEY), 60_000):  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)
    assert await shared.get(KEY) == Found((answer(KEY),))
    await link.close()


async def test_a_redis_that_is_full_keeps_nothing_and_is_not_away(own_redis: Server) -> None:
    """Nor is it sent anything that it would refuse."""
    link, shared = shared_at(own_redis.url)
    with own_redis.client as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    for _ in range(4):
        assert not await shared.put(KEY, answer(KEY), 60_000)
    assert link.open
    assert not link.refused
    await link.close()


async def test_many_at_once_do_not_wait_for_one_another(shared: Shared, empty_redis: Server) -> None:
    keys = [b"key %d" % number for number in range(100)]
    await asyncio.gather(*(shared.put(key, answer(key), 60_000) for key in keys))
    found = await asyncio.gather(*map(shared.get, keys))
    assert [each and each.variants[0].key for each in found] == keys
    with empty_redis.client as client:
        assert 1 < len(client.client_list()) <= 40


async def test_a_cluster_keeps_each_key_where_it_belongs() -> None:
    with cluster(BINARY) as nodes:
        link, shared = shared_at(nodes.url)
        stored = [answer(b"%d" % number, headers=INCOMPRESSIBLE, body=b"x" * 300_000) for number in range(12)]
        for each in stored:
            assert await shared.put(each.key, each, 60_000)
        for each in stored:
            assert await shared.get(each.key) == Found((each,))
        counts = []
        for node in nodes.nodes:
            with node.client as client:
                counts.append(client.dbsize())
        assert all(counts)
        await link.close()
