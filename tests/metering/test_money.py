"""No more than fits, once, and nothing lost: with real gateways, real Redis, lost replies, and deaths."""

import asyncio
import errno
import signal
from pathlib import Path

import pytest

from proxy.metering.epoch import Budgets
from proxy.metering.journal import Journal
from proxy.metering.settlement import Effect
from proxy.metering.takes import Outcome
from proxy.store.client import Store, connect
from proxy.store.errors import StoreAway
from tests.metering.faults import lossy
from tests.metering.purses import (
    ORPHAN,
    RECORD,
    Killed,
    counter,
    gateway,
    no_limits,
    one_limit,
    opened,
    purse,
    rows,
)
from tests.metering.test_batcher import until
from tests.store.servers import BINARIES, Server, cluster, server

NANO_USD = 1_000_000_000


async def a_burst(stores: list[Store]) -> None:
    """200 calls at once over four gateways against a budget for 37 of them, and another that fits all."""
    amount = 27 * NANO_USD + 1
    plan = purse(38 * amount - 1, "all", "wide")
    limits = one_limit(1_000)
    await opened(stores[0])
    async with gateway(stores[0]) as a, gateway(stores[1]) as b, gateway(stores[2]) as c, gateway(stores[3]) as d:
        moneys = (a, b, c, d)

        async def call(number: int) -> int:
            money = moneys[number % 4]
            decision = await money.admit(limits, money.new(plan, (amount, 5), ORPHAN))
            if not decision.admitted:
                assert decision.holding is not None
                assert [meter.name for meter in decision.holding.refused_by()] == ["all"]
                assert decision.retry_after_ms
                return 0
            assert decision.holding is not None
            await asyncio.sleep(0.001 * (number % 7))
            return number, decision.holding.hold, money

        admitted = [one for one in await asyncio.gather(*(call(number) for number in range(200))) if one]
        assert len(admitted) == 37
        assert await counter(stores[0], plan) == (0, 37 * amount)
        assert await counter(stores[0], plan, 1) == (0, 37 * 5), "a refused call has taken from neither"
        spent = [amount - number for number, _, _ in admitted]
        ends = [money.settle(hold, (used, 3), RECORD) for used, (_, hold, money) in zip(spent, admitted, strict=True)]
        settled = await asyncio.gather(*ends)
        assert {one.effect for one in settled} == {Effect.DONE}
    assert await counter(stores[0], plan) == (sum(spent), 0)
    assert await counter(stores[0], plan, 1) == (37 * 3, 0)
    assert len(await rows(stores[0])) == 37


async def test_never_one_more_than_fits(store: Store, redis_server: Server) -> None:
    stores = [store, *[await connect(redis_server.url, 1_000) for _ in range(3)]]
    await a_burst(stores)
    for each in stores[1:]:
        await each.close()


async def test_nor_on_a_cluster() -> None:
    with cluster(list(BINARIES.values())[-1]) as nodes:
        stores = [await connect(nodes.url, 2_000) for _ in range(4)]
        await a_burst(stores)
        for each in stores:
            await each.close()


async def test_a_lost_reply_settles_once(store: Store, redis_server: Server) -> None:
    """The script has run, nobody heard: it is posted again, and the tombstone tells."""
    plan = purse(1_000)
    await opened(store)
    async with lossy(redis_server.socket) as path:
        far = await connect(path.url, 1_000)
        async with gateway(far, reap_s=60.0) as money:
            effects = []
            while Effect.ENDED not in effects:  # until it was this reply that was lost, and not a heartbeat's
                hold = (await money.admit(no_limits(), money.new(plan, (600,), ORPHAN))).holding.hold
                path.lose = 1
                effects.append((await money.settle(hold, (2,), RECORD)).effect)
                assert len(effects) < 10
                await until(lambda: not path.lose)
            assert await counter(store, plan) == (2 * len(effects), 0)
        await far.close()
    assert len(await rows(store)) == len({name for name, _, _, _ in await rows(store)}) == len(effects)


async def test_what_a_dead_gateway_held_is_orphaned_by_its_successor_and_by_nobody_twice(
    store: Store, tmp_path: Path
) -> None:
    """The journal says what it held: settled at the hold, and what it had ended but not posted is posted."""
    plan = purse(1_000)
    await opened(store)
    async with gateway(store, tmp_path / "journal") as money:
        one = (await money.admit(no_limits(), money.new(plan, (300,), ORPHAN))).holding.hold
        (await money.admit(no_limits(), money.new(plan, (200,), ORPHAN))).holding  # noqa: B018 - it is never ended
        (await money.admit(no_limits(), money.new(plan, (100,), ORPHAN, sent=False))).holding  # noqa: B018
        money.settle(one, (40,), RECORD)  # journaled, and not yet posted
        raise Killed
    assert await counter(store, plan) == (0, 600)
    for _ in range(2):
        async with gateway(store, tmp_path / "journal") as again:
            await until(lambda again=again: not again.settler._queue)
        assert await counter(store, plan) == (240, 0)
    assert sorted(state for _, _, state, _ in await rows(store)) == [b"orphaned", b"settled"]


