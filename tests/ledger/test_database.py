"""Transactions that write alone and read one state, over a pooler that keeps no session, on files that survive."""

import asyncio
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import insert, select, text

from proxy.ledger.book import Book
from proxy.ledger.database import Database, connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import Fault, LedgerAway
from proxy.ledger.grants import Grants
from proxy.ledger.migrate import head, migrate, version
from proxy.ledger.reports import By, report
from proxy.ledger.retention import LEAST_KEPT_MS, retain
from proxy.ledger.schema import budget_sums
from proxy.ledger.sums import kept, recounted
from proxy.ledger.writer import write
from tests.ledger.pooler import pooler
from tests.ledger.postgres import Postgres
from tests.ledger.samples import NOW_MS, a_firing, a_record, an_arrival
from tests.ledger.test_grants import GRANT

ROW = {"budget": "b", "scope": "s", "period": "p", "cost_nanousd": 1, "changed_at": 0}


async def test_everything_works_through_a_transaction_pooler(postgres_server: Postgres) -> None:
    """Every part of the ledger, each transaction in another session than the one before."""
    with tempfile.TemporaryDirectory(prefix="sg-pool-") as folder:
        async with pooler(postgres_server.folder, Path(folder)):
            url = f"postgresql://postgres@/postgres?host={folder}&schema=pooled"
            assert await migrate(url) == (None, head())
            database = connect(url)
            for n in range(5):
                await write(database, [an_arrival(a_record(f"r{n}-{k}")) for k in range(20)], NOW_MS)
            await write(database, [an_arrival(a_record("r0-0", rev=2, cost_nanousd=1))], NOW_MS)
            assert await version(database) == head()
            assert (await report(database, [By.TENANT, By.DAY]))[0].totals.calls == 100
            assert await kept(database) == await recounted(database, 0)
            assert await Deliveries(database).fire([a_firing()], NOW_MS) == {"alert-1"}
            (taken,) = await Deliveries(database).due("ops", NOW_MS, 9, 1000)
            await Deliveries(database).delivered(taken, NOW_MS)
            assert await Deliveries(database).oldest() == {}
            assert await Book(database).hours(NOW_MS + 100, 1)
            assert await Book(database).living(NOW_MS) == []
            assert await Grants(database).active(NOW_MS) == []
            await Grants(database).append(GRANT)
            assert (await retain(database, LEAST_KEPT_MS, NOW_MS + 2 * LEAST_KEPT_MS)).partitions
            await database.close()


async def test_the_pooler_of_this_test_is_hostile(postgres_server: Postgres) -> None:
    """With statements prepared by name the same pooler fails: the test above could fail."""
    with tempfile.TemporaryDirectory(prefix="sg-pool-") as folder:
        async with pooler(postgres_server.folder, Path(folder)):
            plain = await asyncpg.connect(host=folder, user="postgres", database="postgres")
            assert await plain.fetchval("SELECT $1::int", 1) == 1
            with pytest.raises(asyncpg.InvalidSQLStatementNameError):
                await plain.fetchval("SELECT $1::int", 1)
            plain.terminate()


async def test_what_fails_half_way_leaves_nothing(ledger: Database) -> None:
    async def fail() -> None:
        async with ledger.writing() as connection:
            await connection.execute(insert(budget_sums), ROW)
            raise KeyError("ours")

    with pytest.raises(KeyError):
        await fail()
    async with ledger.reading() as connection:
        assert (await connection.execute(select(budget_sums))).all() == []


async def test_writers_take_turns(ledger: Database) -> None:
    """What one reads before it writes nobody changes in between: no lost update, with no lock on any row."""
    async with ledger.writing() as connection:
        await connection.execute(insert(budget_sums), ROW | {"cost_nanousd": 0})

    async def add() -> None:
        async with ledger.writing() as connection:
            found = (await connection.execute(select(budget_sums.c.cost_nanousd))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(budget_sums.update().values(cost_nanousd=found + 1))

    await asyncio.gather(*(add() for _ in range(12)))
    async with ledger.reading() as connection:
        assert (await connection.execute(select(budget_sums.c.cost_nanousd))).scalar_one() == 12


async def test_a_reader_sees_one_state_and_holds_up_no_writer(ledger: Database) -> None:
    async with ledger.reading() as reader:
        assert (await reader.execute(select(budget_sums))).all() == []
        async with ledger.writing() as writer:
            await writer.execute(insert(budget_sums), ROW)
        assert (await reader.execute(select(budget_sums))).all() == []
    async with ledger.reading() as reader:
        assert len((await reader.execute(select(budget_sums))).all()) == 1


async def test_waits_and_transactions_are_timed(url: str) -> None:
    await migrate(url)
    times: list[str] = []
    note: Callable[[str, float], None] = lambda what, seconds: times.append(what) if seconds >= 0 else None  # noqa: E731
    database = connect(url, on_time=note)
    async with database.writing():
        pass
    async with database.reading():
        pass
    assert times == ["pool", "write", "pool", "read"]
    await database.close()


async def test_a_file_keeps_what_was_committed(tmp_path: Path) -> None:
    """Written to disk before the outbox forgets it, and made so that it can shrink."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    database = connect(url)
    async with database.writing() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("synchronous", "journal_mode", "auto_vacuum")
        }
    assert found == {"synchronous": 2, "journal_mode": "wal", "auto_vacuum": 2}
    await database.close()


async def test_a_folder_that_is_not_there_waits(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/none/ledger.db")

    async def read() -> None:
        async with database.reading():
            pass

    with pytest.raises(LedgerAway) as away:
        await read()
    assert away.value.fault is Fault.BUSY
    await database.close()
    async with asyncio.timeout(10):  # the driver's thread tells the loop that it ended, and nobody waits for that
        while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
