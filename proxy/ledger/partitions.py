"""Monthly partitions of ``ai_usage`` on PostgreSQL; SQLite has none, and nothing here does anything there.

A partition is made as a table of its own and then attached: that takes a lock which lets reports and other writers go
on, where ``CREATE TABLE … PARTITION OF`` would wait for every one of them and hold up the next.
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.ledger.database import Database
from proxy.ledger.months import Month

_EXISTING = text(
    "SELECT c.relname FROM pg_catalog.pg_inherits i"
    " JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_class p ON p.oid = i.inhparent"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace"
    " WHERE n.nspname = :schema AND p.relname = 'ai_usage' ORDER BY c.relname"
)


async def existing(database: Database, connection: AsyncConnection) -> list[str]:
    """Names of the partitions, without their schema; none on SQLite."""
    if not database.on_postgresql:
        return []
    return list((await connection.execute(_EXISTING, {"schema": database.url.schema})).scalars())


async def ensure(database: Database, connection: AsyncConnection, months: Iterable[Month]) -> list[Month]:
    """Within a writing transaction: those that were missing and now are there."""
    if not database.on_postgresql:
        return []
    there = set(await existing(database, connection))
    made = sorted({month for month in months if month.partition not in there})
    for month in made:
        parent, name = database.table("ai_usage"), database.table(month.partition)
        first, last = month.start.isoformat(), month.next.start.isoformat()
        await connection.execute(
            text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE)")
        )
        await connection.execute(
            text(f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')")
        )
    return made
