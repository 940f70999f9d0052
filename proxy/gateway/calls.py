"""A worker's calls to providers, over all policies: its money, its journal, and answers that outlive their clients."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from proxy.ai.estimates import Estimates
from proxy.core.clock import Clock
from proxy.core.units import NANOS
from proxy.gateway.callrecord import Ended, Offer
from proxy.gateway.control import BudgetRefused, Start
from proxy.gateway.journals import Journals, journals
from proxy.gateway.ledgerlink import LedgerLink
from proxy.metering.budgets import Grants, HeldBudget
from proxy.metering.epoch import Budgets
from proxy.metering.journal import Journal
from proxy.metering.meters import Meters
from proxy.metering.money import Money
from proxy.policy.model import Policy, Route
from proxy.store.client import Store
from proxy.telemetry.metrics import AI_CALLS, AI_HELD, AI_SPEND, AI_TOKENS, AI_UNDER_WAY, BUDGETS_CLOSED, Metrics

log = logging.getLogger("sluicegate.worker")

LAST_ANSWERS_S: Final = 1.0  # for answers without a client, when the worker ends: what then runs is settled at its hold
REAP_S: Final = 0.5  # the journal hears as often of what has landed, and lets go of it
TELL_S: Final = 1.0
TAKE_OVER_S: Final = 5.0


def spends(policy: Policy) -> bool:
    """Whether any route calls a provider."""
    return any(route.spending is not None for route in policy.routes)


class Calls:
    """Of one worker. It has a journal from the first policy on that spends; ``start`` before use, ``stop`` after."""

    def __init__(self, start: Start, store: Store, meters: Meters, clock: Clock, metrics: Metrics) -> None:
        self.granted: Grants = start.granted
        self.link = LedgerLink(start.index)
        self.money: Money
        self._journals = Journals(journals(start.policy.data_dir))
        self._store, self._meters, self._clock, self._metrics = store, meters, clock, metrics
        self._journal: Journal | None = None
        self._estimates: dict[float, Estimates] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = False

    async def start(self, *, spends: bool) -> None:
        """Ends what a worker that died has left in the journal. Raises: OSError where that cannot be written."""
        if self._open or not spends:
            return
        self._journal = await asyncio.to_thread(self._journals.open)
        await self._each_left(self._journal.absorb)
        self.money = Money(
            self._store, self._meters, self._clock, journal=self._journal, ledger_has=self.link.ask, reap_s=REAP_S
        )
        await self.money.start()
        self._tasks = [
            asyncio.create_task(self._tell(), name="money metrics"),
            asyncio.create_task(self._take_over(), name="journals"),
        ]
        self._open = True

    async def stop(self) -> None:
        """What still runs is given up: its client has gone long ago."""
        if not self._open:
            return
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=LAST_ANSWERS_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for task in self._tasks:
            task.cancel()
        await self.money.stop()
        if self._journal is not None:
            self._journal.close()
            self._journals.close()

    def carry(self, way: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a call to its end, whoever awaits it or not."""
        task = asyncio.create_task(way)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still listened has got it

    def estimates(self, quantile: float) -> Estimates:
        """What this worker has learnt of holds that are tighter than bounds."""
        found = self._estimates.get(quantile)
        if found is None:
            found = self._estimates[quantile] = Estimates(quantile)
        return found

    def refused(self, held: HeldBudget, offer: Offer) -> None:
        """Tells whoever sends alerts that this budget is used up."""
        self.link.refused(BudgetRefused(held.charge(offer.quote.at_ms), offer.record.spender), self._clock.now_ms())

    def held(self, route: Route, offer: Offer) -> None:
        """Counts a call that was admitted."""
        metrics = self._metrics
        metrics.inc(AI_HELD, route.name, offer.call.provider, by=offer.nanousd / NANOS)
        metrics.inc(AI_UNDER_WAY)

    def spent(self, route: Route, offer: Offer, ended: Ended) -> None:
        """Counts a call that has ended."""
        metrics, provider = self._metrics, offer.call.provider
        metrics.inc(AI_UNDER_WAY, by=-1)
        metrics.inc(AI_CALLS, route.name, provider, ended.word)
        metrics.inc(AI_SPEND, route.name, provider, offer.record.subscription_tier, by=ended.nanousd / NANOS)
        tokens = ended.tokens
        for kind in ("input", "output", "cached_read", "cache_write"):
            if count := getattr(tokens, kind):
                metrics.inc(AI_TOKENS, route.name, provider, kind, by=count)

    async def _tell(self) -> None:
        while True:
            closed = self.money.standing.budgets is Budgets.CLOSED
            self._metrics.set(BUDGETS_CLOSED, 1 if closed else 0)
            await asyncio.sleep(TELL_S)

    async def _take_over(self) -> None:
        """What workers leave that die while this one lives: their successors may have come before they were gone."""
        while True:
            await asyncio.sleep(TAKE_OVER_S)
            try:
                await self._each_left(self.money.take_over)
            except OSError as error:
                log.error("a journal cannot be taken over", extra={"fields": {"error": error.strerror}})

    async def _each_left(self, take: Callable[[Journal], None]) -> None:
        """``take``s each journal that is left; one that cannot be taken now is left again. Raises: OSError."""
        lefts = await asyncio.to_thread(self._journals.left)
        try:
            for left in lefts:
                take(left.journal)
                if lines := left.journal.unreadable:
                    log.error(
                        "a journal has lines that are not understood: it is kept", extra={"fields": {"lines": lines}}
                    )
                await asyncio.to_thread(left.remove)
        finally:
            for left in lefts:
                left.close()
