"""What each budget was charged in each period: as the ledger keeps it, as its rows add up to, and what is on its way.

The kept sums are what budgets are rebuilt from, while every one is closed and waits; the rows are the proof.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.usage import Charge, Spent
from proxy.ledger.changes import Named, Stored, Sums, add, changes, name_charges
from proxy.ledger.database import Database
from proxy.ledger.instants import Instant
from proxy.ledger.rows import Arrival, to_spent
from proxy.ledger.schema import budget_sums
from proxy.ledger.standings import standing_of
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


async def living(database: Database, now_ms: int) -> list[Spent]:
    """What was spent in periods that have not ended, and by whom last. Raises: LedgerAway."""
    async with database.reading() as connection:
        rows = await connection.execute(select(budget_sums).where(budget_sums.c.ends_at > now_ms))
        return [to_spent(row) for row in rows]


async def standing(database: Database, charges: Sequence[Charge]) -> list[Spent]:
    """What was spent of these, where anything was. Raises: LedgerAway."""
    async with database.reading() as connection:
        return await standing_of(connection, charges)


class Waiting:
    """Of records on their way only what their sums need: some 400 bytes each, so that a long outbox fits."""

    __slots__ = ("_charges", "named", "newest")

    def __init__(self, arrivals: Iterable[Arrival] = ()) -> None:
        self.newest: dict[str, Stored] = {}  # by id, the highest revision
        self.named: dict[Charge, Named] = {}
        self._charges: dict[tuple[Charge, ...], tuple[Charge, ...]] = {}  # the same for most records of a caller
        self.add(arrivals)

    def add(self, arrivals: Iterable[Arrival]) -> None:
        for record in (arrived.record for arrived in arrivals if arrived.record is not None):
            name_charges(self.named, record)
            rival = self.newest.get(record.id)
            if rival is None or rival.rev < record.rev:
                charges = self._charges.setdefault(record.charges, record.charges)
                self.newest[record.id] = Stored(record.rev, record.created_ms, record.cost_nanousd, charges)

    def moving(self, stored: Mapping[str, Stored]) -> Sums:
        """By how much the ledger's sums would move."""
        found: Sums = {}
        for name, record in self.newest.items():
            before = stored.get(name)
            if before is None or before.rev < record.rev:
                if before is not None:
                    add(found, before.charges, -before.cost_nanousd)
                add(found, record.charges, record.cost_nanousd)
        return found


async def counters(database: Database, outbox: Waiting, now_ms: int) -> dict[bytes, tuple[int, int]]:
    """What the store's counters are rebuilt to: key → settled (nano-dollars, ``outbox`` included), period's end (ms).

    Of periods that have not ended. An entry that was moved since it was read adds nothing, so read the outbox first.
    Raises: LedgerAway.
    """
    lives = or_(budget_sums.c.ends_at > now_ms, budget_sums.c.ends_at.is_(None))
    async with database.reading() as connection:
        rows = (await connection.execute(select(budget_sums).where(lives))).all()
        stored = await stored_of(connection, {name: record.created_ms for name, record in outbox.newest.items()})
    settled = {one.charge: (one.charge, one.nanousd) for one in map(to_spent, rows)}
    for charge, moved in outbox.moving(stored).items():
        known, nanousd = settled.get(charge, (charge, 0))
        named = outbox.named.get(charge)
        settled[charge] = known if known.counter or named is None else named.charge, nanousd + moved
    found: dict[bytes, tuple[int, int]] = {}
    for charge, nanousd in settled.values():
        if charge.counter and charge.ends_ms > now_ms:
            key = charge.counter.encode()
            before, ends_ms = found.get(key, (0, 0))  # two names of one counter, where a policy has changed
            found[key] = before + nanousd, max(ends_ms, charge.ends_ms)
    return found


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
