"""Which records a ledger has, for gateways that must know before they tell a store again what they have journaled."""

from collections.abc import Sequence

from sqlalchemy import select

from proxy.ledger.database import Database
from proxy.ledger.schema import usage

_AT_ONCE = 1000


async def known(database: Database, ids: Sequence[str], since_ms: int) -> set[str]:
    """Of these, the ids of rows that were created since then. Raises: LedgerAway."""
    found: set[str] = set()
    async with database.reading() as connection:
        for start in range(0, len(ids), _AT_ONCE):
            query = select(usage.c.id).where(usage.c.id.in_(ids[start : start + _AT_ONCE]))
            rows = await connection.execute(query.where(usage.c.created_at >= since_ms))
            found.update(row.id for row in rows)
    return found
