"""Fetching anew behind a client's back what it has got already: it was stale for a short time, or soon would be."""

import asyncio
import copy
from time import monotonic
from typing import Final

from proxy.cache.conditions import validators
from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import Ended
from proxy.cache.keeper import Keeper
from proxy.cache.reuse import FIRST_SERVER_ERROR, PLAIN
from proxy.core.errors import GatewayError
from proxy.gateway.cachedrequest import CachedRequest
from proxy.gateway.cachefetch import keep
from proxy.gateway.cachefill import (
    CONDITIONS,
    RANGE,
    STORED,
    Fetched,
    belongs_by_body,
    confirmed,
    count_stored,
    fetch,
    looks_into_bodies,
    read_whole,
    refuse_another,
    stored_of,
    verdict,
)
from proxy.gateway.cachelead import Leading
from proxy.gateway.caches import POLL_MOST_S, POLL_S, Caches
from proxy.gateway.runtime import Runtime
from proxy.policy.model import Route

_NOT_MODIFIED: Final = 304


async def refresh(request: CachedRequest, runtime: Runtime, route: Route, best: Stored) -> None:
    """Once in this worker, and once over all: what another fetches meanwhile is taken from Redis. Raises nothing."""
    caches = runtime.shared.caches
    key = request.flight_key(best.vary)
    if caches.flights.find(key) is not None:
        return
    flight = caches.flights.begin(key)
    leading = Leading(caches, request.key, flight)
    try:
        if not await _leads_refresh(request, caches, best, leading):
            return
        exchange = copy.copy(request.exchange)
        exchange.http10 = True  # whoever asked has got an answer: no interim one may follow it
        behind = request.behind(exchange, PLAIN)
        ours = validators(best)
        try:
            fetched = await fetch(behind, runtime, route, ours, (*CONDITIONS, *RANGE))
        finally:
            runtime.timed_unseen(exchange, route)
        if fetched.status >= FIRST_SERVER_ERROR:
            runtime.failed_unseen(request.exchange, route, fetched.status)
        stored = await _renewed(behind, runtime, route, best, fetched, conditional=bool(ours))
        if stored is not None:
            now_ms = caches.clock.now_ms()
            caches.supersede(best, stored, now_ms)
            keep(behind, caches, stored, now_ms)
            count_stored(runtime, route, STORED)
            leading.landed(stored)
    except GatewayError as error:  # what is stored serves on for as long as it may; the next request tries again
        runtime.failed_unseen(request.exchange, route, error.reason)
    finally:
        caches.flights.land(flight, Ended.ABANDONED)
        leading.ends()


async def _leads_refresh(request: CachedRequest, caches: Caches, best: Stored, leading: Leading) -> bool:
    """False: another worker has fetched anew, and that is here now; or it takes longer than a request would wait."""
    give_up_s, pause_s = monotonic() + request.caching.wait_ms / 1000, POLL_S
    while True:
        newer = await _found_newer(leading, caches, best)
        if newer is not None:
            caches.adopt(request.owner, newer, caches.clock.now_ms())
            leading.found(newer)
            return False
        if not leading.elsewhere:
            return True
        if monotonic() >= give_up_s:
            return False
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, POLL_MOST_S)


async def _found_newer(leading: Leading, caches: Caches, best: Stored) -> Stored | None:
    """What another worker has fetched anew since ``best``, for the same requests."""

    def newer(stored: Stored) -> bool:
        return (
            stored.vary == best.vary and stored.terms.received_ms > best.terms.received_ms and caches.may_reuse(stored)
        )

    found = await leading.look(newer)
    return next(filter(newer, found.variants), None) if found is not None else None


async def _renewed(
    request: CachedRequest, runtime: Runtime, route: Route, best: Stored, fetched: Fetched, *, conditional: bool
) -> Stored | None:
    try:
        if fetched.status == _NOT_MODIFIED and conditional:
            refuse_another(request.exchange, request.owner, runtime, route, fetched.response)
            found = confirmed(request, runtime, best, fetched)
            return found.stored if found is not None and found.refused is None else None
        terms = verdict(request, runtime, route, fetched)
        if not isinstance(terms, Terms) or fetched.status >= FIRST_SERVER_ERROR:
            return None
        most = request.caching.max_body
        keeper = Keeper(most, runtime.shared.caches.fills, lambda why: count_stored(runtime, route, why))
        try:
            body, whole = await read_whole(fetched.response, most, keeper)
        finally:
            keeper.ends()
        if not whole or (looks_into_bodies(request) and not belongs_by_body(request, runtime, route, fetched, body)):
            return None
        return stored_of(request, fetched, terms, body)
    finally:
        fetched.response.close()
