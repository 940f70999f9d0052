"""What is moved is copied into a table as Supabase's projects have it; that table's troubles are nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any

import asyncpg
import pytest

from proxy.core.usage import RecordKind, UsageRecord
from proxy.ledger import projection
from proxy.ledger.database import Database, connect
from proxy.ledger.migrate import migrate
from proxy.ledger.projection import MOST_WAITING, Pace, Projection
from proxy.ledger.writer import Written, write
from tests.ledger.postgres import Postgres
from tests.ledger.samples import NOW_MS, a_record, an_arrival
from tests.ledger.test_supabase import COMPANY, FIRST_USERS, GONE, USER

QUICK = Pace(first_pause_s=0.02, last_pause_s=0.05)
_numbers = count(1)


@dataclass
class Notes:
    copied: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    aways: list[str] = field(default_factory=list)

    def projected(self, rows: int) -> None:
        self.copied += rows

    def left_out(self, rows: int, reason: str) -> None:
        self.refused.append((rows, reason))

    def away(self, part: str, reason: str) -> None:
        assert part == "projection"
        self.aways.append(reason)


@dataclass
class Project:
    """A database as a Supabase project is one: theirs and our ledger in it."""

    server: Postgres
    name: str
    ledger: Database
    notes: Notes = field(default_factory=Notes)

    async def sql(self, query: str, *values: Any) -> list[Any]:
        return await self.server.fetch(query, *values, database=self.name)

    async def write(self, *records: UsageRecord) -> Written:
        return await write(self.ledger, [an_arrival(record) for record in records], NOW_MS)

    @asynccontextmanager
    async def copying(self, table: str = "public.ai_usage") -> AsyncIterator[Projection]:
        database = connect(self.ledger.url, pool=1)
        copier = Projection(database, table, self.notes, QUICK)
        task = asyncio.create_task(copier.run())
        try:
            yield copier
        finally:
            copier.stop()
            await asyncio.wait_for(task, 10)
            await database.close()


async def until(condition: Any, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - another task makes it true
            await asyncio.sleep(0.005)


@pytest.fixture
async def project(postgres_server: Postgres) -> AsyncIterator[Project]:
    name = f"project_{next(_numbers)}"
    await postgres_server.fetch(f"CREATE DATABASE {name}")
    url = postgres_server.url(database=name)
    await migrate(url)
    database = connect(url)
    connection = await asyncpg.connect(host=str(postgres_server.folder), user="postgres", database=name)
    await connection.execute(FIRST_USERS)
    await connection.close()
    yield Project(postgres_server, name, database)
    await database.close()


def record(name: str, **changes: Any) -> UsageRecord:
    return a_record(name, **({"user_id": USER, "company_id": COMPANY} | changes))


async def test_rows_are_copied_as_well_as_the_table_takes_them(project: Project) -> None:
    """UUIDs where they parse, text that is none told by its hash or left out; to the precision that they have."""
    good = record("0" * 31 + "a", cost_nanousd=398_400_000)
    word = record("no uuid", user_id=None, company_id="acme", cost_nanousd=30_000)
    credit = record("credit", kind=RecordKind.ADJUSTMENT)
    written = await project.write(good, word, credit)
    async with project.copying() as copier:
        copier.moved(written.keys)
        await until(lambda: project.notes.copied == 3)
    first, second = await project.sql("SELECT * FROM public.ai_usage ORDER BY cost_usd DESC")
    assert (str(first["id"]), str(first["user_id"]), str(first["company_id"]), first["cost_usd"]) == (
        "00000000-0000-0000-0000-00000000000a", USER, COMPANY, Decimal("0.3984"),
    )  # fmt: skip
    assert (first["model"], first["input_tokens"], first["subscription_tier"]) == ("gpt-4o-mini", 1200, "enterprise")
    assert round(first["created_at"].timestamp() * 1000) == good.created_ms
    assert (second["user_id"], second["company_id"], second["cost_usd"]) == (None, None, Decimal("0.0000"))
    assert project.notes.refused == []


async def test_a_correction_is_copied_over_its_row(project: Project) -> None:
    good = record("0" * 32, cost_nanousd=398_400_000)
    async with project.copying() as copier:
        for rev, cost in ((1, 398_400_000), (2, 100_000_000)):
            copier.moved((await project.write(replace(good, rev=rev, cost_nanousd=cost))).keys)
        await until(lambda: project.notes.copied == 2)
    assert [row["cost_usd"] for row in await project.sql("SELECT cost_usd FROM public.ai_usage")] == [Decimal("0.1000")]


async def test_what_the_table_refuses_takes_nobody_along(project: Project) -> None:
    """Three of sixty: users who are gone, a name that is too long."""
    rows = [record(f"{n:032x}") for n in range(57)]
    bad = [record("a" * 32, user_id=GONE), record("b" * 32, model="m" * 21), record("c" * 32, user_id=GONE)]
    async with project.copying() as copier:
        copier.moved((await project.write(*rows[:20], bad[0], *rows[20:40], *bad[1:], *rows[40:])).keys)
        await until(lambda: project.notes.copied == 57)
    assert sorted(reason for _, reason in project.notes.refused) == [
        "ForeignKeyViolationError 23503", "ForeignKeyViolationError 23503", "StringDataRightTruncationError 22001",
    ]  # fmt: skip
    assert (await project.sql("SELECT count(*) FROM public.ai_usage"))[0][0] == 57
    assert (await project.sql("SELECT count(*) FROM sluicegate.ai_usage"))[0][0] == 60


async def test_a_table_of_another_making_is_taken_as_it_is(project: Project) -> None:
    """Ids as text, a tier of its own type, no endpoint: what is there is filled."""
    for statement in (
        "CREATE SCHEMA app",
        "CREATE TYPE app.tier AS ENUM ('enterprise')",
        'CREATE TABLE app."Usage" (id text PRIMARY KEY, company_id text, cost_usd double precision,'
        " subscription_tier app.tier, note text)",
    ):
        await project.sql(statement)
    written = await project.write(
        record("one", company_id="acme", cost_nanousd=1), record("two", subscription_tier="none of theirs")
    )
    async with project.copying("app.Usage") as copier:
        copier.moved(written.keys)
        await until(lambda: project.notes.copied + len(project.notes.refused) == 2)
    (row,) = await project.sql('SELECT * FROM app."Usage"')
    assert dict(row) == {
        "id": "one", "company_id": "acme", "cost_usd": 1e-9, "subscription_tier": "enterprise", "note": None,
    }  # fmt: skip
    assert project.notes.refused == [(1, "InvalidTextRepresentationError 22P02")]


async def test_a_table_that_is_missing_or_held_holds_up_no_mover(project: Project) -> None:
    """A migration of theirs holds it: rows wait, the ledger's own go on, and it is copied once that is over."""
    connection = await asyncpg.connect(host=str(project.server.folder), user="postgres", database=project.name)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("LOCK TABLE public.ai_usage IN ACCESS EXCLUSIVE MODE")
    async with project.copying() as copier, project.copying("public.elsewhere") as lost:
        written = await project.write(record("0" * 32))
        copier.moved(written.keys)
        lost.moved(written.keys)
        await until(lambda: project.notes.aways)
        await asyncio.wait_for(project.write(record("1" * 32)), 2)
        await transaction.commit()
        await until(lambda: project.notes.copied == 1)
    assert any("elsewhere" in reason for reason in project.notes.aways)
    await connection.close()


