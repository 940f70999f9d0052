"""Which alerts have fired: the one copy that counts, so that a Redis that was lost fires none again."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.ledger.database import Database
from proxy.ledger.schema import alert_markers

Mark = tuple[str, str, int, int]  # meter, period, capacity in the meter's unit, threshold in percent of it

_COLUMNS: Final = ("meter", "period", "capacity", "threshold")
_MARK: Final = tuple(alert_markers.c[name] for name in _COLUMNS)


async def marked(connection: AsyncConnection, marks: Sequence[Mark]) -> set[Mark]:
    """Those of ``marks`` (at most a few hundred) that are there."""
    rows = await connection.execute(select(*_MARK).where(tuple_(*_MARK).in_(marks)))
    return {(row.meter, row.period, row.capacity, row.threshold) for row in rows}


async def mark_once(database: Database, connection: AsyncConnection, mark: Mark, now_ms: int) -> bool:
    """Within a writing transaction. True for exactly one caller, ever, if it commits."""
    row = dict(zip(_COLUMNS, mark, strict=True)) | {"marked_at": now_ms}
    done = await connection.execute(database.insert(alert_markers).on_conflict_do_nothing(), row)
    return bool(done.rowcount == 1)
