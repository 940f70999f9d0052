"""A request's way on a route that caches: look near, admit, look in Redis, answer; else fetch once for all who wait.

A hit of worker memory costs no IO but the admission, and none at all where hits don't pay. On a miss the look-up in
Redis travels beside the admission; where hits pay less than a request does, it comes first, so that nothing has to be
given back. Who leads a fetch is settled within the worker by ``Flights`` and between workers by a lease in Redis.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final, NoReturn

from proxy.cache import cachestatus
from proxy.cache.answers import answer
from proxy.cache.cachestatus import BECAUSE, Forwarded
from proxy.cache.entry import Stored
from proxy.cache.flights import Ended, Flight
from proxy.cache.reuse import PLAIN, Failure, Use, read_wish, reuse
from proxy.cache.vary import Selecting, choose
from proxy.core.errors import Fault, GatewayError, Reason
from proxy.core.identity import Identity
from proxy.gateway.admission import admit
from proxy.gateway.cachedrequest import CachedRequest, is_steered, may_bypass, owner_of
from proxy.gateway.cachefetch import Fetch, stands_in
from proxy.gateway.cachelead import Leading
from proxy.gateway.cacherefresh import refresh
from proxy.gateway.caches import MOST_REFRESHES, POLL_MOST_S, POLL_S
from proxy.gateway.cachesend import send_stored
from proxy.gateway.exchange import CacheResult, Exchange
from proxy.gateway.runtime import Runtime
from proxy.metering.decision import Decision
from proxy.policy.caching import WHOLE
from proxy.policy.model import Route

NO_OWNER: Final = "no-owner"
ONLY_IF_CACHED: Final = "only-if-cached"
_PART: Final = b"\0r"  # before a range in a flight's key: no field that selects a variant is compared as such


async def answer_cached(exchange: Exchange, runtime: Runtime, route: Route, identity: Identity) -> bool:
    """Answers a request by the cache or through it. False: it is none of the cache's business.

    Raises: GatewayError while nothing has been sent; ConnectionError when the client leaves.
    """
    caching = route.caching
    assert caching is not None
    if exchange.method not in caching.methods:
        return _passes(exchange, Forwarded.METHOD.value)
    shelf = runtime.shelf(route)
    owner = owner_of(caching, shelf, identity)
    headers = exchange.headers
    wish = read_wish(exchange.method, headers, caching, may_bypass=may_bypass(caching.bypass, identity))  # type: ignore[arg-type]
    if owner is None or not wish.reads or is_steered(headers):  # type: ignore[arg-type]
        if wish.only_if_cached:
            _refuse_to_fetch(exchange)
        return _passes(exchange, NO_OWNER if owner is None else Forwarded.REQUEST.value)
    await _Way(CachedRequest(exchange, caching, shelf, identity, owner, wish), runtime, route).go()
    return True


def _passes(exchange: Exchange, why: str) -> bool:
    exchange.cache, exchange.cache_why = CacheResult.BYPASS, why
    return False


def _refuse_to_fetch(exchange: Exchange) -> NoReturn:
    """For a client that wants nothing fetched. Raises: GatewayError NOT_CACHED."""
    exchange.cache, exchange.cache_why = CacheResult.MISS, ONLY_IF_CACHED
    raise GatewayError(Reason.NOT_CACHED)


class _Way:
    """One request's, from its key to its answer."""

    __slots__ = (
        "_best",
        "_caches",
        "_caching",
        "_decision",
        "_regrouped",
        "_request",
        "_route",
        "_runtime",
        "_use",
        "_vary",
        "_why",
    )

    def __init__(self, request: CachedRequest, runtime: Runtime, route: Route) -> None:
        self._request = request
        self._runtime = runtime
        self._route = route
        self._caches = runtime.shared.caches
        self._caching = request.caching
        self._decision: Decision | None = None
        self._best: Stored | None = None  # what the request selects of all that is stored
        self._use: Use | None = None
        self._why = Forwarded.URI_MISS
        self._vary: Selecting = ()  # what its variants differ by, as far as is known
        self._regrouped = False

    async def go(self) -> None:
        try:
            resource = self._caches.memory.get(self._request.key)
            if resource is not None and self._consider(resource.variants) and await self._hit(CacheResult.HIT):
                exchange = self._request.exchange
                if exchange.raw is not None and self._use is Use.FRESH and self._request.wish is PLAIN:
                    exchange.recallable = (resource, self._best)
            else:
                await self._fly()
        finally:
            if self._decision is not None:
                self._runtime.shared.meters.release(self._decision)

    # --- what is stored ---

    def _consider(self, variants: Sequence[Stored]) -> bool:
        """Looks for what the request selects. Whether that answers it."""
        request, now_ms = self._request, self._caches.clock.now_ms()
        may_reuse = self._caches.may_reuse
        valid = [stored for stored in variants if may_reuse(stored)]
        if not valid:
            return False
        best = choose(valid, request.headers, self._caching.profile)
        if best is None:
            self._why, self._vary = Forwarded.VARY_MISS, valid[-1].vary
            return False
        self._best = best
        self._use = use = reuse(best, request.wish, now_ms)
        self._why = BECAUSE.get(use, Forwarded.MISS)
        return use.serves

    def _look_near(self) -> bool:
        """In memory. Whether what is found there answers the request."""
        resource = self._caches.memory.get(self._request.key)
        return resource is not None and self._consider(resource.variants)

    async def _look_far(self, leading: Leading | None) -> bool:
        """In Redis, where ``leading`` also tries for the lease. What is found there is kept near. Whether it answers
        the request."""
        caches, request = self._caches, self._request
        if leading is None:
            found = await caches.shared.get(request.key, self._wants)
        else:
            found = await leading.look(self._wants)
        if found is None:
            return False
        now_ms = caches.clock.now_ms()
        if found.not_stored_until_ms > now_ms:
            caches.flights.mark(request.key, monotonic() * 1000)
        variants = [stored for stored in reversed(found.variants) if caches.may_reuse(stored)]
        for stored in variants:
            caches.adopt(request.owner, stored, now_ms)
        return self._consider(variants)

    def _wants(self, stored: Stored) -> bool:
        """Whether a large body is worth reading: nothing forbids it, and the request selects it."""
        return self._caches.may_reuse(stored) and self._selects(stored)

    def _selects(self, stored: Stored) -> bool:
        return choose([stored], self._request.headers, self._caching.profile) is not None

    # --- who fetches ---

    async def _fly(self) -> None:
        """Leads a fetch, follows another's, or goes alone."""
        give_up_s = monotonic() + self._caching.wait_ms / 1000
        flights = self._caches.flights
        if not self._may_share():
            # Who wants none of what is stored looks all the same: others may have to hear that it is outdated.
            await self._go_alone(looks=not self._request.wish.no_cache or self._best is None)
            return
        while True:
            key = self._flight_key()
            flight = flights.find(key)
            if flight is not None:
                answered = await self._follow(flight, give_up_s)
            else:
                flight = flights.begin(key)
                try:
                    answered = await self._lead(flight, give_up_s)
                finally:
                    flights.land(flight, Ended.ABANDONED)
            if answered or (self._look_near() and await self._hit(CacheResult.HIT)):
                return

    def _may_share(self) -> bool:
        """Whether what it fetches is what others would get."""
        request = self._request
        return (
            request.wish.stores
            and not request.wish.no_cache
            and request.exchange.method == "GET"
            and ("Range" not in request.headers or (request.wish.range is not None and not request.wish.if_range))
            and not self._caches.flights.is_marked(request.key, monotonic() * 1000)
        )

    def _flight_key(self) -> bytes:
        """Those who select different variants do not wait for one another, once it is known what they differ by; nor do
        those who want different parts."""
        resource = self._caches.memory.get(self._request.key)
        known = resource.variants[-1].vary if resource is not None and resource.variants else self._vary
        part = self._request.headers.get("Range")
        key = self._request.flight_key(known)
        return key if part is None else key + _PART + part.strip().encode("utf-8", "surrogateescape")

    def _is_misgrouped(self, flight: Flight) -> bool:
        """Whether those who wait for it turn out to want different variants. Told once a request: an app may say
        something else of what they differ by with every answer."""
        return not self._regrouped and self._flight_key() != flight.key

    async def _lead(self, flight: Flight, give_up_s: float) -> bool:
        """Fetches for all who wait, unless another worker does or has. False: they are to be grouped anew."""
        leading = Leading(self._caches, self._request.key, flight)
        try:
            if await self._look(leading) or await self._await_others(leading, flight, give_up_s):
                assert self._best is not None
                leading.found(self._best)
                if await self._hit(CacheResult.HIT):
                    return True
            elif self._is_misgrouped(flight):
                self._regrouped = True
                return False
            await self._fetch(leading)
        finally:
            leading.ends()
        return True

    async def _await_others(self, leading: Leading, flight: Flight, give_up_s: float) -> bool:
        """While another worker fetches it. Whether what that brings answers the request."""
        pause_s = POLL_S
        while leading.elsewhere and monotonic() < give_up_s:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_MOST_S)
            if await self._look_far(leading):
                return True
            if self._caches.flights.is_marked(self._request.key, monotonic() * 1000):
                return False
            if self._is_misgrouped(flight):
                return False
        return False

    async def _follow(self, flight: Flight, give_up_s: float) -> bool:
        """Waits for another's fetch. False: somebody else has to lead, since its leader has gone, or what it brought
        is another variant."""
        if self._caching.hits_pay == WHOLE:
            await self._pay(WHOLE)
        why = self._why
        outcome = await flight.wait(give_up_s - monotonic())
        if outcome is Ended.ABANDONED:
            return False
        if isinstance(outcome, Stored) and self._consider([outcome]):
            self._why = why  # it was to be forwarded, and collapsed with what was
            if await self._hit(CacheResult.COALESCED):
                return True
        elif isinstance(outcome, Stored) and not self._selects(outcome) and monotonic() < give_up_s:
            return False
        elif isinstance(outcome, GatewayError):
            if not await self._serve_stale_for(outcome, collapsed=True):
                raise GatewayError(outcome.reason, outcome.detail) from outcome
            return True
        elif outcome is Ended.FAILING and await self._serve_stale(Failure.STATUS, collapsed=True):
            return True
        await self._go_alone(looks=outcome is None)  # it took too long; meanwhile others may have stored one
        return True

    async def _go_alone(self, *, looks: bool) -> None:
        found = looks and (self._look_near() or await self._look(None))
        if not (found and await self._hit(CacheResult.HIT)):
            await self._fetch(None)

    async def _look(self, leading: Leading | None) -> bool:
        """In Redis, beside the admission where a hit pays as much as any request."""
        looks = self._look_far(leading)
        if self._caching.hits_pay != WHOLE:
            return await looks
        looking = asyncio.create_task(looks)
        try:
            await self._pay(WHOLE)
            return await looking
        finally:
            looking.cancel()

    async def _fetch(self, leading: Leading | None) -> None:
        """Raises: GatewayError; NOT_CACHED where the client wants nothing fetched."""
        request = self._request
        if request.wish.only_if_cached:
            _refuse_to_fetch(request.exchange)
        await self._pay(WHOLE)
        fetch = Fetch(request, self._runtime, self._route, self._best, self._why, leading)
        try:
            status = await fetch.answer()
            if status is not None:
                await self._send_stale(status=status)
        except GatewayError as error:
            if error.error_class.fault is not Fault.UPSTREAM or request.exchange.status:
                raise
            fetch.failed(error)
            if not await self._serve_stale_for(error):
                raise
            self._runtime.failed_unseen(request.exchange, self._route, error.reason)

    # --- answering ---

    async def _pay(self, share: int) -> None:
        """Once a request. Raises: GatewayError where its limits refuse it."""
        if share and self._decision is None:
            request = self._request
            self._decision = await admit(request.exchange, self._runtime, self._route, request.identity, 1, share)

    async def _hit(self, result: CacheResult) -> bool:
        """False: what it has found was purged while it paid, and nothing was sent."""
        await self._pay(self._caching.hits_pay)
        best, caches = self._best, self._caches
        assert best is not None
        now_ms = caches.clock.now_ms()
        if not caches.may_reuse(best):
            self._best, self._use, self._why = None, None, Forwarded.MISS
            return False
        if self._use is Use.FRESH:
            why = ""
            renews = self._caching.early and caches.is_due(best, now_ms)
        else:
            result, why = CacheResult.STALE, "asked" if self._use is Use.AS_ASKED else "revalidating"
            renews = self._use is Use.WHILE_REVALIDATING
        if renews and self._request.exchange.method == "GET":
            best.due = False
            caches.besides(refresh(self._request, self._runtime, self._route, best), MOST_REFRESHES)
        left_ms = best.terms.left_ms(now_ms)
        if result is CacheResult.COALESCED:
            field = cachestatus.forwarded(self._why, left_ms=left_ms, collapsed=True)
        else:
            field = cachestatus.hit(left_ms)
        await self._send(best, result, why, field, now_ms)
        return True

    async def _serve_stale_for(self, error: GatewayError, *, collapsed: bool = False) -> bool:
        """Not where the app has mixed up tenants: that must not go by unseen."""
        if error.reason is Reason.TENANT_MISMATCH:
            return False
        return await self._serve_stale(Failure.DISCONNECTED, collapsed=collapsed)

    async def _serve_stale(self, failure: Failure, *, collapsed: bool) -> bool:
        """Whether there is something that stands in for an upstream that has failed."""
        if not stands_in(self._best, self._request, self._caches, failure):
            return False
        await self._send_stale(collapsed=collapsed)
        return True

    async def _send_stale(self, *, status: int | None = None, collapsed: bool = False) -> None:
        """For an upstream that was asked and has failed, with ``status`` if it answered (RFC 9211 §2.3)."""
        best, now_ms = self._best, self._caches.clock.now_ms()
        assert best is not None
        left_ms = best.terms.left_ms(now_ms)
        field = cachestatus.forwarded(self._why, status=status, left_ms=left_ms, collapsed=collapsed)
        await self._send(best, CacheResult.STALE, "error", field, now_ms)

    async def _send(self, stored: Stored, result: CacheResult, why: str, field: bytes, now_ms: int) -> None:
        """``field``: Cache-Status."""
        request = self._request
        exchange = request.exchange
        exchange.cache, exchange.cache_why = result, why
        ready = answer(stored, request.wish, exchange.method, request.headers, now_ms)
        await send_stored(exchange, stored, ready, self._caching, field)
