"""One batch of the outbox into the tables, as a whole or not at all, however often it comes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.usage import Charge
from proxy.ledger.changes import Changes, Stored, Sums, changes
from proxy.ledger.database import Database
from proxy.ledger.months import month_of
from proxy.ledger.partitions import ensure
from proxy.ledger.rows import Arrival
from proxy.ledger.schema import budget_sums, dead, usage

# An id is looked up among the rows around the batch: no hold lives as long, and each month is one more index to search.
AROUND_MS: Final = 40 * 86_400_000
_KEY: Final = ("id", "created_at")
_AT_ONCE: Final = 1000  # ids in one look-up; SQLite takes 32,766 values, PostgreSQL 32,767


@dataclass(frozen=True, slots=True)
class Written:
    rows: int  # written or corrected
    stale: int  # already there


async def write(database: Database, batch: Sequence[Arrival], now_ms: int) -> Written:
    """Rows and sums of a batch whose records can all be read. Raises: LedgerAway, LedgerRefused."""
    records = [(arrival.record, arrival.state) for arrival in batch if arrival.record is not None]
    async with database.writing() as connection:
        await ensure(database, connection, {month_of(record.created_ms) for record, _ in records})
        stored = await stored_of(connection, {record.id: record.created_ms for record, _ in records})
        change = changes(records, stored)
        await _apply(database, connection, change, now_ms)
    return Written(len(change.rows), change.stale)


async def bury(database: Database, letters: Iterable[Arrival], reason: str, now_ms: int) -> None:
    """Each is one row of the dead letters, however often it is buried. Raises: LedgerAway."""
    rows = [
        {"id": letter.letter_id, "died_at": now_ms, "reason": letter.flaw or reason, "record": letter.data}
        for letter in letters
    ]
    async with database.writing() as connection:
        await connection.execute(database.insert(dead).on_conflict_do_nothing(), rows)


async def stored_of(connection: AsyncConnection, created: Mapping[str, int]) -> dict[str, Stored]:
    """Of these ids, the rows that stand. ``created``: id → an instant (ms) near which the row would be."""
    if not created:
        return {}
    ids = list(created)
    first, last = min(created.values()) - AROUND_MS, max(created.values()) + AROUND_MS
    columns = usage.c.id, usage.c.rev, usage.c.created_at, usage.c.cost_nanousd, usage.c.charges
    found: dict[str, Stored] = {}
    for start in range(0, len(ids), _AT_ONCE):
        query = select(*columns).where(usage.c.id.in_(ids[start : start + _AT_ONCE]))
        for row in await connection.execute(query.where(usage.c.created_at.between(max(first, 0), last))):
            charges = tuple(Charge(*charge) for charge in row.charges)
            found[row.id] = Stored(row.rev, row.created_at, row.cost_nanousd, charges)
    return found


async def _apply(database: Database, connection: AsyncConnection, change: Changes, now_ms: int) -> None:
    if change.rows:
        insert = database.insert(usage)
        columns = {name: insert.excluded[name] for name in change.rows[0] if name not in _KEY}
        # The look-up has decided already; the condition keeps a lower revision out whoever else may write.
        revise = insert.on_conflict_do_update(
            index_elements=_KEY, set_=columns, where=usage.c.rev < insert.excluded.rev
        )
        await connection.execute(revise, change.rows)
    if change.sums:
        insert = database.insert(budget_sums)
        grow = insert.on_conflict_do_update(
            index_elements=("budget", "period", "scope"),
            set_={
                "cost_nanousd": budget_sums.c.cost_nanousd + insert.excluded.cost_nanousd,
                "changed_at": insert.excluded.changed_at,
            },
        )
        await connection.execute(grow, _sum_rows(change.sums, now_ms))


def _sum_rows(sums: Sums, now_ms: int) -> list[dict[str, Any]]:
    return [
        {
            "budget": charge.budget,
            "scope": charge.scope,
            "period": charge.period,
            "cost_nanousd": moved,
            "changed_at": now_ms,
        }
        for charge, moved in sums.items()
    ]
