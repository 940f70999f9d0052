"""Budgets are opened by whoever knows the ledger; nobody waits where nobody can have anything to tell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from proxy.core.storeurl import parse_store_url
from proxy.gateway import rebuilder as module
from proxy.gateway.journals import Journals
from proxy.gateway.rebuilder import Rebuilder
from proxy.metering.epoch import Standing
from proxy.metering.holds import Hold
from proxy.metering.rebuild import Sums, close, is_closed
from proxy.store.client import Store
from tests.e2e.gateway import reached
from tests.metering.purses import RECORD, counter, gateway, no_limits, opened, purse
from tests.store.servers import BINARIES, server


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    with server(next(iter(BINARIES.values()))) as redis:
        connected = Store(parse_store_url(redis.url), 1000)
        yield connected
        await connected.close()


class Ledger:
    """What a rebuild is told; it may be away for a while."""

    def __init__(self) -> None:
        self.sums: Sums = {}
        self.ended: Sequence[Hold] = ()
        self.away = 0
        self.opened = False
        self.rebuilt = 0

    async def read(self) -> Sums:
        if self.away:
            self.away -= 1
            raise ConnectionError("away")
        return self.sums

    async def first(self) -> bool:
        was, self.opened = self.opened, True
        return not was

    async def gone(self) -> Sequence[Hold]:
        return self.ended

    def count(self) -> None:
        self.rebuilt += 1


@contextlib.asynccontextmanager
async def running(store: Store, journals: Path, ledger: Ledger) -> AsyncIterator[Rebuilder]:
    one = Rebuilder(store, journals, ledger.read, ledger.gone, ledger.first, ledger.count, look_s=0.01)
    task = asyncio.create_task(one.run())
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_installation_is_open_at_once(store: Store, tmp_path: Path) -> None:
    ledger = Ledger()
    async with running(store, tmp_path, ledger) as one, asyncio.timeout(5):
        await one.open.wait()
    assert ledger.rebuilt == 1
    assert not await is_closed(store, Standing())


async def test_where_somebody_may_have_something_to_tell_it_waits(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def seen(_store: Store, _standing: Standing, _read: object, *, wait_s: float) -> bool:
        waited.append(wait_s)
        return True

    monkeypatch.setattr(module, "rebuild", seen)
    ledger = Ledger()
    ledger.opened = True  # by somebody whose holds nobody has told yet: there is no sum of theirs
    async with running(store, tmp_path, ledger):
        await reached(lambda: waited)
    journal = await asyncio.to_thread(Journals(tmp_path).open)
    journal.seen(7, 7)
    async with running(store, tmp_path, Ledger()):
        await reached(lambda: len(waited) > 1)
    assert waited[0] == waited[-1] == module.WAIT_S


async def test_whom_another_forestalls_closes_nothing_again(store: Store, tmp_path: Path) -> None:
    """Two gateways of a new installation start at once: the second waits for nobody either."""
    ledger = Ledger()
    ledger.opened = True

    async def meanwhile() -> bool:
        await opened(store)
        return False

    ledger.first = meanwhile  # type: ignore[method-assign]
    async with running(store, tmp_path, ledger) as one, asyncio.timeout(5):
        await one.open.wait()
    assert ledger.rebuilt == 0


async def test_a_ledger_that_is_away_keeps_budgets_closed_until_it_is_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    ledger = Ledger()
    ledger.away = 5
    async with running(store, tmp_path, ledger) as one:
        async with asyncio.timeout(5):
            await one.open.wait()
        assert ledger.away == 0


async def test_counters_are_set_by_the_ledger_and_a_hold_that_had_ended_is_let_go_of(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that came back older has it still: at its lease's end it would be settled a second time."""
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    plan = purse(100)
    await opened(store)
    async with gateway(store) as money:
        ended, live = [await money.admit(no_limits(), money.new(plan, (9,), RECORD)) for _ in range(2)]
        assert ended.holding is not None
        assert live.holding is not None
        ledger = Ledger()
        ledger.sums = {plan.keys[0]: (4, 2**50)}
        ledger.ended = [ended.holding.hold]
        await close(store, Standing())
        async with running(store, tmp_path, ledger):
            await reached(lambda: ledger.rebuilt)
        assert await counter(store, plan) == (4, 9)
