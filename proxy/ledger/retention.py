"""Lets go of what is older than ops keep, without leaving holes: whole months, never a part of one.

PostgreSQL drops partitions, which gives the room back at once. SQLite deletes a little at a time, so that the mover
gets its turn, and then hands the freed pages back to the file system. Grants are a record that is only added to and
stay.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, delete, text

from proxy.ledger.database import Database
from proxy.ledger.instants import Instant
from proxy.ledger.months import expired, month_of
from proxy.ledger.partitions import existing
from proxy.ledger.schema import alert_markers, budget_sums, dead, deliveries

# A month's budget lives for 31 days, and a correction may come late: sums of living periods are never at stake.
LEAST_KEPT_MS: Final = 62 * 86_400_000
_DATED: Final = (budget_sums.c.changed_at, alert_markers.c.marked_at, deliveries.c.created_at, dead.c.died_at)
_ROWS_AT_ONCE: Final = 2_000
_PAGES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Removed:
    """``partitions`` on PostgreSQL, ``rows`` of usage on SQLite; ``others``: sums, alerts and dead letters."""

    partitions: tuple[str, ...]
    rows: int
    others: int


async def retain(database: Database, keep_ms: int, now_ms: int) -> Removed:
    """Removes the months that ended at least ``keep_ms`` ago, and what belongs to them.

    Raises: ValueError for less than LEAST_KEPT_MS; LedgerAway, BUSY also where a report reads what would go.
    """
    if keep_ms < LEAST_KEPT_MS:
        raise ValueError(f"a ledger keeps at least {LEAST_KEPT_MS // 86_400_000} days")
    before_ms = month_of(now_ms - keep_ms).start_ms
    dropped = await _drop(database, before_ms) if database.on_postgresql else ()
    rows = 0 if database.on_postgresql else await _delete(database, before_ms)
    others = 0
    async with database.writing() as connection:
        for column in _DATED:
            others += (await connection.execute(delete(column.table).where(column < before_ms))).rowcount
    if not database.on_postgresql:
        await _give_back(database)
    return Removed(dropped, rows, others)


async def _drop(database: Database, before_ms: int) -> tuple[str, ...]:
    async with database.reading() as connection:
        names = expired(await existing(database, connection), before_ms)
    for name in names:
        async with database.writing() as connection:
            # Whoever waits for this lock holds up all who come after: rather try again than make them wait.
            await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            parent, partition = database.table("ai_usage"), database.table(name)
            await connection.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {partition}"))
            await connection.execute(text(f"DROP TABLE {partition}"))
    return tuple(names)


async def _delete(database: Database, before_ms: int) -> int:
    some = text(
        "DELETE FROM ai_usage WHERE rowid IN (SELECT rowid FROM ai_usage WHERE created_at < :before LIMIT :count)"
    ).bindparams(bindparam("before", before_ms, Instant), count=_ROWS_AT_ONCE)
    removed = 0
    while True:
        async with database.writing() as connection:
            count = (await connection.execute(some)).rowcount
        removed += count
        if count < _ROWS_AT_ONCE:
            return removed


async def _give_back(database: Database) -> None:
    free = await _free_pages(database)
    while free:
        async with database.writing() as connection:
            # It frees a page a step, so the rows that it does not have must be asked for to the last.
            (await connection.exec_driver_sql(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")).close()
        left = await _free_pages(database)
        if left >= free:
            return
        free = left


async def _free_pages(database: Database) -> int:
    async with database.reading() as connection:
        found: Any = (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar()
        return int(found)
