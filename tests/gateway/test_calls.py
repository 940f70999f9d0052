"""A worker's calls over all policies: a journal from the first that spends, answers that outlive their clients."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.core.usage import Tokens
from proxy.gateway import calls as module
from proxy.gateway.callrecord import Ended
from proxy.gateway.calls import Calls, spends
from proxy.gateway.control import Start
from proxy.gateway.journals import Journals, journals
from proxy.metering.journal import Journal
from proxy.metering.meters import Meters
from proxy.metering.settlement import releasing
from proxy.store.client import Store
from proxy.telemetry.metrics import AI_CALLS, AI_SPEND, AI_UNDER_WAY, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.e2e.gateway import reached
from tests.gateway.calls import offer_for
from tests.gateway.lives import POLICY
from tests.metering.purses import RECORD, counter, gateway, no_limits, opened, purse
from tests.metering.test_budgets import budget, route
from tests.store.servers import BINARIES, server


class Worker:
    def __init__(self, store: Store, data_dir: Path) -> None:
        self.meters = Meters(store, SystemClock())
        self.metrics = Metrics(Sheet(SheetFiles.make()))
        start = Start(0, 1, "", "me", replace(POLICY, data_dir=str(data_dir)))
        self.calls = Calls(start, store, self.meters, SystemClock(), self.metrics)

    async def __aenter__(self) -> Calls:
        await self.meters.start()
        await self.calls.start(spends=True)
        return self.calls

    async def __aexit__(self, *_: object) -> None:
        await self.calls.stop()
        await self.meters.stop()


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    with server(next(iter(BINARIES.values()))) as redis:
        connected = Store(parse_store_url(redis.url), 1000)
        await opened(connected)
        yield connected
        await connected.close()


async def test_a_worker_whose_policy_spends_nothing_writes_nothing(store: Store, tmp_path: Path) -> None:
    assert not spends(POLICY)
    calls = Worker(store, tmp_path).calls
    await calls.start(spends=False)
    await calls.stop()
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def settled(store: Store) -> None:
    """Until the hold has become spending."""
    async with asyncio.timeout(5):
        while await counter(store, purse(100)) != (9, 0):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.01)


async def left_by_a_dead_worker(store: Store, folder: Path) -> None:
    """One hold, of which nobody will ever say what became of it."""
    own = Journals(journals(str(folder)))
    journal = await asyncio.to_thread(own.open)
    async with gateway(store) as money:
        decision = await money.admit(no_limits(), money.new(purse(100), (9,), RECORD))
        assert decision.holding is not None
        journal.hold(decision.holding.hold)
        money.settler.live.clear()  # it is not renewed any more
    own.close()


async def test_what_a_dead_worker_has_left_is_settled_at_its_hold_at_once(store: Store, tmp_path: Path) -> None:
    await left_by_a_dead_worker(store, tmp_path)
    assert await counter(store, purse(100)) == (0, 9)
    async with Worker(store, tmp_path):
        await settled(store)


async def test_so_is_what_one_leaves_that_dies_later(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent that is killed leaves workers that drain beside those of its successor."""
    monkeypatch.setattr(module, "TAKE_OVER_S", 0.05)
    async with Worker(store, tmp_path):
        await left_by_a_dead_worker(store, tmp_path)
        await settled(store)


async def test_a_disk_that_was_full_only_delays_what_a_dead_worker_has_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is let go of with each attempt that fails, so that the next one finds the journal again."""
    monkeypatch.setattr(module, "TAKE_OVER_S", 0.02)
    attempts = 0
    absorb = Journal.absorb

    def full(self: Journal, other: Journal) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 3:
            raise OSError(errno.ENOSPC, "no space left")
        absorb(self, other)

    monkeypatch.setattr(Journal, "absorb", full)
    async with Worker(store, tmp_path):
        await left_by_a_dead_worker(store, tmp_path)
        await settled(store)
    assert attempts == 4


async def test_what_runs_without_a_client_is_given_up_at_the_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_ANSWERS_S", 0.05)
    ends: list[str] = []

    async def way(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("given up")
            raise

    async with Worker(store, tmp_path) as calls:
        calls.carry(way(0))
        calls.carry(way(60))
    assert ends == ["done", "given up"]


async def test_calls_are_counted_by_how_they_ended(store: Store, tmp_path: Path) -> None:
    worker = Worker(store, tmp_path)
    one = route(budget())
    offer = offer_for(one, 10**9)
    async with worker as calls:
        calls.held(one, offer)
        value = worker.metrics.values
        assert value[worker.metrics.slot(AI_UNDER_WAY)] == 1
        calls.spent(one, offer, Ended(5 * 10**8, Tokens(input=7), estimated=True, overrun=False))
        assert value[worker.metrics.slot(AI_UNDER_WAY)] == 0
        assert value[worker.metrics.slot(AI_CALLS, one.name, "openai", "estimated")] == 1
        assert value[worker.metrics.slot(AI_SPEND, one.name, "openai", "pro")] == 0.5


async def test_an_end_that_the_ledger_has_is_not_kept_for_ever(store: Store, tmp_path: Path) -> None:
    """Without a record there is nothing that could land: the journal forgets it as soon as it is answered."""
    async with Worker(store, tmp_path) as calls:
        decision = await calls.money.admit(no_limits(), calls.money.new(purse(100), (9,), RECORD))
        assert decision.holding is not None
        calls.money.settler.post(releasing(decision.holding.hold))
        await reached(lambda: not calls.money.settler._queue)
        assert await counter(store, purse(100)) == (0, 0)
