"""Leading a fetch for all who want the same: in this worker by its flight, over all workers by a lease."""

import asyncio
from collections.abc import Callable

from proxy.cache.entry import Stored
from proxy.cache.flights import MARK_MS, Ended, Flight
from proxy.cache.leases import lease_name
from proxy.cache.shared import Found
from proxy.core.errors import GatewayError
from proxy.gateway.caches import LEASE_MS, Caches


class Leading:
    """Of a fetch, in the worker by its flight and over all workers by a lease, renewed until it ends.

    Both are of the URL, or of a variant of it where it is known what its variants differ by: nobody waits for another's
    (``CachedRequest.flight_key``). ``elsewhere``: another worker has the lease.
    """

    __slots__ = ("_caches", "_ended", "_flight", "_key", "_lease", "_leased", "_timer", "_token", "elsewhere")

    def __init__(self, caches: Caches, key: bytes, flight: Flight) -> None:
        self._caches = caches
        self._key = key
        self._flight = flight
        self._lease = lease_name(key, flight.key.removeprefix(key))
        self._token = caches.token()
        self._leased = False
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self.elsewhere = False

    async def look(self, wanted: Callable[[Stored], bool]) -> Found | None:
        """What is stored, as of the moment at which it tries for the lease: an answer is stored before its lease ends.

        Where Redis is away each worker leads for itself.
        """
        found, got = await self._caches.shared.look(self._key, self._lease, self._token, LEASE_MS, wanted)
        self.elsewhere = got is False
        if got and not self._leased:
            self._leased = True
            self._renew_later()
        return found

    def _renew_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LEASE_MS / 3000, self._renew)

    def _renew(self) -> None:
        self._caches.besides(self._renewed())
        self._renew_later()

    async def _renewed(self) -> None:
        await self._caches.leases.renew(self._lease, self._token, LEASE_MS)

    def landed(self, outcome: Stored | GatewayError | Ended, why: str = "") -> None:
        """Tells those who wait, at once: its own client may take long to read. The first word counts.

        ``why``: for ops, of what is not stored.
        """
        self._caches.flights.land(self._flight, outcome)
        if not isinstance(outcome, GatewayError):
            self._end(outcome, why)

    def found(self, stored: Stored) -> None:
        """Tells them of what another worker has stored."""
        self._caches.flights.land(self._flight, stored)

    def ends(self) -> None:
        """Lets others lead, if it has come to nothing."""
        self._end(Ended.ABANDONED, "")

    def _end(self, outcome: Stored | Ended, why: str) -> None:
        """Others lead once they can see what it came to."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._leased or isinstance(outcome, Stored):
            self._caches.besides(self._tell_others(outcome, why))

    async def _tell_others(self, outcome: Stored | Ended, why: str) -> None:
        if isinstance(outcome, Stored):
            await self._caches.share(outcome)
        elif outcome is Ended.UNCACHEABLE:
            await self._caches.shared.mark(self._key, MARK_MS, why)
        if self._leased:
            await self._caches.leases.release(self._lease, self._token)
