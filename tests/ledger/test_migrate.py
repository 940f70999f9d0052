"""From nothing to the head on both databases, and the head is what the models say."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect

from proxy.ledger.database import connect
from proxy.ledger.errors import Fault, LedgerAway
from proxy.ledger.migrate import VERSION_TABLE, head, migrate, require_head, scripts, version
from proxy.ledger.schema import metadata
from tests.ledger.postgres import Postgres

TABLES = {"ai_usage", "ai_budget_sums", "ai_usage_dead", "ai_alert_markers", "alert_deliveries", "budget_grants",
          "budget_grant_endings"}  # fmt: skip


def shape(connection: Connection, schema: str | None) -> dict[str, object]:
    """Everything that a reflected table has."""
    found = inspect(connection)
    return {
        table: {
            "columns": [
                {name: str(value) for name, value in column.items()} for column in found.get_columns(table, schema)
            ],
            "key": found.get_pk_constraint(table, schema)["constrained_columns"],
            "indexes": sorted(str(index["column_names"]) for index in found.get_indexes(table, schema)),
            "options": found.get_table_options(table, schema),
            "foreign": found.get_foreign_keys(table, schema),
        }
        for table in sorted(TABLES)
    }


async def test_from_nothing_to_the_head(url: str) -> None:
    assert await migrate(url) == (None, head())
    assert await migrate(url) == (head(), head())
    database = connect(url)
    assert await version(database) == head()
    await require_head(database)
    await database.close()


async def test_the_models_are_what_the_migrations_make(url: str) -> None:
    """Made by migrations and made by the models, two ledgers are the same to the last column, key and index."""
    await migrate(url)
    database = connect(url)
    async with database.reading() as connection:
        migrated = await connection.run_sync(shape, database.url.schema)

        def differences(plain: Connection) -> object:
            models = MetaData()
            for table in metadata.tables.values():
                table.to_metadata(models, schema=database.url.schema)
            options = {"include_schemas": True, "version_table": VERSION_TABLE}
            options |= {"version_table_schema": database.url.schema, "compare_type": True}
            options["include_name"] = lambda name, kind, _: kind != "schema" or name == database.url.schema
            return compare_metadata(MigrationContext.configure(plain, opts=options), models)

        assert await connection.run_sync(differences) == []
    async with database.writing() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    async with database.reading() as connection:
        assert await connection.run_sync(shape, database.url.schema) == migrated
    await database.close()


async def test_gateways_that_start_together_take_turns(url: str) -> None:
    done = await asyncio.gather(*(migrate(url) for _ in range(8)))
    assert {after for _, after in done} == {head()}


async def test_a_role_that_may_make_no_schema_uses_the_one_it_was_given(postgres_server: Postgres) -> None:
    await postgres_server.fetch("CREATE ROLE humble LOGIN")
    await postgres_server.fetch("CREATE SCHEMA given AUTHORIZATION humble")
    url = postgres_server.url("given").replace("//postgres@", "//humble@")
    assert await migrate(url) == (None, head())
    with pytest.raises(LedgerAway, match="42501") as refused:
        await migrate(postgres_server.url("not_given").replace("//postgres@", "//humble@"))
    assert refused.value.fault is Fault.NOT_PERMITTED


async def test_tables_of_another_version_are_said(url: str) -> None:
    database = connect(url)
    with pytest.raises(LedgerAway, match="run ledger migrate") as refused:
        await require_head(database)
    assert refused.value.fault is Fault.NOT_MIGRATED
    await database.close()


def test_history_is_one_line() -> None:
    """No two steps claim the same place."""
    assert len(scripts().get_heads()) == 1
    assert len(scripts().get_bases()) == 1
