"""Counters, outbox, holds and ledger agree, or the difference is told with its budget and its amount."""

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from proxy.core.storeurl import parse_store_url
from proxy.core.usage import Charge, UsageRecord
from proxy.gateway.reconciliation import reconcile
from proxy.ledger.database import Database, connect
from proxy.ledger.migrate import migrate
from proxy.ledger.mover import Mover
from proxy.ledger.outbox import Outbox
from proxy.metering.holds import HoldPlan
from proxy.metering.keys import period_key
from proxy.store.client import Store
from proxy.store.plain import PlainClient
from tests.ledger.movers import QUICK, Notes
from tests.ledger.samples import RECORD
from tests.metering.purses import CLOCK, EDGES, gateway, no_limits, opened, purse
from tests.store.servers import BINARIES, server


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """As a command does it, in a process of its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/gateway/test_reconciliation.py", {"books"})
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})


@dataclass
class Books:
    store: Store
    streams: Any
    ledger: Database
    plan: HoldPlan

    def record(self, nanousd: int) -> bytes:
        charge = Charge("all", "global", "2026-11", counter=self.plan.keys[0].decode(), ends_ms=EDGES[1])
        record: UsageRecord = replace(RECORD, charges=(charge,), cost_nanousd=nanousd, created_ms=CLOCK.now_ms())
        return record.encode()

    async def spend(self, money: Any, held: int, used: int) -> None:
        """A call that has ended."""
        hold_id = money.new_id()
        record = replace(UsageRecord.decode(self.record(used)), id=hold_id.hex()).encode()
        decision = await money.admit(no_limits(), money.new(self.plan, (held,), self.record(held), hold_id=hold_id))
        assert decision.holding is not None
        await asyncio.wait_for(money.settle(decision.holding.hold, (used,), record), 5)

    async def move(self) -> None:
        await Mover(Outbox(self.streams.client, "m"), self.ledger, CLOCK, Notes(), QUICK).drain()

    async def differences(self) -> list[tuple[str, int, int]]:
        found, _ = await reconcile(self.streams.client, self.ledger, CLOCK.now_ms())
        return [(one.charge.budget, one.settled_off, one.held_off) for one in found]


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    with server(next(iter(BINARIES.values()))) as redis:
        store, streams = Store(parse_store_url(redis.url), 1000), PlainClient(parse_store_url(redis.url), 5.0)
        url = f"sqlite:///{tmp_path}/ledger.db"
        await migrate(url)
        ledger = connect(url)
        await opened(store)
        yield Books(store, streams, ledger, purse(1000))
        await ledger.close()
        await streams.close()
        await store.close()


async def test_they_agree_wherever_a_record_is(books: Books) -> None:
    """Held, in the outbox, in the ledger: nothing is off at any time."""
    async with gateway(books.store) as money:
        await books.spend(money, 9, 4)
        assert await books.differences() == []
        await books.move()
        assert await books.differences() == []
        await books.spend(money, 9, 7)
        await money.admit(no_limits(), money.new(books.plan, (5,), books.record(5)))
        assert await books.differences() == []


async def test_a_counter_that_was_touched_is_told_by_how_much(books: Books) -> None:
    async with gateway(books.store) as money:
        await books.spend(money, 9, 4)
        await books.move()
    kept = await books.streams.client.execute_command("GET", books.plan.keys[0])
    off = kept[:1] + struct.pack("<dd", 10.0, 3.0)
    await books.streams.client.execute_command("SET", books.plan.keys[0], off)
    assert await books.differences() == [("all", 6, 3)]


async def test_a_counter_that_nobody_can_name_is_told_too(books: Books) -> None:
    """By its key: the ledger, the outbox and the holds know nothing of it."""
    stray = period_key(b"{m0}b:stray", EDGES[0], EDGES[1])
    await books.streams.client.execute_command("SET", stray, struct.pack("<Bdd", 5, 7.0, 0.0))
    past = period_key(b"{m0}b:past", 0, 1)
    await books.streams.client.execute_command("SET", past, struct.pack("<Bdd", 5, 7.0, 0.0))
    assert await books.differences() == [("?", 7, 0)]
