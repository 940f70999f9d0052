"""A row is at fault only where the error speaks of the row: everything else waits."""

import sqlite3

import pytest
from sqlalchemy import insert, text

from proxy.ledger.database import Database, connect
from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused
from proxy.ledger.faults import PASSING, ROWS_FAULT, judge
from proxy.ledger.schema import budget_sums
from tests.ledger.postgres import Postgres

ROW = {"budget": "b", "scope": "s", "period": "p", "cost_nanousd": 1, "changed_at": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"cost_nanousd": 2**63},
        {"budget": None},
        {"changed_at": 10**18},
    ],
    ids=str,
)
async def test_a_value_that_no_table_takes_is_the_rows_fault(ledger: Database, change: dict[str, object]) -> None:
    async def write() -> None:
        async with ledger.writing() as connection:
            await connection.execute(insert(budget_sums), ROW | change)

    with pytest.raises(LedgerRefused):
        await write()


async def test_a_refusal_does_not_repeat_the_value(postgres_ledger: Database) -> None:
    async def write() -> None:
        async with postgres_ledger.writing() as connection:
            await connection.execute(insert(budget_sums), ROW | {"cost_nanousd": "sk-secret"})

    with pytest.raises(LedgerRefused) as refused:
        await write()
    assert str(refused.value) == "DataError 22000"


async def test_an_id_that_no_index_takes_is_the_rows_fault(postgres_ledger: Database) -> None:
    """PostgreSQL's 54000: a key of more than a third of a page."""
    long = "".join(chr(0x4E00 + n * 7 % 20_000) for n in range(5_000))

    async def write() -> None:
        async with postgres_ledger.writing() as connection:
            await connection.execute(insert(budget_sums), ROW | {"scope": long})

    with pytest.raises(LedgerRefused, match="54000"):
        await write()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [("SELECT * FROM nowhere", Fault.NOT_MIGRATED), ("SELECT absent FROM ai_usage", Fault.NOT_MIGRATED)],
)
async def test_a_missing_table_is_nobodys_poison(ledger: Database, statement: str, fault: Fault) -> None:
    async def read() -> None:
        async with ledger.reading() as connection:
            await connection.execute(text(statement.replace("ai_usage", ledger.table("ai_usage"))))

    with pytest.raises(LedgerAway) as away:
        await read()
    assert away.value.fault is fault


async def test_a_statement_that_takes_too_long_waits(postgres_url: str) -> None:
    database = connect(postgres_url, statement_s=0.05)

    async def read() -> None:
        async with database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(LedgerAway) as away:
        await read()
    assert away.value.fault is Fault.TIMEOUT
    await database.close()


async def test_a_server_that_is_not_there_waits(tmp_path: object) -> None:
    database = connect(f"postgresql://postgres@/postgres?host={tmp_path}")

    async def read() -> None:
        async with database.reading() as connection:
            await connection.execute(text("SELECT 1"))

    with pytest.raises(LedgerAway) as away:
        await read()
    assert away.value.fault is Fault.UNREACHABLE
    await database.close()


async def test_a_connection_that_an_operator_ends_waits(postgres_ledger: Database, postgres_server: Postgres) -> None:
    async def read() -> None:
        async with postgres_ledger.reading() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
            await postgres_server.fetch("SELECT pg_terminate_backend($1, 5000)", pid)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(LedgerAway):
        await read()


def test_our_own_mistakes_are_not_the_databases() -> None:
    assert judge(KeyError("x")) is None
    assert judge(ValueError("x")) is None


def test_sqlites_own_errors_without_a_wrapper() -> None:
    assert isinstance(judge(sqlite3.OperationalError("database is locked")), LedgerAway)
    assert isinstance(judge(OverflowError("int too large")), LedgerRefused)


def test_codes_are_classes_or_whole_and_say_one_thing() -> None:
    assert {len(code) for code in PASSING} == {2, 5}
    assert not ROWS_FAULT & {code[:2] for code in PASSING}


async def test_a_pooler_that_mixes_sessions_up_makes_no_poison(postgres_ledger: Database) -> None:
    """26000, a statement that is not there, and whatever else speaks of no row: good rows stay in the outbox."""

    async def read() -> None:
        async with postgres_ledger.reading() as connection:
            await connection.execute(text("DEALLOCATE nothing"))

    with pytest.raises(LedgerAway, match="26000") as away:
        await read()
    assert away.value.fault is Fault.UNEXPECTED
