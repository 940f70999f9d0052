"""An answer to POST that is what GET would give, as its Content-Location says: kept for GET (RFC 9110 §9.3.3).

By the standard's letter alone. The request goes its own way, its body streamed; only what comes back is looked at.
"""

from typing import Final, Self

from proxy.cache.entry import Stored, Terms
from proxy.cache.keeper import Keeper
from proxy.cache.reuse import Wish, forbids_storing
from proxy.core.identity import Identity
from proxy.gateway.cachedrequest import CachedRequest, is_steered, owner_of
from proxy.gateway.cachefetch import keep
from proxy.gateway.cachefill import STORED, Fetched, count_stored, stored_of, verdict
from proxy.gateway.exchange import Exchange
from proxy.gateway.relay import send_observed
from proxy.gateway.runtime import Runtime
from proxy.policy.caching import Profile
from proxy.policy.model import Route
from proxy.upstream.response import Response

LOG_S: Final = 2.0  # for the log of purges to have what the request itself has purged


class Posted:
    """One such request. ``begun`` before it is sent, ``judged`` when its answer's head is there, then ``relay``."""

    __slots__ = ("_fetched", "_request", "_requested_ms", "_route", "_runtime", "_seen", "_terms")

    def __init__(self, request: CachedRequest, runtime: Runtime, route: Route) -> None:
        self._request = request
        self._runtime = runtime
        self._route = route
        caches = runtime.shared.caches
        self._seen, self._requested_ms = caches.log.purges.last, caches.clock.now_ms()
        self._fetched: Fetched
        self._terms: Terms

    @classmethod
    def begun(cls, exchange: Exchange, runtime: Runtime, route: Route, identity: Identity) -> Self | None:
        """None: its answer is not stored, whatever it is."""
        caching = route.caching
        if exchange.method != "POST" or caching is None or caching.profile is not Profile.RFC:
            return None
        if "GET" not in caching.methods or caching.assert_tenant is not None:
            return None
        shelf = runtime.shelf(route)
        owner = owner_of(caching, shelf, identity)
        headers = exchange.headers
        if owner is None or forbids_storing(headers) or is_steered(headers):  # type: ignore[arg-type]
            return None
        return cls(CachedRequest(exchange, caching, shelf, identity, owner, Wish(reads=False)), runtime, route)

    def judged(self, response: Response) -> bool:
        """Whether the answer is to be stored."""
        received_ms = self._runtime.shared.caches.clock.now_ms()
        self._fetched = Fetched(response, response.headers, self._requested_ms, received_ms, self._seen)
        found = verdict(self._request, self._runtime, self._route, self._fetched)
        if not isinstance(found, Terms):
            return False
        self._terms = found
        return True

    async def relay(self, own: tuple[int, ...]) -> None:
        """Sends the answer and keeps it. ``own`` is what the request has purged. Raises: ConnectionError."""
        response, request = self._fetched.response, self._request
        keeper = Keeper(request.caching.max_body, self._runtime.shared.caches.fills, self._let_go)
        try:
            whole = await send_observed(request.exchange, response, keeper, shortened=False)
            body = keeper.body
        finally:
            keeper.ends()
            response.close()
        if whole and body is not None:
            stored = stored_of(request, self._fetched, self._terms, body)
            if stored is not None:
                self._runtime.shared.caches.besides(self._keep(stored, own))

    def _let_go(self, why: str) -> None:
        count_stored(self._runtime, self._route, why)

    async def _keep(self, stored: Stored, own: tuple[int, ...]) -> None:
        """Once it is known that nobody but the request itself has purged what it answers."""
        caches = self._runtime.shared.caches
        seen = await caches.log.alone(own, stored.tags, stored.seen, LOG_S)
        if seen is None:
            return
        stored.seen = seen
        keep(self._request, caches, stored, caches.clock.now_ms())
        count_stored(self._runtime, self._route, STORED)
        await caches.share(stored)
