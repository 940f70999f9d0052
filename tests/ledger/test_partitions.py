"""A month's partition is there when its first row comes, made once, and in nobody's way."""

import asyncio

from sqlalchemy import insert, select, text

from proxy.ledger.database import Database, connect
from proxy.ledger.months import Month
from proxy.ledger.partitions import ensure, existing
from proxy.ledger.schema import usage
from tests.ledger.samples import a_record, a_row

MONTHS = [Month(2026, 11), Month(2026, 12)]


async def test_each_month_is_made_once(postgres_ledger: Database) -> None:
    async def make() -> list[Month]:
        async with postgres_ledger.writing() as connection:
            return await ensure(postgres_ledger, connection, MONTHS)

    made = await asyncio.gather(*(make() for _ in range(3)))
    assert sorted(map(len, made)) == [0, 0, 2]
    async with postgres_ledger.reading() as connection:
        assert await existing(postgres_ledger, connection) == [month.partition for month in MONTHS]


async def test_a_report_under_way_holds_up_no_month(postgres_ledger: Database) -> None:
    async with postgres_ledger.reading() as report:
        await report.execute(select(usage.c.id))
        async with postgres_ledger.writing() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert await ensure(postgres_ledger, connection, MONTHS[:1]) == MONTHS[:1]


async def test_a_partition_has_the_parents_key_and_indexes(postgres_ledger: Database) -> None:
    async with postgres_ledger.writing() as connection:
        await ensure(postgres_ledger, connection, MONTHS)
        await connection.execute(insert(usage), a_row(a_record()))
        query = text("SELECT indexdef FROM pg_indexes WHERE schemaname = :schema AND tablename = 'ai_usage_2026_11'")
        found = list((await connection.execute(query, {"schema": postgres_ledger.url.schema})).scalars())
        landed = await connection.execute(text(f"SELECT cost_usd FROM {postgres_ledger.table('ai_usage_2026_11')}"))
        assert str(landed.scalar()) == "0.000398400"
    assert sorted(line.split(" USING ")[1] for line in found) == [
        "brin (created_at)",
        "btree (company_id, created_at)",
        "btree (id, created_at)",
    ]


async def test_sqlite_has_none(tmp_path) -> None:
    database = connect(f"sqlite:///{tmp_path}/ledger.db")
    async with database.writing() as connection:
        assert await ensure(database, connection, MONTHS) == []
    await database.close()
