"""How fast a budget is spent within a period: what its rows were charged, slice by slice. For charts."""

from typing import Final

from sqlalchemy import bindparam, text

from proxy.core.usage import Charge
from proxy.ledger.database import Database
from proxy.ledger.instants import Instant

EARLY_MS: Final = 3_600_000  # a call may begin before the period that its hold is taken in

_SLICE: Final = {
    True: "floor((extract(epoch FROM created_at) * 1000 - :start_ms) / :slice_ms)",
    False: "((strftime('%s', created_at) * 1000 - :start_ms) / :slice_ms)",
}
_CHARGED: Final = {
    True: (
        "EXISTS (SELECT 1 FROM jsonb_array_elements(charges) AS c"
        " WHERE c ->> 0 = :budget AND c ->> 1 = :scope AND c ->> 2 = :period)"
    ),
    False: (
        "EXISTS (SELECT 1 FROM json_each(charges) AS c WHERE json_extract(c.value, '$[0]') = :budget"
        " AND json_extract(c.value, '$[1]') = :scope AND json_extract(c.value, '$[2]') = :period)"
    ),
}


async def paces(database: Database, charge: Charge, start_ms: int, slice_ms: int) -> dict[int, int]:
    """Nano-dollars by slice of ``slice_ms`` since the period's start, those in which anything was charged.

    Reads every row since then: ask seldom. Raises: LedgerAway.
    """
    on_postgresql = database.on_postgresql
    query = text(
        f"SELECT {_SLICE[on_postgresql]}, sum(cost_nanousd) FROM {database.table('ai_usage')}"  # noqa: S608 - ours
        f" WHERE created_at >= :since AND {_CHARGED[on_postgresql]} GROUP BY 1"
    ).bindparams(
        bindparam("since", start_ms - EARLY_MS, Instant),
        start_ms=start_ms,
        slice_ms=slice_ms,
        budget=charge.budget,
        scope=charge.scope,
        period=charge.period,
    )
    found: dict[int, int] = {}
    async with database.reading() as connection:
        for number, nanousd in await connection.execute(query):
            slot = max(0, int(number))
            found[slot] = found.get(slot, 0) + int(nanousd)
    return found
