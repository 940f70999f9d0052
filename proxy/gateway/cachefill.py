"""A fetch for the cache: what is asked upstream, and what of the answer is stored."""

import logging
from dataclasses import dataclass
from typing import Final

from proxy.cache.digests import app_tags, purge_of_content, purge_of_shelf, tags_of
from proxy.cache.entry import Stored, Terms
from proxy.cache.freshen import Freshened, freshen
from proxy.cache.isolation import Belongs, by_body, by_fields, uncoded
from proxy.cache.keeper import TOO_LARGE, Keeper
from proxy.cache.ranges import held
from proxy.cache.terms import NotStored, judge, keepable
from proxy.cache.vary import selecting_fields
from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders, get_all, list_members
from proxy.gateway.cachedrequest import CachedRequest
from proxy.gateway.control import IsolationViolated
from proxy.gateway.exchange import Exchange
from proxy.gateway.forward import send
from proxy.gateway.runtime import Runtime
from proxy.policy.model import Route
from proxy.telemetry.metrics import CACHE_STORES, ISOLATION
from proxy.upstream.response import Response

log = logging.getLogger("sluicegate.cache")

CONDITIONS: Final = (b"if-none-match", b"if-modified-since")
RANGE: Final = (b"range", b"if-range")
UNCODED: Final = (b"accept-encoding",)  # a body that is looked into comes as it is

MOST_PATH: Final = 512  # characters, in a log line

_PARTIAL: Final = 206
STORED: Final = "stored"
UNDELIMITED: Final = "undelimited"  # it ends where its connection does, so that nobody knows whether it is whole
UNPROVEN: Final = "tenant-unproven"
CUT: Final = "cut"


@dataclass(slots=True)
class Fetched:
    """An upstream's answer. ``headers`` as they came; times in epoch ms; ``seen``: the last purge known before."""

    response: Response
    headers: RawHeaders
    requested_ms: int
    received_ms: int
    seen: int

    @property
    def status(self) -> int:
        return self.response.status


async def fetch(
    request: CachedRequest, runtime: Runtime, route: Route, extra: RawHeaders, hidden: tuple[bytes, ...]
) -> Fetched:
    """Asks upstream with fields of ours and without the ``hidden`` ones. Raises: GatewayError."""
    exchange, caches = request.exchange, runtime.shared.caches
    if request.caching.assert_tenant is not None and request.caching.assert_tenant.header is None:
        hidden = (*hidden, *UNCODED)
    seen, requested_ms = caches.log.purges.last, caches.clock.now_ms()
    response = await send(
        exchange,
        runtime.target(route),
        runtime.shared.upstreams,
        runtime.told(exchange, request.identity),
        (*runtime.hidden_fields(exchange), *hidden),
        extra=tuple(extra),
    )
    return Fetched(response, response.headers, requested_ms, caches.clock.now_ms(), seen)


def verdict(request: CachedRequest, runtime: Runtime, route: Route, fetched: Fetched) -> Terms | str:
    """On what terms the answer is stored, or why it is not. Raises: GatewayError TENANT_MISMATCH."""
    found: Terms | str = _verdict(request, runtime, fetched)
    proven = refuse_another(request.exchange, request.owner, runtime, route, fetched.response)
    return UNPROVEN if isinstance(found, Terms) and not proven else found


def refuse_another(exchange: Exchange, tenant: str | None, runtime: Runtime, route: Route, response: Response) -> bool:
    """Refuses an answer whose fields name another tenant than the caller's, by whichever way it came.

    Whether they prove it this one's; no: they should, and say nothing. Raises: GatewayError TENANT_MISMATCH.
    """
    assertion = route.caching.assert_tenant if route.caching is not None else None
    if assertion is None or assertion.header is None or tenant is None:
        return True
    belongs = by_fields(assertion, response.headers, tenant)
    if belongs is Belongs.TO_ANOTHER:
        _refuse_for_tenant(exchange, tenant, runtime, route, response)
    return belongs is Belongs.TO_IT


def _verdict(request: CachedRequest, runtime: Runtime, fetched: Fetched) -> Terms | str:
    headers, caching = fetched.headers, request.caching
    asked = request.asked(runtime.untold(caching.scope))
    found = judge(asked, fetched.status, headers, fetched.requested_ms, fetched.received_ms, caching)
    if isinstance(found, NotStored):
        return found.value
    delimited = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)
    if not delimited and fetched.status != 204:
        return UNDELIMITED
    length = get_all(headers, b"content-length")
    if length and int(length[0]) > caching.max_body:
        return TOO_LARGE
    return found


def looks_into_bodies(request: CachedRequest) -> bool:
    """Whether a whole body has to be there before its client may get any of it."""
    assertion = request.caching.assert_tenant
    return assertion is not None and assertion.header is None and request.owner is not None


