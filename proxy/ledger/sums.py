"""What each budget was charged in each period: as the ledger keeps it, as its rows add up to, and what is on its way.

The kept sums are what budgets are rebuilt from, while every one is closed and waits; the rows are the proof.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.usage import Charge
from proxy.ledger.changes import Sums, changes
from proxy.ledger.database import Database
from proxy.ledger.instants import Instant
from proxy.ledger.rows import Arrival
from proxy.ledger.schema import budget_sums
from proxy.ledger.writer import stored_of


@dataclass(frozen=True, slots=True)
class Position:
    """Of one instant. ``outbox``: by how much the ledger's sums would move if all that was given were moved now."""

    ledger: Sums
    outbox: Sums


async def kept(database: Database, periods: Collection[str] | None = None) -> Sums:
    """The ledger's sums, of these periods or of all. Raises: LedgerAway."""
    async with database.reading() as connection:
        return await _kept(connection, periods)


async def position(database: Database, outbox: Sequence[Arrival], periods: Collection[str] | None = None) -> Position:
    """The ledger's sums and what ``outbox`` adds. An entry that was moved since it was read adds nothing.

    So read the outbox first. Raises: LedgerAway.
    """
    records = [(arrived.record, arrived.state) for arrived in outbox if arrived.record is not None]
    async with database.reading() as connection:
        ledger = await _kept(connection, periods)
        stored = await stored_of(connection, {record.id: record.created_ms for record, _ in records})
    moving = changes(records, stored).sums
    return Position(ledger, {c: nanousd for c, nanousd in moving.items() if periods is None or c.period in periods})


async def recounted(database: Database, since_ms: int, periods: Collection[str] | None = None) -> Sums:
    """The same from the rows' charges, of rows since an instant before any of these periods began.

    Reads every row: for proofs, not for rebuilding. Raises: LedgerAway.
    """
    query = text(_RECOUNT[database.on_postgresql].format(usage=database.table("ai_usage")))
    query = query.bindparams(bindparam("since", since_ms, Instant))
    async with database.reading() as connection:
        found = (await connection.execute(query)).all()
    return _sums(row for row in found if periods is None or row[2] in periods)


_RECOUNT: Final = {
    True: (
        "SELECT c ->> 0, c ->> 1, c ->> 2, sum(cost_nanousd)"
        " FROM {usage}, jsonb_array_elements(charges) AS c WHERE created_at >= :since GROUP BY 1, 2, 3"
    ),
    False: (
        "SELECT json_extract(c.value, '$[0]'), json_extract(c.value, '$[1]'), json_extract(c.value, '$[2]'),"
        " sum(cost_nanousd) FROM {usage}, json_each(charges) AS c WHERE created_at >= :since GROUP BY 1, 2, 3"
    ),
}


async def _kept(connection: AsyncConnection, periods: Collection[str] | None) -> Sums:
    query = select(budget_sums.c.budget, budget_sums.c.scope, budget_sums.c.period, budget_sums.c.cost_nanousd)
    if periods is not None:
        query = query.where(budget_sums.c.period.in_(list(periods)))
    return _sums(await connection.execute(query))


def _sums(rows: Any) -> Sums:
    return {Charge(row[0], row[1], row[2]): int(row[3]) for row in rows if row[3]}
