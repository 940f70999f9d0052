"""All of a worker's metering behind one door: admit, release, and count alone while the store is away.

The gateway plans with a ``Planner`` of the policy that a request began with, admits here, answers by the ``Decision``,
and releases when the exchange has ended, however it did. Whether a store that is away lets through is the route's
word: ``admit`` raises StoreAway, and the gateway calls ``admit_locally`` or answers 503.
"""

from collections.abc import Awaitable, Callable

from proxy.core.clock import Clock
from proxy.metering.batcher import Batcher
from proxy.metering.decision import Decision
from proxy.metering.heartbeats import Heartbeats
from proxy.metering.holds import Hold
from proxy.metering.leases import Leases
from proxy.metering.local import LocalMeters
from proxy.metering.plan import Plan
from proxy.store.client import Store
from proxy.store.errors import Away, StoreAway


class Meters:
    """Of one worker and event loop; ``start`` before use, ``stop`` after. The store stays the caller's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        workers: int = 1,
        on_alarm: Callable[[], None] | None = None,
        on_breaker: Callable[[StoreAway | None], None] | None = None,
    ) -> None:
        """``workers``: how many this gateway has, at least so many share a limit while the store is away.

        ``on_alarm`` is called when the store's clock was far behind what scripts had seen, and was believed;
        ``on_breaker`` with why the breaker has opened, and with None when it has closed.
        """
        self.batcher = Batcher(store, clock, on_alarm=on_alarm)
        self.batcher.breaker.on_change = on_breaker
        self.leases = Leases(store, clock)
        self.heartbeats = Heartbeats(store, at_least=workers)
        self._local = LocalMeters()
        self._now_ms = clock.now_ms

    async def start(self) -> None:
        """Never fails for a store that is away: the breaker is open then, and its probe asks on."""
        await self.batcher.start()
        await self.leases.start()
        await self.heartbeats.start()

    async def stop(self) -> None:
        await self.batcher.stop()
        await self.leases.stop()
        await self.heartbeats.stop()

    def admit(self, plan: Plan, hold: Hold | None = None) -> Awaitable[Decision]:
        """The decision on a plan: one round trip, shared with others, bounded by the store's timeout.

        Awaited, it raises StoreAway; what the store has not decided by then takes nothing. Whoever asks for a ``hold``
        ends it: ``Money.admit`` sees to that.
        """
        return self._admit_leased(plan, hold) if plan.leased else self.batcher.admit(plan, None, hold)

    async def _admit_leased(self, plan: Plan, hold: Hold | None) -> Decision:
        lease = self.leases.new()
        try:
            decision = await self.batcher.admit(plan, lease, hold)
        except StoreAway as away:
            if away.reason is not Away.BREAKER:
                self.leases.release(lease, plan)
            raise
        except BaseException:
            self.leases.release(lease, plan)  # the caller has gone; the batch may take all the same
            raise
        if decision.admitted:
            decision.lease = lease
            self.leases.hold(lease, plan)
        return decision

    def admit_locally(self, plan: Plan) -> Decision:
        """The decision by this worker's share alone, for routes that stay open while the store is away."""
        lease = self.leases.new() if plan.leased else None
        decision = self._local.admit(plan, lease, self._now_ms(), self.heartbeats.workers)
        if lease is not None and decision.admitted:
            decision.lease = lease
            self.leases.hold(lease, plan)  # renewals take it in the store, once it is back
        return decision

    def release(self, decision: Decision) -> None:
        """Gives back what lasts as long as the exchange. Call it once that has ended; again does nothing."""
        lease, decision.lease = decision.lease, None
        if lease is not None:
            self.leases.release(lease)
            if decision.local:
                self._local.release(lease, decision.plan)