def belongs_by_body(request: CachedRequest, runtime: Runtime, route: Route, fetched: Fetched, body: bytes) -> bool:
    """Whether it proves to be the tenant's; no: it says nothing. Raises: GatewayError TENANT_MISMATCH."""
    assertion = request.caching.assert_tenant
    assert assertion is not None
    assert request.owner is not None
    codings = [coding for value in get_all(fetched.headers, b"content-encoding") for coding in list_members(value)]
    plain = uncoded(body, codings, request.caching.max_body)
    belongs = Belongs.UNPROVEN if plain is None else by_body(assertion, plain, request.owner)
    if belongs is Belongs.TO_ANOTHER:
        _refuse_for_tenant(request.exchange, request.owner, runtime, route, fetched.response)
    return belongs is Belongs.TO_IT


def _refuse_for_tenant(exchange: Exchange, tenant: str, runtime: Runtime, route: Route, response: Response) -> None:
    """Another tenant's answer: nobody gets it, and ops hear of it. Raises: GatewayError TENANT_MISMATCH."""
    response.close()
    shared = runtime.shared
    shared.metrics.inc(ISOLATION, route.name)
    fields = {"route": route.name, "tenant": tenant, "path": exchange.path[:MOST_PATH]}
    log.error("tenant isolation violated", extra={"fields": fields})
    shared.calls.link.violated(IsolationViolated(route.name, tenant), shared.clock.now_ms())
    raise GatewayError(Reason.TENANT_MISMATCH)


def stored_of(request: CachedRequest, fetched: Fetched, terms: Terms, body: bytes) -> Stored | None:
    """The answer as it is kept; None: a part that does not fit its own description."""
    headers, caching = fetched.headers, request.caching
    part = held(headers, len(body), caching.profile) if fetched.status == _PARTIAL else None
    vary = selecting_fields(headers, request.headers, caching.profile)
    if vary is None or (fetched.status == _PARTIAL and part is None):
        return None
    return Stored(
        status=fetched.status,
        reason=fetched.response.reason,
        headers=keepable(headers, fetched.received_ms, caching),
        body=body,
        terms=terms,
        key=request.key,
        vary=vary,
        range=part,
        tags=(
            purge_of_content(request.key, vary, _first(headers, b"etag"), body),
            purge_of_shelf(request.shelf),
            *tags_of(request.partition, request.host, request.target, app_tags(headers)),
        ),
        seen=fetched.seen,
        fetch_ms=fetched.received_ms - fetched.requested_ms,
        etag=_first(headers, b"etag"),
        modified=_first(headers, b"last-modified"),
    )


def tagged(request: CachedRequest, stored: Stored) -> None:
    """A 304, or an answer to HEAD, may have brought new tags: from now on a purge names it by them, too. Or a new Vary:
    then its own is another."""
    own = purge_of_content(stored.key, stored.vary, stored.etag, stored.body)
    named = app_tags(stored.headers)
    new = tags_of(request.partition, request.host, request.target, named) if named else ()
    stored.tags = tuple(dict.fromkeys((own, *stored.tags[1:], *new)))


def confirmed(request: CachedRequest, runtime: Runtime, best: Stored, fetched: Fetched) -> Freshened | None:
    """``best`` as a 304 leaves it: as of the moment at which it was asked for. None: the 304 speaks of another."""
    caching = request.caching
    asked = request.asked(runtime.untold(caching.scope))
    found = freshen(best, asked, fetched.headers, fetched.requested_ms, fetched.received_ms, caching)
    if found is not None:
        found.stored.seen = fetched.seen
        tagged(request, found.stored)
    return found


def count_stored(runtime: Runtime, route: Route, result: str) -> None:
    runtime.shared.metrics.inc(CACHE_STORES, route.name, result)


class Preceded:
    """Puts what was read already before the rest of a body."""

    def __init__(self, before: bytes) -> None:
        self._before = before

    def feed(self, data: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + data

    def end(self) -> bytes:
        return self.feed(b"")


async def read_whole(response: Response, most: int, keeper: Keeper | None = None) -> tuple[bytes, bool]:
    """The body, and whether that is all of it: beyond ``most`` bytes the rest is left, and once ``keeper`` lets go.

    Raises: GatewayError.
    """
    parts = []
    size = 0
    while chunk := await response.read():
        parts.append(chunk)
        size += len(chunk)
        if keeper is not None:
            keeper.feed(chunk)
        if size > most or (keeper is not None and not keeper.keeps):
            return b"".join(parts), False
    return b"".join(parts), True


def _first(headers: RawHeaders, name: bytes) -> bytes:
    lines = get_all(headers, name)
    return lines[0] if lines else b""
