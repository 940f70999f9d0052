"""The ledger as those see it who decide on alerts: what was spent, what was granted, and what has fired."""

from collections.abc import Sequence

from proxy.core.usage import Charge, Spent
from proxy.ledger.database import Database
from proxy.ledger.deliveries import Deliveries, Firing
from proxy.ledger.grants import Grants
from proxy.ledger.hours import Hour, hours
from proxy.ledger.sums import living, standing


class Book:
    """Raises: LedgerAway throughout."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._grants = Grants(database)
        self._deliveries = Deliveries(database)

    async def living(self, now_ms: int) -> list[Spent]:
        return await living(self._database, now_ms)

    async def standing(self, charges: Sequence[Charge]) -> list[Spent]:
        return await standing(self._database, charges)

    async def granted(self, now_ms: int) -> dict[tuple[str, str], int]:
        return await self._grants.totals(now_ms)

    async def hours(self, now_ms: int, at_least_nanousd: int) -> list[Hour]:
        return await hours(self._database, now_ms, at_least_nanousd)

    async def fire(self, firings: Sequence[Firing], now_ms: int) -> set[str]:
        return await self._deliveries.fire(firings, now_ms)
