"""One batch of the outbox into the tables, as a whole or not at all, however often it comes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.usage import Charge, Spent
from proxy.ledger.changes import Changes, Named, Stored, changes
from proxy.ledger.database import Database
from proxy.ledger.months import month_of
from proxy.ledger.partitions import ensure
from proxy.ledger.rows import Arrival, to_sum
from proxy.ledger.schema import budget_sums, dead, usage
from proxy.ledger.standings import standing_as_named

# An id is looked up among the rows around the batch: no hold lives as long, and each month is one more index to search.
AROUND_MS: Final = 40 * 86_400_000
_KEY: Final = ("id", "created_at")
_SUM_KEY: Final = ("budget", "period", "scope")
_AS_LAST_SAID: Final = ("counter", "ends_at", "spender")
_AT_ONCE: Final = 1000  # ids in one look-up; SQLite takes 32,766 values, PostgreSQL 32,767


@dataclass(frozen=True, slots=True)
class Written:
    """``spent``: where every budget stands that the batch names, moved or not; each once. ``keys``: of the rows, id and
    ``created_ms``."""

    rows: int  # written or corrected
    stale: int  # already there
    spent: tuple[Spent, ...] = ()
    keys: tuple[tuple[str, int], ...] = ()

    def __add__(self, later: "Written") -> "Written":
        spent = {one.charge: one for one in (*self.spent, *later.spent)}
        keys = self.keys + later.keys
        return Written(self.rows + later.rows, self.stale + later.stale, tuple(spent.values()), keys)


async def write(database: Database, batch: Sequence[Arrival], now_ms: int) -> Written:
    """Rows and sums of a batch whose records can all be read. Raises: LedgerAway, LedgerRefused."""
    records = [(arrival.record, arrival.state) for arrival in batch if arrival.record is not None]
    async with database.writing() as connection:
        await ensure(database, connection, {month_of(record.created_ms) for record, _ in records})
        stored = await stored_of(connection, {record.id: record.created_ms for record, _ in records})
        change = changes(records, stored)
        await _write_rows(database, connection, change)
        await _move_sums(database, connection, change, now_ms)
        # What does not move is told as well: whoever moved it may have died before anybody looked.
        spent = await standing_as_named(database, connection, change.named.values())
    keys = tuple((row["id"], row["created_at"]) for row in change.rows)
    return Written(len(keys), change.stale, spent, keys)


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


async def _write_rows(database: Database, connection: AsyncConnection, change: Changes) -> None:
    if not change.rows:
        return
    insert = database.insert(usage)
    columns = {name: insert.excluded[name] for name in change.rows[0] if name not in _KEY}
    # The look-up has decided already; the condition keeps a lower revision out whoever else may write.
    revise = insert.on_conflict_do_update(index_elements=_KEY, set_=columns, where=usage.c.rev < insert.excluded.rev)
    await connection.execute(revise, change.rows)


async def _move_sums(database: Database, connection: AsyncConnection, change: Changes, now_ms: int) -> None:
    if not change.sums:
        return
    insert = database.insert(budget_sums)
    known = {name: func.coalesce(insert.excluded[name], budget_sums.c[name]) for name in _AS_LAST_SAID}
    grow = insert.on_conflict_do_update(
        index_elements=_SUM_KEY,
        set_={
            "cost_nanousd": budget_sums.c.cost_nanousd + insert.excluded.cost_nanousd,
            "changed_at": insert.excluded.changed_at,
            **known,
        },
    )
    rows = [_sum_row(change.named.get(charge), charge, moved, now_ms) for charge, moved in change.sums.items()]
    await connection.execute(grow, rows)


def _sum_row(named: Named | None, charge: Charge, moved: int, now_ms: int) -> dict[str, Any]:
    if named is None:  # a correction that is charged to other budgets than before
        return to_sum(charge, moved, now_ms, None)
    return to_sum(named.charge, moved, now_ms, named.spender)