async def test_a_right_that_is_missing_is_said_and_waited_for(project: Project) -> None:
    await project.sql("CREATE ROLE gateway LOGIN")
    await project.sql("GRANT USAGE ON SCHEMA sluicegate TO gateway")
    await project.sql("GRANT SELECT ON sluicegate.ai_usage TO gateway")
    url = project.server.url(database=project.name).replace("//postgres@", "//gateway@")
    database = connect(url, pool=1)
    copier = Projection(database, "public.ai_usage", project.notes, QUICK)
    task = asyncio.create_task(copier.run())
    copier.moved((await project.write(record("0" * 32))).keys)
    await until(lambda: project.notes.aways)
    assert project.notes.aways[0].startswith("not-permitted")
    await project.sql("GRANT INSERT, UPDATE, SELECT ON public.ai_usage TO gateway")
    await until(lambda: project.notes.copied == 1)
    copier.stop()
    await asyncio.wait_for(task, 10)
    await database.close()


async def test_what_waits_in_vain_is_let_go_of_oldest_first(tmp_path: Any) -> None:
    """Bounded, however long the table is away; and said."""
    notes = Notes()
    database = connect(f"postgresql://postgres@/postgres?host={tmp_path}")
    copier = projection.Projection(database, "public.ai_usage", notes, QUICK)
    task = asyncio.create_task(copier.run())
    copier.moved([(str(n), NOW_MS) for n in range(MOST_WAITING)])
    assert notes.refused == []
    copier.moved([("late", NOW_MS)] * 3)
    assert notes.refused == [(3, "waited")]
    await until(lambda: len(notes.aways) >= 2)
    copier.stop()
    await asyncio.wait_for(task, 10)
    await database.close()


@pytest.mark.parametrize("table", ["ai_usage", "public.ai usage", 'public."x"', "public.x; DROP TABLE y", "a.b.c", ""])
def test_what_is_no_tables_name_is_refused(table: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="named with its schema"):
        Projection(connect(f"sqlite:///{tmp_path}/x.db"), table, Notes())
