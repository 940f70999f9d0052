"""A fetch through the cache: what its answer does to what is stored, and to its client."""

from typing import Final

from proxy.cache import cachestatus
from proxy.cache.answers import answer, for_downstream
from proxy.cache.cachestatus import Forwarded
from proxy.cache.conditions import validators
from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import Ended
from proxy.cache.freshen import freshen_by_head
from proxy.cache.keeper import TOO_LARGE, Keeper
from proxy.cache.ranges import combine, completion, within
from proxy.cache.reuse import FIRST_SERVER_ERROR, STALE_IF_ERROR, Failure, serves_on_error
from proxy.core.errors import GatewayError
from proxy.core.headers import RawHeaders, get_all
from proxy.gateway.cacheahead import Ahead
from proxy.gateway.cachedrequest import CachedRequest
from proxy.gateway.cachefill import (
    CONDITIONS,
    CUT,
    RANGE,
    STORED,
    UNPROVEN,
    Fetched,
    Preceded,
    belongs_by_body,
    confirmed,
    count_stored,
    fetch,
    looks_into_bodies,
    read_whole,
    refuse_another,
    stored_of,
    tagged,
    verdict,
)
from proxy.gateway.cachelead import Leading
from proxy.gateway.caches import Caches
from proxy.gateway.cachesend import send_stored
from proxy.gateway.exchange import CacheResult
from proxy.gateway.relay import Observer, send_answer, send_observed
from proxy.gateway.runtime import Runtime
from proxy.policy.model import Route

_NOT_MODIFIED: Final = 304
_PARTIAL: Final = 206
_OF_A_RANGE: Final = frozenset({_PARTIAL, 416})


