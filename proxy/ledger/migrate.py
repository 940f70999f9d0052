"""Brings a ledger's tables to this version, from nothing or from any earlier one, and tells where they are.

Each step and the mark that it was done are one transaction, on both databases; gateways that start together take turns.
"""

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.ledger.database import Database, connect
from proxy.ledger.errors import Fault, LedgerAway

FOLDER: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "ledger_version"


def scripts() -> ScriptDirectory:
    return ScriptDirectory(FOLDER, version_locations=[FOLDER])


def head() -> str:
    """The revision that this program's models are."""
    found = scripts().get_current_head()
    assert found is not None
    return found


async def migrate(url: str, to: str | None = None) -> tuple[str | None, str]:
    """To the head, or to a revision on the way; those before and after. Raises: LedgerUrlError, LedgerAway,
    LedgerRefused."""
    to = to or head()
    database = connect(url, pool=1, statement_s=3600.0)
    try:
        before = await version(database)
        async with database.writing() as connection:
            if database.url.schema:
                await _make_schema(connection, database.url.schema)
            await connection.run_sync(_upgrade, database.url.schema, to)
        return before, to
    finally:
        await database.close()


async def version(database: Database) -> str | None:
    """None for a database without a ledger. Raises: LedgerAway."""
    async with database.reading() as connection:
        return await connection.run_sync(_version, database.url.schema)


async def require_head(database: Database) -> None:
    """Raises: LedgerAway, NOT_MIGRATED where the tables are of another version than this program."""
    found = await version(database)
    if found != head():
        raise LedgerAway(Fault.NOT_MIGRATED, f"tables are at {found or 'nothing'}, not {head()}: run ledger migrate")


async def _make_schema(connection: AsyncConnection, schema: str) -> None:
    # Asked first: IF NOT EXISTS wants the right to make schemas even where there is nothing to make.
    found = await connection.execute(text("SELECT to_regnamespace(:schema)::text"), {"schema": schema})
    if found.scalar() is None:
        await connection.execute(text(f"CREATE SCHEMA {schema}"))


def _version(connection: Connection, schema: str | None) -> str | None:
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _upgrade(connection: Connection, schema: str | None, to: str) -> None:
    directory = scripts()

    def steps(revision: Any, _: Any) -> Any:
        return directory._upgrade_revs(to, revision)

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(
            connection=connection, version_table=VERSION_TABLE, version_table_schema=schema, ledger_schema=schema
        )
        environment.run_migrations()
