"""The lane of settlements: renewed while it lives, looked for in the ledger after a rebuild, again after an outage."""

import asyncio
import errno
from functools import partial
from pathlib import Path

import pytest

from proxy.metering import settler as module
from proxy.metering.epoch import Budgets
from proxy.metering.holds import HOLD_LEASE_MS
from proxy.metering.journal import Journal
from proxy.metering.settlement import Effect, pack_reap
from proxy.metering.settler import RENEW_MS, Settler
from proxy.store.client import Store
from tests.metering.purses import CLOCK, ORPHAN, RECORD, counter, gateway, no_limits, opened, purse, rows
from tests.metering.test_batcher import until
from tests.metering.test_leases import Late

PLAN = purse(10_000)


async def test_what_lives_is_renewed_by_itself_before_its_lease_ends(store: Store) -> None:
    await opened(store)
    async with gateway(store) as money:
        hold = (await money.admit(no_limits(), money.new(PLAN, (5,), ORPHAN))).holding.hold
        clock = Late()
        lane = Settler(store, clock, money.standing)
        lane.live[hold.id] = hold
        before = float(await store.command(b"ZSCORE", b"{m0}due", hold.id))
        await lane.start()
        await asyncio.sleep(0.01)
        clock.ahead_ms = RENEW_MS
        lane._wake.set()
        await until(lambda: lane.calls)
        assert float(await store.command(b"ZSCORE", b"{m0}due", hold.id)) > before
        assert RENEW_MS * 3 <= HOLD_LEASE_MS
        await lane.stop()
        await money.release(hold)


async def test_many_ends_travel_in_few_calls(store: Store) -> None:
    await opened(store)
    async with gateway(store, reap_s=60.0) as money:
        admitted = await asyncio.gather(*(money.admit(no_limits(), money.new(PLAN, (5,), ORPHAN)) for _ in range(200)))
        settled = await asyncio.gather(*(money.settle(one.holding.hold, (4,), RECORD) for one in admitted))
        assert {one.effect for one in settled} == {Effect.DONE}
        assert max(one.sums[0] for one in settled) == 800
        assert money.settler.calls <= 5
    assert await counter(store, PLAN) == (800, 0)


async def test_who_missed_a_rebuild_looks_in_the_ledger_before_posting_again(store: Store, tmp_path: Path) -> None:
    """Its end is in the ledger, the rebuilt store has no tombstone of it: posted again it would count twice."""
    await opened(store)
    async with gateway(store, tmp_path / "one") as one:
        hold = (await one.admit(no_limits(), one.new(PLAN, (50,), ORPHAN))).holding.hold
        await one.settle(hold, (30,), RECORD)
        asked: list[bytes] = []

        async def has(ids):
            asked.extend(ids)
            return set(ids)

        one.settler._ledger_has = has
        await store.command(b"FLUSHALL")
        async with gateway(store) as other:
            other.standing.epoch = one.standing.epoch  # what it has seen of the store that is gone

            async def read():
                return {PLAN.keys[0]: (30, PLAN.valid_until_ms)}

            # So quickly that the first has not even noticed.
            assert await other.rebuild(read, wait_s=0)
        await until(lambda: one.standing.budgets is Budgets.OPEN and one.standing.epoch >= other.standing.epoch)
        await until(lambda: one.standing.offered == 0 or one.standing.epoch == one.standing.offered)
        assert await counter(store, PLAN) == (30, 0)


async def test_a_record_leaves_the_journal_when_the_outbox_has_moved_it(store: Store, tmp_path: Path) -> None:
    await opened(store)
    async with gateway(store, tmp_path / "journal") as money:
        journal = money._journal
        assert journal is not None
        hold = (await money.admit(no_limits(), money.new(PLAN, (50,), ORPHAN))).holding.hold
        await money.settle(hold, (30,), RECORD)
        await money.settler.reap(10_000)
        assert set(journal.ended) == {hold.id}
        assert len(await rows(store)) == 1
        (entry, _), *_ = await store.command(b"XRANGE", b"{m0}outbox", b"-", b"+")
        await store.command(b"XDEL", b"{m0}outbox", entry)  # the ledger has committed it
        await until(lambda: not journal.ended)


async def test_a_full_disk_keeps_no_dead_gateways_hold_from_being_orphaned(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal cannot note how far the store is; what is due is named all the same."""
    await opened(store)
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: told.append(report))
    later_ms = CLOCK.now_ms() + 2 * HOLD_LEASE_MS
    async with gateway(store, tmp_path / "journal", reap_s=60.0) as money:
        admitted = await money.admit(no_limits(), money.new(PLAN, (5,), ORPHAN))
        assert admitted.holding is not None
        hold = admitted.holding.hold
        full = OSError(errno.ENOSPC, "no space left")

        def refuse(*_: object) -> None:
            raise full

        with monkeypatch.context() as patched:
            patched.setattr(module, "pack_reap", partial(pack_reap, now_ms=later_ms))
            patched.setattr(Journal, "seen", refuse)
            assert [one.id for one in await money.settler.reap(10**9)] == [hold.id]
        await money.release(hold)
    assert [report["exception"] for report in told] == [full]
