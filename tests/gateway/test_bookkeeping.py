"""What the background process does with a ledger, in this process: opens it, moves into it, tells grants."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.core.usage import Charge
from proxy.gateway import bookkeeping as module
from proxy.gateway.bookkeeping import Bookkeeping, by_budget
from proxy.gateway.control import Granted as GrantedMessage
from proxy.ledger.database import connect
from proxy.ledger.grants import Ending, Grant, Grants
from proxy.metering.budgets import Granted
from proxy.policy.spending import Ledger
from proxy.store.client import Store
from proxy.store.plain import PlainClient
from proxy.telemetry.metrics import LEDGER_ROWS, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.e2e.gateway import reached
from tests.gateway.lives import POLICY
from tests.ledger.samples import a_record, an_entry
from tests.store.servers import BINARIES, server

CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """This process answers no client."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/gateway/alerting.py", {"__init__"})  # certificates, once
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})
        function.can_block_in("redis/utils.py", {"get_lib_version"})


@dataclass
class Stand:
    url: str
    books: Bookkeeping
    streams: PlainClient
    metrics: Metrics
    told: list[GrantedMessage] = field(default_factory=list)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    url = f"sqlite:///{tmp_path}/data/ledger.db"
    policy = replace(POLICY, data_dir=str(tmp_path), ledger=Ledger(url, keep_ms=None))
    with server(next(iter(BINARIES.values()))) as redis:
        address = parse_store_url(redis.url)
        store, streams = Store(address, 1000), PlainClient(address, 5.0)
        metrics = Metrics(Sheet(SheetFiles.make()))
        told: list[GrantedMessage] = []

        async def granted(message: GrantedMessage) -> None:
            told.append(message)

        books = Bookkeeping(policy, store, streams.client, "me", metrics, CLOCK, granted)
        async with books:
            yield Stand(url, books, streams, metrics, told)
        await store.close()
        await streams.close()


async def test_a_new_file_is_made_and_budgets_are_opened(stand: Stand) -> None:
    async with asyncio.timeout(10):
        await stand.books.open()


async def test_what_is_in_the_outbox_comes_into_the_ledger_and_is_known_there(stand: Stand) -> None:
    name = bytes(range(16))
    fields = an_entry(replace(a_record(name.hex()), created_ms=CLOCK.now_ms()))
    flat = [part for pair in fields.items() for part in pair]
    async with asyncio.timeout(10):
        await stand.books.open()
        await stand.streams.client.execute_command("XADD", "{m0}outbox", "*", *flat)
        slot = stand.metrics.slot(LEDGER_ROWS)
        await reached(lambda: stand.metrics.values[slot] == 1)
    assert await stand.books.has([name, bytes(16)]) == {name}


@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_grant_is_told_and_so_is_its_end(stand: Stand, by_itself: bool) -> None:
    """By itself, or before its time."""
    async with asyncio.timeout(15):
        await stand.books.open()
        database = connect(stand.url, pool=1)
        now_ms = CLOCK.now_ms()
        until_ms = now_ms + (1500 if by_itself else 3_600_000)
        grant = await Grants(database).append(Grant("user", "user:iss ann", 5, now_ms, until_ms, "why", "who"))
        await reached(lambda: stand.told)
        assert stand.told[0].granted == {("user", "user:iss ann"): (Granted(5, until_ms),)}
        if not by_itself:
            await Grants(database).end([grant.id], Ending(CLOCK.now_ms(), "why", "who"))
        await reached(lambda: len(stand.told) > 1)
        assert stand.told[1].granted == {}
        await database.close()


def test_grants_of_one_budget_stand_side_by_side() -> None:
    """Each ends by itself."""
    made = [Grant("b", "s", amount, 0, until, "why", "who") for amount, until in ((5, 10), (-2, 20))]
    assert by_budget(made) == {("b", "s"): (Granted(5, 10), Granted(-2, 20))}


async def test_a_rebuild_counts_an_outbox_that_is_longer_than_a_page(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All of it, each record once; of one that is too long the ledger takes some first."""
    monkeypatch.setattr(module, "PAGE", 10)
    monkeypatch.setattr(module, "OPEN_AGAIN_S", 0.01)
    now_ms = CLOCK.now_ms()
    charge = Charge("all", "global", "2026-11", counter="{m0}b:x:1:2", ends_ms=now_ms + 10**8)

    def entry(number: int, **changes: Any) -> list[bytes]:
        record = replace(a_record(f"{number:032x}"), created_ms=now_ms, cost_nanousd=10, charges=(charge,))
        return [part for pair in an_entry(replace(record, **changes)).items() for part in pair]

    async with asyncio.timeout(20):
        await stand.books.open()
        stand.books._mover.stop()
        assert stand.books._moving is not None
        await stand.books._moving
        for number in range(25):
            await stand.streams.client.execute_command("XADD", "{m0}outbox", "*", *entry(number))
        await stand.streams.client.execute_command("XADD", "{m0}outbox", "*", *entry(0))
        await stand.streams.client.execute_command("XADD", "{m0}outbox", "*", *entry(1, rev=2, cost_nanousd=3))
        assert await stand.books._settled() == {b"{m0}b:x:1:2": (243, now_ms + 10**8)}
        monkeypatch.setattr(module, "MOST_OUTBOX", 20)
        reading = asyncio.create_task(stand.books._settled())
        await reached(lambda: "budgets wait for the outbox" in caplog.text)
        assert not reading.done()
        await stand.books._mover.drain()
        assert await reading == {b"{m0}b:x:1:2": (243, now_ms + 10**8)}
