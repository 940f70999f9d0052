"""Budgets open with what the ledger says, and only as long as nobody writes meanwhile."""

import asyncio

from proxy.metering.epoch import Standing
from proxy.metering.rebuild import CHUNK, Sums, close, rebuild
from proxy.metering.takes import Outcome
from proxy.store.client import Store
from tests.metering.purses import ORPHAN, RECORD, counter, gateway, no_limits, nothing_spent, opened, purse

PLAN = purse(1_000)


async def test_a_fresh_store_is_closed_until_it_is_opened(store: Store) -> None:
    async with gateway(store) as money:
        ask = money.new(PLAN, (10,), ORPHAN)
        assert (await money.admit(no_limits(), ask)).outcome is Outcome.CLOSED
        await opened(store)
        decision = await money.admit(no_limits(), ask)
        assert decision.admitted
        assert await store.command(b"HLEN", b"{m0}holds") == 1
        await money.release(decision.holding.hold)


async def test_counters_are_what_was_read_and_what_is_held_stays(store: Store) -> None:
    await opened(store)
    async with gateway(store) as money:
        hold = (await money.admit(no_limits(), money.new(PLAN, (10,), ORPHAN))).holding.hold
        sums = {b"{m0}b:%d" % number: (number, PLAN.valid_until_ms) for number in range(CHUNK + 3)}

        async def read() -> Sums:
            return {**sums, PLAN.keys[0]: (77, PLAN.valid_until_ms)}

        assert await money.rebuild(read, wait_s=0)
        assert await counter(store, PLAN) == (77, 10)
        await money.settle(hold, (3,), RECORD)
        assert await counter(store, PLAN) == (80, 0)


async def test_it_reads_again_when_a_gateway_has_posted_meanwhile(store: Store) -> None:
    """What came while it read is not in what it read."""
    await opened(store)
    async with gateway(store) as money:
        hold = (await money.admit(no_limits(), money.new(PLAN, (10,), ORPHAN))).holding.hold
        reads = []

        async def read() -> Sums:
            reads.append(len(reads))
            if len(reads) == 1:
                await money.settle(hold, (4,), RECORD)
            return {PLAN.keys[0]: (4 * (len(reads) > 1), PLAN.valid_until_ms)}

        assert await money.rebuild(read, wait_s=0)
        assert len(reads) == 2
        assert await counter(store, PLAN) == (4, 0)


async def test_of_many_who_rebuild_one_opens(store: Store) -> None:
    await close(store, Standing())
    done = await asyncio.gather(*(rebuild(store, Standing(), nothing_spent, wait_s=0.05) for _ in range(4)))
    assert done.count(True) == 1