class Fetch:
    """One, for a request that nothing stored answers. ``best`` is what is stored all the same, for its validators."""

    __slots__ = ("_best", "_caches", "_caching", "_fills", "_leading", "_request", "_route", "_runtime", "_why")

    def __init__(
        self,
        request: CachedRequest,
        runtime: Runtime,
        route: Route,
        best: Stored | None,
        why: Forwarded,
        leading: Leading | None,
    ) -> None:
        self._request = request
        self._runtime = runtime
        self._route = route
        self._caches = runtime.shared.caches
        self._caching = request.caching
        self._best = best
        self._why = why
        self._leading = leading
        # What is not going to be stored goes as the client sent it.
        self._fills = request.wish.stores and not self._caches.flights.is_marked(
            request.key, self._caches.clock.monotonic_ms()
        )

    def failed(self, error: GatewayError) -> None:
        """No answer came."""
        if self._leading is not None:
            self._leading.landed(error)

    async def answer(self) -> int | None:
        """Answers the client; or gives the status with which the upstream has failed: what is stored stands in for it.

        Raises: GatewayError, ConnectionError.
        """
        request = self._request
        request.exchange.cache, request.exchange.cache_why = CacheResult.MISS, self._why.value
        if request.exchange.method == "HEAD":
            return await self._answer_head()
        extra, hidden = self._conditions()
        fetched = await self._ask(extra, hidden)
        if fetched.status == _NOT_MODIFIED and extra and self._best is not None:
            if await self._revalidated(self._best, fetched):
                return None
            fetched = await self._ask([], hidden)
        if fetched.status in _OF_A_RANGE and extra:
            if fetched.status == _PARTIAL and await self._completed(fetched):
                return None
            # The range was ours: its client gets what it has asked for.
            fetched.response.close()
            fetched = await self._ask([], (*CONDITIONS, *RANGE))
        if self._is_stood_in_for(fetched):
            self._land(Ended.FAILING)
            return fetched.status
        terms = verdict(request, self._runtime, self._route, fetched)
        if isinstance(terms, Terms):
            await self._fill(fetched, terms)
        else:
            await self._pass_on(fetched, terms)
        return None

    def _is_stood_in_for(self, fetched: Fetched) -> bool:
        """Whether its client gets what is stored instead."""
        if fetched.status not in STALE_IF_ERROR:
            return False
        if not stands_in(self._best, self._request, self._caches, Failure.STATUS):
            return False
        fetched.response.close()
        self._runtime.failed_unseen(self._request.exchange, self._route, fetched.status)
        return True

    async def _ask(self, extra: RawHeaders, hidden: tuple[bytes, ...]) -> Fetched:
        return await fetch(self._request, self._runtime, self._route, extra, hidden)

    def _conditions(self) -> tuple[RawHeaders, tuple[bytes, ...]]:
        """What we ask by, and which of the client's fields then stay here.

        Its conditions do, so that a whole answer comes, which can be stored; they are judged when it is there.
        """
        if not self._fills:
            return [], ()
        best, request = self._best, self._request
        if best is None:
            return [], CONDITIONS
        if best.range is None or within(best.range, request.wish.range) is not None:
            ours = validators(best)
            return ours, (*CONDITIONS, *RANGE) if ours else CONDITIONS
        if "Range" in request.headers:
            return [], CONDITIONS
        return completion(best, self._caching.profile) or [], CONDITIONS

    # --- what came is stored, or is not ---

    def _land(self, outcome: Stored | Ended) -> None:
        if self._leading is not None:
            self._leading.landed(outcome)

    def _keep(self, stored: Stored) -> None:
        """Stores it; the client's answer need not wait for Redis."""
        now_ms = self._caches.clock.now_ms()
        if self._best is not None:
            self._caches.supersede(self._best, stored, now_ms)
        keep(self._request, self._caches, stored, now_ms)
        count_stored(self._runtime, self._route, STORED)
        if self._leading is not None:
            self._leading.landed(stored)
        else:
            self._caches.besides(self._caches.share(stored))

    def _not_stored(self, why: str) -> None:
        count_stored(self._runtime, self._route, why)
        if self._leading is None:
            return
        if "Range" in self._request.headers:
            self._leading.landed(Ended.UNSHARED)  # the whole may well be stored
            return
        self._caches.flights.mark(self._request.key, self._caches.clock.monotonic_ms())
        self._leading.landed(Ended.UNCACHEABLE, why)

    async def _revalidated(self, best: Stored, fetched: Fetched) -> bool:
        """The stored answer is still current. False: the 304 speaks of another."""
        request = self._request
        refuse_another(request.exchange, request.owner, self._runtime, self._route, fetched.response)
        found = confirmed(request, self._runtime, best, fetched)
        if found is None:
            return False
        stored = found.stored
        if found.refused is None:
            self._keep(stored)
        else:
            self._caches.outdated(best)
            self._not_stored(found.refused.value)
        field = cachestatus.forwarded(
            Forwarded.STALE, status=_NOT_MODIFIED, left_ms=stored.terms.left_ms(self._caches.clock.now_ms())
        )
        request.exchange.cache = CacheResult.REVALIDATED
        await self._send_fetched(stored, fetched, field)
        return True

    async def _completed(self, fetched: Fetched) -> bool:
        """The rest of what was stored in part. False: it is not the rest of that, or not to be stored."""
        request, best = self._request, self._best
        assert best is not None
        terms = verdict(request, self._runtime, self._route, fetched)
        if not isinstance(terms, Terms):
            return False
        body, whole = await read_whole(fetched.response, self._caching.max_body)
        part = stored_of(request, fetched, terms, body) if whole else None
        stored = combine(best, part) if part is not None else None
        if stored is None or stored.range is not None:
            return False
        self._keep(stored)
        await self._send_fetched(stored, fetched, self._forwarded(stored))
        return True

    async def _fill(self, fetched: Fetched, terms: Terms) -> None:
        """Stores the answer as it passes to its client."""
        response, request = fetched.response, self._request
        if request.wish.conditional or looks_into_bodies(request):
            await self._fill_first(fetched, terms)
            return

        keeper = self._keeper()
        self._leave(fetched, stored=self._is_certain(fetched, keeper))
        if self._leading is not None and not response.body_complete:
            await self._fill_ahead(fetched, terms, keeper)
            return
        whole = False
        try:
            whole = await send_observed(request.exchange, response, keeper, shortened=False)
            body = keeper.body
        finally:
            if not whole and keeper.keeps:
                count_stored(self._runtime, self._route, CUT)
            keeper.ends()
            response.close()
        if whole and body is not None:
            await self._keep_new(stored_of(request, fetched, terms, body))

    def _keeper(self) -> Keeper:
        return Keeper(self._caching.max_body, self._caches.fills, self._let_go)

    def _let_go(self, why: str) -> None:
        """Its body was not kept. If the worker had no room for it, another may yet have."""
        if why == TOO_LARGE:
            self._not_stored(why)
        else:
            count_stored(self._runtime, self._route, why)
            self._land(Ended.ABANDONED)

    async def _fill_ahead(self, fetched: Fetched, terms: Terms, keeper: Keeper) -> None:
        """Others may be waiting for it: they wait for the app, and not for this client."""

        async def kept(body: bytes) -> None:
            await self._keep_new(stored_of(self._request, fetched, terms, body))

        ahead = Ahead(fetched.response, keeper, self._caches, kept)
        try:
            await send_observed(self._request.exchange, ahead.response, Preceded(b""), shortened=False)
        finally:
            ahead.ends()
            if not ahead.is_whole and keeper.keeps:
                count_stored(self._runtime, self._route, CUT)
            keeper.ends()

    def _is_certain(self, fetched: Fetched, keeper: Keeper) -> bool:
        """Whether it is sure before its body has passed that it is stored, unless it is cut or comes to a halt: its
        length is known, there is room for it, and it is nothing that could be worse than what it would take the place
        of (``Caches.outranked``)."""
        response = fetched.response
        if response.status >= FIRST_SERVER_ERROR or response.status == _PARTIAL:
            return False
        if response.body_complete:
            return keeper.reserve(response.buffered)
        length = get_all(fetched.headers, b"content-length")
        return bool(length) and keeper.reserve(int(length[0]))

    async def _fill_first(self, fetched: Fetched, terms: Terms) -> None:
        """Its client asked on a condition, or may only get what proves to be its tenant's: the whole body first."""
        request = self._request
        # What has to be proven is read in any case: it must not get by because much else is on its way.
        keeper = None if looks_into_bodies(request) else self._keeper()
        try:
            body, whole = await read_whole(fetched.response, self._caching.max_body, keeper)
            let_go = keeper is not None and not keeper.keeps
        finally:
            if keeper is not None:
                keeper.ends()
        proven = not looks_into_bodies(request) or (
            whole and belongs_by_body(request, self._runtime, self._route, fetched, body)
        )
        stored = stored_of(request, fetched, terms, body) if whole and proven else None
        if stored is None:
            if not let_go:
                self._not_stored(TOO_LARGE if not whole else UNPROVEN)
            self._leave(fetched, stored=False)
            await self._relay(fetched, Preceded(body))
            return
        await self._keep_new(stored)
        await self._send_fetched(stored, fetched, self._forwarded(stored))

    async def _keep_new(self, stored: Stored | None) -> None:
        """Not in place of something better: an error instead of an answer, or a part instead of the whole."""
        best = self._best
        if stored is None:
            self._not_stored(CUT)
        elif why := await self._caches.outranked(stored, best):
            self._not_stored(why)
        else:
            self._keep((best is not None and stored.range is not None and combine(best, stored)) or stored)

    async def _pass_on(self, fetched: Fetched, why: str) -> None:
        """What is not stored. What was stored before stays."""
        self._not_stored(why)
        request = self._request
        if looks_into_bodies(request):
            body, whole = await read_whole(fetched.response, self._caching.max_body)
            if whole:
                belongs_by_body(request, self._runtime, self._route, fetched, body)
            self._leave(fetched, stored=False)
            await self._relay(fetched, Preceded(body))
            return
        self._leave(fetched, stored=False)
        await send_answer(request.exchange, fetched.response)

    async def _relay(self, fetched: Fetched, observer: Observer) -> None:
        try:
            await send_observed(self._request.exchange, fetched.response, observer, shortened=False)
        finally:
            fetched.response.close()

    async def _answer_head(self) -> int | None:
        """A HEAD stores nothing; it tells whether what is stored for GET is current (RFC 9111 §4.3.5). As ``answer``.

        One that does not say whose it is tells only that it is not: its fields are not taken over.
        """
        request, best = self._request, self._best
        fetched = await self._ask([], ())
        proven = refuse_another(request.exchange, request.owner, self._runtime, self._route, fetched.response)
        if self._is_stood_in_for(fetched):
            return fetched.status
        if best is not None and request.wish.stores:
            found = freshen_by_head(
                best,
                request.asked(self._runtime.untold(self._caching.scope)),
                fetched.status,
                fetched.headers,
                fetched.requested_ms,
                fetched.received_ms,
                self._caching,
            )
            if found is None or found.refused is not None:
                self._caches.outdated(best)
            elif found.stored is not best and proven:
                now_ms = self._caches.clock.now_ms()
                found.stored.seen = fetched.seen
                tagged(request, found.stored)
                self._caches.supersede(best, found.stored, now_ms)
                keep(request, self._caches, found.stored, now_ms)
                self._caches.besides(self._caches.share(found.stored))
        self._leave(fetched, stored=False)
        await send_answer(request.exchange, fetched.response)
        return None

    # --- what the client gets ---

    def _leave(self, fetched: Fetched, *, stored: bool) -> None:
        """Makes the upstream's fields those that leave here."""
        fetched.response.headers = for_downstream(fetched.headers, self._caching)
        if self._caching.status_field:
            field = cachestatus.forwarded(self._why, stored=stored)
            self._request.exchange.fields.append((b"Cache-Status", field))

    def _forwarded(self, stored: Stored) -> bytes:
        return cachestatus.forwarded(self._why, stored=True, left_ms=stored.terms.left_ms(self._caches.clock.now_ms()))

    async def _send_fetched(self, stored: Stored, fetched: Fetched, field: bytes) -> None:
        """What was stored a moment ago. An Age would say that the app had not been asked (RFC 9111 §5.1)."""
        request = self._request
        now_ms = self._caches.clock.now_ms()
        ready = answer(stored, request.wish, request.exchange.method, request.headers, now_ms)
        aged = bool(get_all(fetched.headers, b"age"))
        await send_stored(request.exchange, stored, ready, self._caching, field, aged=aged)


def stands_in(best: Stored | None, request: CachedRequest, caches: Caches, failure: Failure) -> bool:
    """Whether it answers for an upstream that has failed: not if it was purged since the request came."""
    now_ms = caches.clock.now_ms()
    return (
        best is not None
        and serves_on_error(best, request.wish, now_ms, failure, request.caching.profile)
        and caches.may_reuse(best)
    )


def keep(request: CachedRequest, caches: Caches, stored: Stored, now_ms: int) -> None:
    """In memory, and no longer as one that cannot be stored."""
    caches.flights.unmark(request.key)
    caches.keep(request.owner, stored, now_ms)
