"""What the background process tells of money beside its work: what waits for the ledger, also while nothing can be
moved, and how much of everybody's budgets is used."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import Final

from redis.exceptions import RedisError

from proxy.core.clock import Clock
from proxy.core.usage import Charge
from proxy.ledger.database import Database
from proxy.ledger.errors import LedgerAway, LedgerRefused
from proxy.ledger.grants import Grants
from proxy.ledger.outbox import Outbox
from proxy.ledger.sums import standing
from proxy.metering.budgets import period_name
from proxy.metering.calendar import period_edges
from proxy.policy.model import ScopeKind
from proxy.policy.spending import Budget
from proxy.telemetry.metrics import BUDGET_USED, LEDGER_LAG, OUTBOX_DEPTH, Metrics

LOOK_S: Final = 5.0

_EVERYBODY: Final = ScopeKind.GLOBAL.value  # the text of that scope


def of_everybody(budgets: Iterable[Budget], now_ms: int) -> list[tuple[Budget, Charge]]:
    """Budgets of scope global alone, and what is charged in the periods that now is in. Pure.

    All others are as many as there are callers: `sluicegate budget show` and alerts tell of those.
    """
    charges = []
    for budget in budgets:
        if {scope.kind for scope in budget.scopes} == {ScopeKind.GLOBAL}:
            start_ms, _, _ = period_edges(now_ms, budget.period, budget.time_zone)
            name = period_name(start_ms, budget.period, budget.time_zone)
            charges.append((budget, Charge(budget.name, _EVERYBODY, name)))
    return charges


def used(budget: Budget, nanousd: int, granted: Mapping[tuple[str, str], int]) -> float:
    """The share of the largest amount that any tier has; NaN of none at all. Pure."""
    amount = max(budget.amounts.values(), default=0) + granted.get((budget.name, _EVERYBODY), 0)
    return nanousd / amount if amount > 0 else math.nan


class MoneyGauges:
    """``run`` from the start on; a ledger that cannot be read yet is no reason not to count what waits for it."""

    def __init__(
        self, outbox: Outbox, database: Database, metrics: Metrics, clock: Clock, budgets: tuple[Budget, ...]
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._grants = Grants(database)
        self._metrics = metrics
        self._clock = clock
        self.budgets = budgets
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        while True:
            await self.tell()
            await asyncio.sleep(LOOK_S)

    async def tell(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._tell_waiting())
            both.create_task(self._tell_used())

    async def _tell_waiting(self) -> None:
        try:
            oldest_ms = await self._outbox.oldest_ms()
            lag_ms = 0 if oldest_ms is None else max(0, await self._outbox.now_ms() - oldest_ms)
            self._metrics.set(OUTBOX_DEPTH, await self._outbox.depth())
            self._metrics.set(LEDGER_LAG, lag_ms / 1000)
        except (RedisError, OSError, TimeoutError):
            return  # the breaker of the workers tells

    async def _tell_used(self) -> None:
        now_ms = self._clock.now_ms()
        charges = of_everybody(self.budgets, now_ms)
        names = {(budget.name, budget.period.value) for budget, _ in charges}
        for gone in self._told - names:
            self._metrics.set(BUDGET_USED, math.nan, *gone)
        self._told &= names
        if not charges:
            return
        try:
            spent = {one.charge: one.nanousd for one in await standing(self._database, [one for _, one in charges])}
            granted = await self._grants.totals(now_ms)
        except (LedgerAway, LedgerRefused):
            return
        for budget, charge in charges:
            share = used(budget, spent.get(charge, 0), granted)
            self._metrics.set(BUDGET_USED, share, budget.name, budget.period.value)
        self._told |= names
