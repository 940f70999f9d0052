"""Alerts in the background process: what was spent is judged, what is due is fired in the ledger, and then sent."""

import asyncio
import logging
import ssl
from collections.abc import Iterable
from typing import Final

from aiohttp import ClientSession

from proxy.alerts.channels.registry import open_channels
from proxy.alerts.dispatcher import Channel, Dispatcher
from proxy.alerts.lookout import Lookout
from proxy.alerts.watch import Watch
from proxy.core.clock import Clock
from proxy.core.usage import Charge, Spender, Spent
from proxy.gateway.alertnotes import AlertNotes
from proxy.ledger.book import Book
from proxy.ledger.database import connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import LedgerAway
from proxy.policy.model import Policy
from proxy.telemetry.metrics import LEDGER_AWAY, Metrics

log = logging.getLogger("sluicegate.background")

POOL: Final = 2  # its own connections: to send never queues before the mover


class Alerting:
    """``run`` once the ledger is open; ``close`` after."""

    def __init__(self, policy: Policy, metrics: Metrics, clock: Clock) -> None:
        if policy.ledger is None:
            raise ValueError("the policy has no ledger")
        self._metrics = metrics
        self._clock = clock
        self._tls = ssl.create_default_context()
        self._session = ClientSession()
        self._database = connect(policy.ledger.url, pool=POOL)
        self._heard = bool(policy.alerts.channels)
        deliveries, channels = Deliveries(self._database), self._open(policy)
        notes = AlertNotes(metrics, self.away)
        self._sender = Dispatcher(deliveries, channels, clock, notes, passing=LedgerAway)
        self._lookout = Lookout(
            Watch(policy.budgets, policy.alerts),
            Book(self._database),
            clock,
            passing=LedgerAway,
            fired=lambda _: self._sender.wake(),
            away=self.away,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as both:  # ends when both have: a gather that is cancelled waits for one alone
            both.create_task(self._lookout.run(), name="alerts' lookout")
            both.create_task(self._sender.run(), name="alerts' sender")

    async def close(self) -> None:
        await self._session.close()
        await self._database.close()

    async def look(self) -> None:
        """At what was told just now, before this process ends. Raises: LedgerAway."""
        if self._heard:
            await self._lookout.look()

    def spent(self, spent: Iterable[Spent]) -> None:
        if self._heard:
            self._lookout.spent(spent)

    def refused(self, charge: Charge, spender: Spender) -> None:
        if self._heard:
            self._lookout.refused(charge, spender)

    def violated(self, route: str, tenant: str) -> None:
        if self._heard:
            self._lookout.violated(route, tenant)

    def look_at_all(self) -> None:
        """After a rebuild."""
        self._lookout.look_at_all()

    def apply(self, policy: Policy) -> None:
        """Everything that lives is judged by this policy."""
        self._heard = bool(policy.alerts.channels)
        self._sender.use(self._open(policy))
        self._lookout.reload(Watch(policy.budgets, policy.alerts))

    def _open(self, policy: Policy) -> tuple[Channel, ...]:
        return open_channels(policy.alerts.channels, self._session, self._clock, self._tls)

    def away(self, reason: str) -> None:
        self._metrics.inc(LEDGER_AWAY, "alerts")
        log.warning("alerts wait for the ledger", extra={"fields": {"reason": reason}})