async def test_a_store_that_comes_back_empty_is_closed_told_again_and_rebuilt(store: Store, tmp_path: Path) -> None:
    """Counter = ledger sum + live holds, as if nothing had happened; meanwhile nothing is admitted."""
    plan = purse(1_000)
    await opened(store)
    async with gateway(store, tmp_path / "journal") as money:
        moved = (await money.admit(no_limits(), money.new(plan, (300,), ORPHAN))).holding.hold
        await money.settle(moved, (120,), RECORD)  # the ledger will have this one
        lives = (await money.admit(no_limits(), money.new(plan, (200,), ORPHAN))).holding.hold
        ended = (await money.admit(no_limits(), money.new(plan, (200,), ORPHAN))).holding.hold
        await money.settle(ended, (50,), RECORD)  # and not this one
        money.settler._ledger_has = ledger_with(moved.id)
        await store.command(b"FLUSHALL")
        refused = await money.admit(no_limits(), money.new(plan, (1,), ORPHAN))
        assert refused.outcome is Outcome.CLOSED
        assert not refused.admitted
        await until(lambda: money.settler._told_again)

        async def read() -> dict[bytes, tuple[int, int]]:
            outbox = {name for name, _, _, _ in await rows(store)}
            assert outbox == {moved.id, ended.id}, "both were journaled until the ledger has them"
            return {plan.keys[0]: (120 + 50, plan.valid_until_ms)}

        assert await money.rebuild(read, wait_s=0)
        await until(lambda: money.standing.budgets is Budgets.OPEN)
        assert await counter(store, plan) == (170, 200)
        full = await money.admit(no_limits(), money.new(plan, (631,), ORPHAN))
        assert full.outcome is Outcome.REFUSED
        assert (await money.settle(lives, (5,), RECORD)).effect is Effect.DONE
        assert await counter(store, plan) == (175, 0)


def ledger_with(*ids: bytes):
    async def has(asked) -> set[bytes]:
        return set(ids) & set(asked)

    return has


@pytest.mark.parametrize("binary", list(BINARIES.values())[-1:], ids=list(BINARIES)[-1:])
async def test_those_who_gave_up_hold_nothing(binary: str) -> None:
    """Redis stalls; the callers have long gone when it reads what they asked."""
    with server(binary) as stopped:
        store = await connect(stopped.url, 100)
        await opened(store)
        plan = purse(1_000)
        async with gateway(store, reap_s=60.0) as money:
            first = (await money.admit(no_limits(), money.new(plan, (10,), ORPHAN))).holding.hold
            stopped.signal(signal.SIGSTOP)
            calls = [money.admit(no_limits(), money.new(plan, (20,), ORPHAN)) for _ in range(20)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, StoreAway) for result in results)
            stopped.signal(signal.SIGCONT)
            await until(lambda: not money.settler._queue)
            assert await counter(store, plan) == (0, 10)
            await money.release(first)
            assert await counter(store, plan) == (0, 0)
        await store.close()


async def test_the_outbox_has_a_bound_that_closes_admission_and_never_settlement(store: Store) -> None:
    plan = purse(1_000)
    await opened(store)
    async with gateway(store) as money:
        money._meters.batcher.outbox_bound = 1
        one = (await money.admit(no_limits(), money.new(plan, (10,), ORPHAN))).holding.hold
        two = (await money.admit(no_limits(), money.new(plan, (10,), ORPHAN))).holding.hold
        assert (await money.settle(one, (10,), RECORD)).effect is Effect.DONE
        full = await money.admit(no_limits(), money.new(plan, (10,), ORPHAN))
        assert full.outcome is Outcome.OUTBOX_FULL
        assert (await money.settle(two, (10,), RECORD)).effect is Effect.DONE
        assert money.standing.backlog == 2


async def test_a_hold_that_is_not_sent_yet_is_marked_by_its_renewal(store: Store) -> None:
    plan = purse(1_000)
    await opened(store)
    async with gateway(store) as money:
        hold = (await money.admit(no_limits(), money.new(plan, (10,), ORPHAN, sent=False))).holding.hold
        money.streamed(hold, 3)
        assert (await money.renew(hold)).effect is Effect.DONE
        assert money.settler.live[hold.id].sent
        await money.release(hold)
        assert (await money.renew(hold)).effect is Effect.ENDED, "so it must not go upstream"
        money.settler.live.clear()


async def test_a_journal_that_cannot_be_written_lets_no_call_go_and_keeps_none(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken is given back; what ends while the disk is full is settled all the same."""
    plan = purse(100)
    await opened(store)
    full = OSError(errno.ENOSPC, "no space left")
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: told.append(report))
    async with gateway(store, tmp_path / "journal") as money:
        under_way = await money.admit(no_limits(), money.new(plan, (7,), RECORD))
        assert under_way.holding is not None

        def refuse(*_: object) -> None:
            raise full

        monkeypatch.setattr(Journal, "hold", refuse)
        monkeypatch.setattr(Journal, "end", refuse)
        with pytest.raises(StoreAway):
            await money.admit(no_limits(), money.new(plan, (9,), RECORD))
        await asyncio.wait_for(money.settle(under_way.holding.hold, (3,), RECORD), 5)
        async with asyncio.timeout(5):
            while await counter(store, plan) != (3, 0):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        assert not money.settler.live
    assert [report["exception"] for report in told] == [full]
