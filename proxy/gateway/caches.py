"""What a worker caches with: its memory, the level in Redis, the log of purges, fetches. Outlives policies."""

import asyncio
import logging
import random
import secrets
from collections.abc import Coroutine
from time import monotonic
from typing import Any, Final

from proxy.cache.digests import purge_of_shelf
from proxy.cache.entry import Stored
from proxy.cache.flights import Flights
from proxy.cache.freshen import regrouped
from proxy.cache.keeper import Fills
from proxy.cache.leases import Leases
from proxy.cache.link import Absent, Link
from proxy.cache.memory import Memory
from proxy.cache.purgelog import CURRENT_MS, PurgeLog
from proxy.cache.reuse import FIRST_SERVER_ERROR, early, outranked
from proxy.cache.room import Room
from proxy.cache.shared import Shared
from proxy.core.clock import Clock
from proxy.core.storeurl import parse_store_url
from proxy.gateway.control import Start
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import (
    CACHE_AWAY,
    CACHE_BYTES,
    CACHE_CURRENT,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_PAUSED,
    Metrics,
)

log = logging.getLogger("sluicegate.cache")

MOST_BESIDES: Final = 256  # writes to Redis and refreshes under way, of one worker; what comes on top is not begun
MOST_REFRESHES: Final = 64  # beyond so many of both no refresh is: a write is short, and others wait for it
FILLS: Final = 0.25  # of the memory for what is stored, and beside it: bodies that pass and are going to be stored
GAUGES_S: Final = 1.0
KEPT_MS: Final = 600_000  # in Redis after it is stale, to be validated or to stand in for an upstream that fails
MOST_KEPT_MS: Final = 24 * 3_600_000
LATE_MS: Final = 1_000  # what took so long to be whole may have been overtaken
LEASE_MS: Final = 3_000  # renewed while the fetch lasts: so long others wait for a worker that has died
POLL_S: Final = 0.01  # between two looks at what another worker fetches, doubled up to
POLL_MOST_S: Final = 0.08


