"""Whose turn it is to buy an answer that several callers want at once: one pays, the others wait for what it gets.

As with what is fetched (``cacheway.py``): within a worker by a flight, between workers by a lease in Redis.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from proxy.cache.entry import Stored
from proxy.cache.flights import Ended, Flight
from proxy.gateway.cachelead import Leading
from proxy.gateway.caches import POLL_MOST_S, POLL_S, Caches


class Turn:
    """One caller's. Whoever gets the turn must tell what came of it: ``ends`` at the latest."""

    __slots__ = ("_caches", "_flight", "_key", "_leading", "_owner", "_valid", "_wait_s", "followed")

    def __init__(
        self, caches: Caches, key: bytes, owner: str | None, wait_ms: int, valid: Callable[[Stored], bool]
    ) -> None:
        """``valid``: whether a stored answer may be given again."""
        self.followed = False  # what was found is what another caller has just paid for
        self._caches = caches
        self._key = key
        self._owner = owner
        self._wait_s = wait_ms / 1000
        self._valid = valid
        self._flight: Flight | None = None
        self._leading: Leading | None = None

    async def waited(self) -> Stored | None:
        """What another caller has bought, or buys while this one waits. None: this one is to buy it.

        Then others wait for it in their turn: but not where those who wait can get nothing, since what came was not to
        be stored, or failed, or takes too long. Each of them buys for itself.
        """
        caches, give_up_s = self._caches, monotonic() + self._wait_s
        while not self._is_marked():
            flight = caches.flights.find(self._key)
            if flight is None:
                return await self._lead(caches.flights.begin(self._key), give_up_s)
            outcome = await flight.wait(give_up_s - monotonic())
            if outcome is Ended.ABANDONED:
                continue
            self.followed = isinstance(outcome, Stored) and self._valid(outcome)
            return outcome if isinstance(outcome, Stored) and self.followed else await self._look()
        return await self._look()

    def _is_marked(self) -> bool:
        return self._caches.flights.is_marked(self._key, monotonic() * 1000)

    async def _look(self) -> Stored | None:
        """In Redis, for one that goes alone."""
        found = await self._caches.shared.get(self._key)
        return self._adopted(found.variants) if found is not None else None

    def _adopted(self, variants: tuple[Stored, ...]) -> Stored | None:
        stored = next(filter(self._valid, variants), None)
        if stored is not None:
            self._caches.adopt(self._owner, stored, self._caches.clock.now_ms())
        return stored

    async def _lead(self, flight: Flight, give_up_s: float) -> Stored | None:
        leading = Leading(self._caches, self._key, flight)
        self._flight, self._leading = flight, leading
        stored, pause_s = None, POLL_S
        try:
            while stored is None:
                found = await leading.look(self._valid)
                if found is not None:
                    if found.not_stored_until_ms > self._caches.clock.now_ms():
                        self._caches.flights.mark(self._key, monotonic() * 1000)
                    stored = self._adopted(found.variants)
                if not leading.elsewhere or monotonic() >= give_up_s or self._is_marked():
                    break
                if stored is None:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, POLL_MOST_S)
        except BaseException:
            self.ends()
            raise
        if stored is not None:
            leading.found(stored)
            self.ends()
        return stored

    # --- what came of it, told by the one that has the turn; the first word counts ---

    def bought(self, stored: Stored) -> None:
        """It is in memory, and goes to Redis from here."""
        if self._leading is None:
            self._caches.besides(self._caches.share(stored))
        else:
            self._leading.landed(stored)

    def unfit(self, why: str) -> None:
        """It came, and is not to be stored: for a while nobody waits for such an answer."""
        if self._leading is not None:
            self._caches.flights.mark(self._key, monotonic() * 1000)
            self._leading.landed(Ended.UNCACHEABLE, why)

    def failed(self) -> None:
        """The provider did not answer as it should: nobody waits for the next one to fail."""
        if self._leading is not None:
            self._leading.landed(Ended.FAILING)

    def ends(self) -> None:
        """Nothing came, or nothing was asked for: the next has the turn."""
        if self._flight is not None and self._leading is not None:
            self._caches.flights.land(self._flight, Ended.ABANDONED)
            self._leading.ends()
