"""Where budgets stand: of those that somebody names, what the ledger's sums say within one transaction."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.usage import Charge, Spent
from proxy.ledger.changes import Named
from proxy.ledger.database import Database
from proxy.ledger.rows import to_spent
from proxy.ledger.schema import budget_sums

_AT_ONCE: Final = 1000  # keys in one look-up; SQLite takes 32,766 values, PostgreSQL 32,767
_KEY: Final = tuple(budget_sums.c[name] for name in ("budget", "period", "scope"))
# One statement for any number of keys: a batch names a thousand, and neither side wants to read a new one each time.
_AMOUNTS: Final = {
    True: (
        "SELECT s.budget, s.period, s.scope, s.cost_nanousd FROM {sums} s"
        " JOIN unnest(CAST(:budgets AS text[]), CAST(:periods AS text[]), CAST(:scopes AS text[]))"
        " AS k(budget, period, scope) USING (budget, period, scope)"
    ),
    False: (
        "SELECT s.budget, s.period, s.scope, s.cost_nanousd FROM json_each(:keys) k JOIN {sums} s"
        " ON s.budget = json_extract(k.value, '$[0]') AND s.period = json_extract(k.value, '$[1]')"
        " AND s.scope = json_extract(k.value, '$[2]')"
    ),
}


async def standing_of(connection: AsyncConnection, charges: Sequence[Charge]) -> list[Spent]:
    """Those that anything was ever charged to."""
    found: list[Spent] = []
    for start in range(0, len(charges), _AT_ONCE):
        some = [(charge.budget, charge.period, charge.scope) for charge in charges[start : start + _AT_ONCE]]
        rows = await connection.execute(select(budget_sums).where(tuple_(*_KEY).in_(some)))
        found += map(to_spent, rows)
    return found


async def standing_as_named(
    database: Database, connection: AsyncConnection, named: Collection[Named]
) -> tuple[Spent, ...]:
    """The same, but what the batch says itself of a charge is not read again: mostly all but the amount."""
    whole = {one.charge: one for one in named if one.charge.counter and one.spender is not None}
    amounts = await _amounts(database, connection, whole)
    spent = []
    for charge, one in whole.items():
        assert one.spender is not None
        nanousd = amounts.get((charge.budget, charge.period, charge.scope))
        if nanousd is not None:
            spent.append(Spent(one.charge, nanousd, one.spender))
    return *spent, *await standing_of(connection, [one.charge for one in named if one.charge not in whole])


async def _amounts(
    database: Database, connection: AsyncConnection, charges: Iterable[Charge]
) -> dict[tuple[str, str, str], int]:
    keys = [(charge.budget, charge.period, charge.scope) for charge in charges]
    if not keys:
        return {}
    query = text(_AMOUNTS[database.on_postgresql].format(sums=database.table("ai_budget_sums")))
    values: dict[str, Any] = {"keys": orjson.dumps(keys).decode()}
    if database.on_postgresql:
        values = dict(zip(("budgets", "periods", "scopes"), map(list, zip(*keys, strict=True)), strict=True))
    return {
        (budget, period, scope): nanousd for budget, period, scope, nanousd in await connection.execute(query, values)
    }
