"""Which alerts have fired: the one copy that counts, so that a Redis that was lost fires none again."""

from sqlalchemy import select

from proxy.ledger.database import Database
from proxy.ledger.schema import alert_markers


class Markers:
    """Raises: LedgerAway throughout."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark_once(self, meter: str, period: str, capacity: int, threshold: int, now_ms: int) -> bool:
        """True for exactly one caller, ever. ``capacity`` in the meter's unit, ``threshold`` in percent of it."""
        row = {
            "meter": meter,
            "period": period,
            "capacity": capacity,
            "threshold": threshold,
            "marked_at": now_ms,
        }
        async with self._database.writing() as connection:
            done = await connection.execute(self._database.insert(alert_markers).on_conflict_do_nothing(), row)
        return bool(done.rowcount == 1)

    async def marked(self, period: str) -> set[tuple[str, int, int]]:
        """(meter, capacity, threshold) of a period, to begin a cache with."""
        columns = alert_markers.c.meter, alert_markers.c.capacity, alert_markers.c.threshold
        async with self._database.reading() as connection:
            rows = await connection.execute(select(*columns).where(alert_markers.c.period == period))
            return {(row.meter, row.capacity, row.threshold) for row in rows}
