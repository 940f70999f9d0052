"""What tenants spent within the last hour, beside the dearest hour of the week before. For alarms on unusual ones.

Hours are counted back from now, so that like is compared with like: sixty minutes with sixty minutes.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, text

from proxy.ledger.database import Database
from proxy.ledger.instants import Instant

HOUR_MS: Final = 3_600_000
WEEK_MS: Final = 7 * 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Hour:
    """Nano-dollars. ``tenant`` is None for what no tenant spent."""

    tenant: str | None
    last: int
    dearest: int


# Whole hours before now: 0 is the one that has just gone by.
_AGO: Final = {
    True: "floor(extract(epoch FROM (:now - created_at)) / 3600)",
    False: "(strftime('%s', :now) - strftime('%s', created_at)) / 3600",
}
# Few tenants spend so much in an hour, so the week is read for those alone, by their index.
_HOURS: Final = """
WITH lately AS (
    SELECT company_id, sum(cost_nanousd) AS nanousd FROM {usage}
    WHERE created_at > :hour_ago AND created_at <= :now GROUP BY company_id HAVING sum(cost_nanousd) >= :least
),
hourly AS (
    SELECT u.company_id, {ago} AS ago, sum(u.cost_nanousd) AS nanousd
    FROM {usage} u WHERE u.created_at > :week_ago AND u.created_at <= :hour_ago
        AND (u.company_id IN (SELECT company_id FROM lately)
            OR u.company_id IS NULL AND EXISTS (SELECT 1 FROM lately WHERE company_id IS NULL))
    GROUP BY u.company_id, 2
)
SELECT l.company_id, l.nanousd, coalesce(max(h.nanousd), 0)
FROM lately l LEFT JOIN hourly h ON h.company_id = l.company_id OR (h.company_id IS NULL AND l.company_id IS NULL)
GROUP BY l.company_id, l.nanousd
"""


async def hours(database: Database, now_ms: int, at_least_nanousd: int) -> list[Hour]:
    """Of tenants that spent at least so much within the last hour. Raises: LedgerAway."""
    query = text(_HOURS.format(usage=database.table("ai_usage"), ago=_AGO[database.on_postgresql])).bindparams(
        bindparam("now", now_ms, Instant),
        bindparam("hour_ago", now_ms - HOUR_MS, Instant),
        bindparam("week_ago", now_ms - HOUR_MS - WEEK_MS, Instant),
        least=at_least_nanousd,
    )
    async with database.reading() as connection:
        return [Hour(tenant, int(last), int(dearest)) for tenant, last, dearest in await connection.execute(query)]