class Caches:
    """Of one event loop. ``follow`` before use; it starts with the first policy that caches."""

    def __init__(self, start: Start, metrics: Metrics, clock: Clock) -> None:
        stores = start.policy.caches
        url = parse_store_url(stores.url or start.redis_url)
        self.clock = clock
        self.metrics = metrics
        self.memory = Memory(stores.memory, tenant_share=stores.tenant_share, largest=stores.largest_in_memory)
        self.flights = Flights()
        self.fills = Fills(int(FILLS * stores.memory))
        self.bytes_ahead = 0  # of bodies that are read faster than their clients take them
        self.random = random.Random()  # noqa: S311 - when to refresh is no secret
        self._store = Store(url, stores.timeout_ms)
        self.log = PurgeLog(self._store, clock)
        self._link = Link(url, clock, stores.timeout_ms, self._link_changed)
        self._room = Room(self._link, stores.redis_memory if stores.url is None else None)
        self.shared = Shared(self._link, self._room)
        self.leases = Leases(self._link)
        self._started = False
        self._shelves: frozenset[str] = frozenset()
        self._besides: set[asyncio.Task[None]] = set()
        self._gauging: asyncio.Task[None] | None = None
        self._counted_evictions = self._counted_failures = 0

    @staticmethod
    def token() -> bytes:
        """Of one holder of a lease."""
        return secrets.token_bytes(8)

    async def follow(self, policy: Policy) -> None:
        """Starts with the first policy that caches anything."""
        if self._started or not caches(policy):
            return
        self._started = True
        await self.log.start()
        await self._room.start()
        self._gauging = asyncio.create_task(self._gauge(), name="cache gauges")

    def keep_only(self, shelves: frozenset[str]) -> None:
        """Those of the policy that is in force from now on. What is on others is reused no more, not even under a later
        policy: meanwhile nobody looks which writes concern it."""
        if gone := self._shelves - shelves:
            self.log.purge(map(purge_of_shelf, sorted(gone)))
        self._shelves = shelves

    async def close(self) -> None:
        tasks = [*self._besides, *([self._gauging] if self._gauging is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._started:
            await self.log.stop()
            await self._room.stop()
        await self._link.close()
        await self._store.close()

    def may_reuse(self, stored: Stored) -> bool:
        """Whether no purge forbids it."""
        return self.log.may_reuse(stored, monotonic() * 1000)

    def keep(self, owner: str | None, stored: Stored, now_ms: int) -> None:
        """In memory at once, as what this worker has fetched itself."""
        stored.due = False
        stored.new_until_ms = monotonic() * 1000 + CURRENT_MS - max(now_ms - stored.terms.received_ms, 0)
        self.memory.put(stored.key, owner, stored, now_ms)

    def adopt(self, owner: str | None, stored: Stored, now_ms: int) -> None:
        """In memory, as it was found in Redis: unless something newer has come meanwhile."""
        held = self.memory.get(stored.key)
        if held is None or all(
            each.vary != stored.vary or each.terms.received_ms < stored.terms.received_ms for each in held.variants
        ):
            self.memory.put(stored.key, owner, stored, now_ms)

    def is_due(self, stored: Stored, now_ms: int) -> bool:
        """Whether this hit of what is fresh is to fetch it anew. Rolled for once a hit, whichever way it goes: what is
        due stays so until the fetch has begun."""
        if not stored.due:
            stored.due = early(stored, now_ms, 1.0 - self.random.random())
        return stored.due

    def outdated(self, stored: Stored) -> None:
        """The app has said that this is not current any more: nobody reuses it, here from now on, and in other workers
        as of any purge."""
        self._withdraw(stored)
        self.besides(self._discarded(stored.key))

    def supersede(self, old: Stored, new: Stored, now_ms: int) -> None:
        """``new`` is going to take the place of ``old``. Where that is still fresh, or is selected by other fields,
        others would go on with it. That its content is the same outdates nothing."""
        usable = not old.terms.no_cache and old.terms.left_ms(now_ms) > 0
        if (usable or regrouped(old, new)) and set(old.own).isdisjoint(new.tags):
            self._withdraw(old)

    def _withdraw(self, stored: Stored) -> None:
        self.memory.remove(stored.key, stored)
        self.log.purge(stored.own)

    async def _discarded(self, key: bytes) -> None:
        await self.shared.discard(key)

    async def outranked(self, stored: Stored, best: Stored | None = None) -> str:
        """Why it must not take the place of what is stored here or elsewhere, or of ``best`` (``reuse.outranked``)."""
        now_ms = self.clock.now_ms()
        quick = now_ms - stored.terms.received_ms < LATE_MS
        if quick and stored.range is None and stored.status < FIRST_SERVER_ERROR:
            return ""
        listing, held = await self.shared.listed(stored.key), self.memory.get(stored.key)
        found = [] if isinstance(listing, Absent) else [each.stored for each in listing.variants]
        if held is not None:
            found += held.variants
        if best is not None:
            found.append(best)
        reasons = (outranked(stored, each, now_ms) for each in found if self.may_reuse(each))
        return next(filter(None, reasons), "")

    async def share(self, stored: Stored) -> None:
        """In Redis, for as long as it may be of use. What proves there to be outranked leaves the memory too: a better
        answer may come to Redis between ``outranked`` and this."""
        terms = stored.terms
        left_ms = terms.lifetime_ms - terms.initial_age_ms + max(terms.swr_ms, terms.sie_ms)
        if stored.etag or stored.modified:
            left_ms += KEPT_MS
        kept = await self.shared.put(stored.key, stored, min(left_ms, MOST_KEPT_MS))
        if not kept and await self.outranked(stored):
            self.memory.remove(stored.key, stored)

    def besides(self, work: Coroutine[Any, Any, None], most: int = MOST_BESIDES) -> bool:
        """Does it while nobody waits for it. Whether it was begun: with ``most`` others under way it is not."""
        if len(self._besides) >= most:
            work.close()
            return False
        task = asyncio.create_task(work)
        self._besides.add(task)
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._besides.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what was done beside a request failed", exc_info=error)

    def _link_changed(self, why: StoreAway | None) -> None:
        if why is None:
            log.info("the cache's Redis is back")
        else:
            log.warning(
                "the cache's Redis is away: workers answer from their own memory, and nothing older than a second",
                extra={"fields": {"reason": why.reason.value, "detail": why.detail}},
            )

    async def _gauge(self) -> None:
        """What is counted beside requests, once a second."""
        metrics, memory = self.metrics, self.memory
        while True:
            metrics.set(CACHE_BYTES, memory.bytes)
            metrics.set(CACHE_ENTRIES, memory.entries)
            metrics.set(CACHE_CURRENT, 1 if self.log.is_current(monotonic() * 1000) else 0)
            metrics.set(CACHE_PAUSED, 0 if self._room.left else 1)
            metrics.inc(CACHE_EVICTIONS, by=memory.evictions - self._counted_evictions)
            failures = self._link.refused + self._link.unanswered
            metrics.inc(CACHE_AWAY, by=failures - self._counted_failures)
            self._counted_evictions, self._counted_failures = memory.evictions, failures
            await asyncio.sleep(GAUGES_S)


def caches(policy: Policy) -> bool:
    """Whether any route does."""
    return any(
        route.caching is not None or (route.spending is not None and route.spending.answers is not None)
        for route in policy.routes
    )
