"""What one worker purges all others obey, also those that were away, and whatever Redis has lost meanwhile."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from proxy.cache import purgelog
from proxy.cache.digests import of_tenant, purge_of_tag, tags_of
from proxy.cache.entry import Stored
from proxy.cache.purgelog import CURRENT_MS, LOG, PurgeLog
from proxy.cache.purges import EVERYTHING, number_of, packed
from proxy.core.clock import Clock, SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.store.client import Store
from proxy.store.scripts import load
from tests.cache.stored import answer
from tests.store.servers import BINARIES, Server, cluster, free_port, sentinels, server

BINARY = next(iter(BINARIES.values()))
CLOCK = SystemClock()


class Ahead(SystemClock):
    """Runs ahead when it is told to: as if the worker had stood still."""

    ahead_ms = 0.0

    def monotonic_ms(self) -> float:
        return super().monotonic_ms() + self.ahead_ms


TENANT = of_tenant("acme")
TAG = purge_of_tag(TENANT, b"reports")


def tagged(log: PurgeLog, tag: bytes = b"reports") -> Stored:
    """As if its fetch had begun now."""
    return answer(tags=tags_of(TENANT, "example.com", "/reports", [tag]), seen=log.purges.last)


async def until(condition: Callable[[], object], within_s: float = 8.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - another worker's task makes it true
            await asyncio.sleep(0.005)


@asynccontextmanager
async def mirror(url: str, clock: Clock = CLOCK) -> AsyncIterator[PurgeLog]:
    store = Store(parse_store_url(url), 1_000)
    log = PurgeLog(store, clock)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()
        await store.close()


def current(log: PurgeLog) -> bool:
    return log.is_current(CLOCK.monotonic_ms())


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[PurgeLog, PurgeLog]]:
    async with mirror(url) as one, mirror(url) as other:
        await until(lambda: current(one) and current(other))
        yield one, other


@pytest.fixture
def own_redis() -> Iterator[Server]:
    with server(BINARY) as started:
        yield started


async def test_a_purge_holds_at_once_here_and_soon_elsewhere(empty_redis: Server) -> None:
    async with two(empty_redis.url) as (one, other):
        here, there, another = tagged(one), tagged(other), tagged(other, b"users")
        assert one.purges.valid(here)
        assert other.purges.valid(there)
        one.purge(TAG)
        assert not one.purges.valid(here)
        await until(lambda: not other.purges.valid(there), 1.0)
        assert other.purges.valid(another)
        assert await one.landed(1.0)
        await until(lambda: one.purges.last == other.purges.last)
        assert other.purges.valid(tagged(other))
        assert one.purges.valid(tagged(one))


async def test_what_was_being_fetched_when_it_was_purged_is_not_valid(empty_redis: Server) -> None:
    async with two(empty_redis.url) as (one, other):
        fetched = tagged(other)  # its fetch began
        one.purge(TAG)
        await until(lambda: other.purges.last > fetched.seen)
        assert not other.purges.valid(fetched)


async def test_purges_of_one_turn_go_in_one_call(empty_redis: Server) -> None:
    async with two(empty_redis.url) as (one, other):
        before = other.purges.last
        with empty_redis.client as client:
            calls = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
            for number in range(100):
                one.purge([number + 1])
            assert await one.landed(2.0)
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] <= calls + 2
        await until(lambda: other.purges.last > before)


async def test_a_mirror_that_was_disconnected_obeys_after_its_return(empty_redis: Server) -> None:
    async with two(empty_redis.url) as (one, other):
        there = tagged(other)
        with empty_redis.client as client:
            for _ in range(3):
                client.client_kill_filter(_type="normal", skipme=True)
                one.purge(TAG)
        await until(lambda: not other.purges.valid(there))
        assert await one.landed(5.0)
        await until(lambda: current(one) and current(other) and one.purges.last == other.purges.last)


async def test_while_redis_is_away_only_what_is_new_is_reused_and_purges_wait(own_redis: Server) -> None:
    async with two(own_redis.url) as (one, other):
        there, new = tagged(other), tagged(other)
        assert other.may_reuse(there, CLOCK.monotonic_ms())
        own_redis.signal(signal.SIGSTOP)
        try:
            one.purge(TAG)
            await until(lambda: not current(other), 3.0)
            assert not other.may_reuse(there, CLOCK.monotonic_ms())
            new.new_until_ms = CLOCK.monotonic_ms() + 1_000
            assert other.may_reuse(new, new.new_until_ms - 1)
            assert not other.may_reuse(new, new.new_until_ms)
            assert not await one.landed(0.01)
            assert one.waiting
        finally:
            own_redis.signal(signal.SIGCONT)
        await until(lambda: current(other) and not other.purges.valid(there))
        assert await one.landed(5.0)
        assert not one.waiting


async def test_a_redis_that_came_back_empty_makes_everything_invalid(own_redis: Server) -> None:
    """Nobody knows what was purged in between."""
    async with two(own_redis.url) as (one, other):
        one.purge([1])
        assert await one.landed(2.0)
        await until(lambda: one.purges.last == other.purges.last)
        kept = tagged(other)
        assert other.purges.valid(kept)
        own_redis.kill()
        own_redis.start()
        await until(lambda: not other.purges.valid(kept))
        await until(lambda: current(other) and other.purges.floor > kept.seen)
        # Once what was lost has been purged anew: until then nobody knows which was first.
        await until(lambda: other.purges.valid(tagged(other)))


async def test_a_log_that_was_deleted_begins_with_a_floor(empty_redis: Server) -> None:
    async with two(empty_redis.url) as (one, other):
        kept = tagged(other)
        with empty_redis.client as client:
            client.delete(LOG)
            one.purge([1])
            assert await one.landed(2.0)
            first, *_ = client.xrange(LOG)
            assert first[1] == {b"d": b""}
        await until(lambda: not other.purges.valid(kept))


async def test_a_trimmed_log_invalidates_what_is_older_than_it(own_redis: Server) -> None:
    """Of a mirror that stood still while records were trimmed that it had not read."""
    clock = Ahead()
    async with mirror(own_redis.url) as one, mirror(own_redis.url, clock) as other:
        await until(lambda: current(one) and other.is_current(clock.monotonic_ms()))
        kept = tagged(other)
        await other.stop()
        one.purge(TAG)
        assert await one.landed(2.0)
        one.purge([7])
        assert await one.landed(2.0)
        with own_redis.client as client:
            client.xtrim(LOG, maxlen=1, approximate=False)
        assert other.purges.valid(kept)
        clock.ahead_ms += 2 * CURRENT_MS
        await other.start()
        await until(lambda: not other.purges.valid(kept))
        assert other.purges.floor > kept.seen


async def test_a_mirror_that_stood_still_looks_whether_the_log_is_the_same(own_redis: Server) -> None:
    """Without having lost its connection."""
    clock = Ahead()
    async with mirror(own_redis.url, clock) as log:
        await until(lambda: log.is_current(clock.monotonic_ms()))
        kept = tagged(log)
        with own_redis.client as client:
            client.delete(LOG)
        clock.ahead_ms += 2 * CURRENT_MS
        assert not log.is_current(clock.monotonic_ms())
        await until(lambda: not log.purges.valid(kept))


async def test_a_new_mirror_knows_the_whole_log(empty_redis: Server) -> None:
    async with mirror(empty_redis.url) as one:
        await until(lambda: current(one))
        before = tagged(one)
        for _ in range(20):
            one.purge(TAG)
            assert await one.landed(2.0)
        await until(lambda: one.purges.last > before.seen)
        after = tagged(one)
        async with mirror(empty_redis.url) as late:
            await until(lambda: current(late))
            assert late.purges.last == one.purges.last
            assert not late.purges.valid(before)
            assert late.purges.valid(after)


async def test_what_a_failover_lost_is_added_again() -> None:
    """The successor is an older copy: it has the log up to a record that all had seen, and a third mirror reads only
    that."""
    port = free_port()
    with server(BINARY, port=port) as old:
        async with two(old.url) as (one, other):
            one.purge([1])
            assert await one.landed(2.0)
            await until(lambda: one.purges.last == other.purges.last)
            with old.client as client:
                copied = client.dump(LOG)
            kept = tagged(one)
            one.purge(TAG)
            assert await one.landed(2.0)
            await until(lambda: one.purges.last == other.purges.last)
            seen_last = one.purges.last
            old.kill()
            with server(BINARY, port=port) as new:
                with new.client as client:
                    client.restore(LOG, 0, copied, replace=True)
                await until(lambda: current(one) and current(other) and one.purges.last > seen_last, 10.0)
                assert one.purges.last > seen_last
                async with mirror(new.url) as third:
                    await until(lambda: current(third) and third.purges.last >= one.purges.last)
                    assert not third.purges.valid(kept)


async def test_what_others_added_below_our_last_is_obeyed() -> None:
    """After a failover a clock that is behind gives ids that a mirror has passed already."""
    port = free_port()
    with server(BINARY, port=port) as old:
        async with mirror(old.url) as log:
            await until(lambda: current(log))
            with old.client as client:
                copied = client.dump(LOG)
            kept = tagged(log)
            log.purge([1])
            assert await log.landed(2.0)
            await until(lambda: log.purges.last > kept.seen)
            kept = tagged(log)
            old.kill()
            with server(BINARY, port=port) as new:
                with new.client as client:
                    client.restore(LOG, 0, copied, replace=True)
                    first = client.xrange(LOG)[0][0].partition(b"-")
                    digests = b"".join(digest.to_bytes(8, "little") for digest in TAG)
                    client.execute_command("XADD", LOG, first[0] + b"-%d" % (int(first[2]) + 1), "d", digests)
                await until(lambda: not log.purges.valid(kept))
                assert await log.landed(5.0)
                await until(lambda: current(log) and log.purges.valid(tagged(log)))


async def test_another_node_behind_a_new_connection_is_compared_with_what_is_known() -> None:
    """No call has failed: as when sentinels name another primary between two calls."""
    with server(BINARY) as one:
        async with mirror(one.url) as log:
            await until(lambda: current(log))
            with one.client as client:
                copied = client.dump(LOG)
                kept = tagged(log)
                log.purge(TAG)
                assert await log.landed(2.0)
                await until(lambda: log.purges.last > kept.seen)
                client.restore(LOG, 0, copied, replace=True)
                before = log.purges.last
                await log._store.forget()
                await until(lambda: log.purges.last > before)
            async with mirror(one.url) as late:
                await until(lambda: current(late) and late.purges.last == log.purges.last)
                assert not late.purges.valid(kept)


@pytest.mark.parametrize(
    ("known", "next_id"),
    [
        ((2**42, 5), b"%d-6" % 2**42),  # Redis' clock is behind what the caller knows
        ((2**42, 2**20 - 1), b"%d-0" % (2**42 + 1)),  # what mirrors have 20 bits for
    ],
)
async def test_ids_never_go_back_and_no_sequence_outgrows_its_bits(
    empty_redis: Server, known: tuple[int, int], next_id: bytes
) -> None:
    store = Store(parse_store_url(empty_redis.url), 1_000)
    script, arguments = load("cache_purges"), (b"%d" % known[0], b"%d" % known[1], b"100")
    first, before, added = await store.run(script, [LOG], *arguments, packed([1]))
    assert (first, before) == (next_id, b"0-0")
    ids = [first, added]
    for _ in range(3):
        _, before, *more = await store.run(script, [LOG], b"0", b"0", b"100", packed([2]), packed([3]))
        assert before == ids[-1]
        ids += more
    assert sorted(map(number_of, ids)) == list(map(number_of, ids))
    assert len(set(ids)) == 8
    assert await store.run(script, [LOG], b"0", b"0", b"100") == [first, ids[-1]]
    await store.close()


async def test_too_much_that_waits_becomes_a_purge_of_everything(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purgelog, "MAX_WAITING", 100)
    async with two(own_redis.url) as (one, other):
        untouched = tagged(other, b"users")
        own_redis.signal(signal.SIGSTOP)
        try:
            one.purge(range(1, 200))
            assert one.waiting == 1
            assert not one.purges.valid(tagged(one, b"anything"))
        finally:
            own_redis.signal(signal.SIGCONT)
        assert await one.landed(8.0)
        await until(lambda: not other.purges.valid(untouched))
        await until(lambda: current(one) and one.purges.last == other.purges.last)
        assert one.purges.valid(tagged(one))
        with own_redis.client as client:
            assert client.xrange(LOG)[-1][1] == {b"d": EVERYTHING.to_bytes(8, "little")}


async def test_stopping_appends_what_waits(empty_redis: Server) -> None:
    async with mirror(empty_redis.url) as other:
        await until(lambda: current(other))
        kept = tagged(other)
        async with mirror(empty_redis.url) as one:
            one.purge(TAG)
        await until(lambda: not other.purges.valid(kept))


async def test_sentinels_and_their_failover_are_followed() -> None:
    with sentinels(BINARY) as nodes:
        async with two(nodes.url) as (one, other):
            kept = tagged(other)
            nodes.failover()
            await until(nodes.nodes[1].is_primary, 20)
            one.purge(TAG)
            await until(lambda: not other.purges.valid(kept), 10)
            assert await one.landed(10)
            await until(lambda: current(other) and current(one), 10)


async def test_a_cluster_has_the_log_at_one_node() -> None:
    with cluster(BINARY) as nodes:
        async with two(nodes.url) as (one, other):
            kept = tagged(other)
            one.purge(TAG)
            await until(lambda: not other.purges.valid(kept))
            with nodes.owner.client as client:
                assert client.exists(LOG)


async def test_an_answer_may_count_what_its_own_request_has_purged_as_seen(empty_redis: Server) -> None:
    async with mirror(empty_redis.url) as log:
        await until(lambda: current(log))
        stored = tagged(log)
        log.purge([*TAG, 12345])
        seen = await log.alone([*TAG, 12345], stored.tags, stored.seen, 5.0)
        assert seen is not None
        assert not log.purges.valid(stored)
        stored.seen = seen
        assert log.purges.valid(stored)
        log.purge(TAG)
        assert not log.purges.valid(stored)


@pytest.mark.parametrize("here", [True, False])
async def test_but_not_what_others_have_purged_meanwhile(empty_redis: Server, here: bool) -> None:
    """Here or in another worker, and whether or not they have purged the same."""
    async with two(empty_redis.url) as (log, other):
        stored = tagged(log)
        (log if here else other).purge(TAG)
        assert await (log if here else other).landed(2.0)
        log.purge(TAG)
        seen = await log.alone(TAG, stored.tags, stored.seen, 5.0)
        stored.seen = stored.seen if seen is None else seen
        await until(lambda: not log.purges.valid(stored))


async def test_what_the_log_does_not_tell_in_time_is_not_known(own_redis: Server) -> None:
    async with mirror(own_redis.url) as log:
        await until(lambda: current(log))
        stored = tagged(log)
        own_redis.signal(signal.SIGSTOP)
        try:
            log.purge(TAG)
            assert await log.alone(TAG, stored.tags, stored.seen, 0.1) is None
        finally:
            own_redis.signal(signal.SIGCONT)
