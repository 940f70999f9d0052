"""Answers to calls that were made before: where the policy asks for it, a call whose body is the same to the value gets
the answer that the first one got. It costs nothing, whatever is left of any budget, and says so.

A key holds the tenant (or the user), the route, the endpoint, the fields that reach the provider and the body with its
members in order. Calls that bring something else along (a conversation, a stored prompt, a search of the web) are never
answered so: what they would get is not decided by their words alone.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from math import isinf
from typing import Final

import orjson

from proxy.ai.dialects.call import AiCall, Kind
from proxy.ai.dialects.fields import reaches_provider
from proxy.ai.usage.success import says_done
from proxy.cache import cachestatus
from proxy.cache.answers import answer
from proxy.cache.digests import canonical_key, of_tenant, owner_prefix, tags_of
from proxy.cache.directives import parse
from proxy.cache.entry import Stored, Terms
from proxy.cache.keeper import TOO_LARGE, Keeper
from proxy.cache.reuse import PLAIN
from proxy.core.headers import RawHeaders, get_all
from proxy.core.identity import Identity
from proxy.core.units import NANOS
from proxy.gateway.admission import admit
from proxy.gateway.cachesend import send_stored
from proxy.gateway.callturn import Turn
from proxy.gateway.exchange import CacheResult, Exchange
from proxy.gateway.relay import Observer
from proxy.gateway.runtime import Runtime
from proxy.policy.caching import AnswerCaching, Caching
from proxy.policy.model import Route
from proxy.telemetry.metrics import CACHE_SAVED, CACHE_STORES
from proxy.upstream.response import Response

_KINDS: Final = frozenset({Kind.CHAT, Kind.RESPONSES, Kind.EMBEDDINGS, Kind.MESSAGES, Kind.GENERATE})
# They reach the provider, and change nothing of what it says.
_WITHOUT_MEANING: Final = (
    "user-agent",
    "idempotency-key",
    "x-stainless-",
    "x-client-request-id",
    "x-ms-client-request-id",
    "x-goog-api-client",
)
_WANTS_ITS_OWN: Final = frozenset({b"no-store", b"no-cache"})
_KEPT: Final = frozenset({b"content-type", b"openai-version", b"openai-model", b"anthropic-version"})
_OK: Final = 200


class Repeated:
    """One call that may have been answered before. ``Observer`` of its answer where it was not."""

    __slots__ = (
        "_caches",
        "_caching",
        "_exchange",
        "_identity",
        "_keeper",
        "_kind",
        "_policy",
        "_requested_ms",
        "_route",
        "_runtime",
        "_seen",
        "_turn",
        "key",
    )

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        route: Route,
        identity: Identity,
        policy: AnswerCaching,
        kind: Kind,
        key: bytes,
    ) -> None:
        self._kind = kind
        self._exchange = exchange
        self._runtime = runtime
        self._route = route
        self._identity = identity
        self._policy = policy
        self._caches = runtime.shared.caches
        self._caching = Caching(policy.scope, ttl_ms=policy.ttl_ms)
        self._seen = self._caches.log.purges.last
        self._requested_ms = self._caches.clock.now_ms()
        self._keeper = Keeper(policy.max_body, self._caches.fills, self._let_go)
        self._turn = Turn(self._caches, key, identity.tenant, policy.wait_ms, self._is_valid)
        self.key = key

    async def answered(self) -> bool:
        """By what is stored, or by what another caller buys meanwhile. False: the call is to be made, and whatever
        becomes of it, ``ends`` is to be called.

        Raises: GatewayError where its limits refuse it.
        """
        stored = self._near() or await self._turn.waited()
        if stored is None:
            self._exchange.cache, self._exchange.cache_why = CacheResult.MISS, cachestatus.Forwarded.URI_MISS.value
            self._seen, self._requested_ms = self._caches.log.purges.last, self._caches.clock.now_ms()
            return False
        exchange, runtime = self._exchange, self._runtime
        decision = None
        if self._policy.hits_pay:
            decision = await admit(exchange, runtime, self._route, self._identity, 1, self._policy.hits_pay)
        try:
            exchange.cache, exchange.cache_why = CacheResult.COALESCED if self._turn.followed else CacheResult.HIT, ""
            exchange.saved_nanousd = stored.saved_nanousd
            runtime.shared.metrics.inc(CACHE_SAVED, self._route.name, by=stored.saved_nanousd / NANOS)
            saved = b"%.9f" % (stored.saved_nanousd / NANOS)
            exchange.fields += [(b"Sluicegate-Cost-USD", b"0"), (b"Sluicegate-Saved-USD", saved)]
            now_ms = self._caches.clock.now_ms()
            ready = answer(stored, PLAIN, "GET", exchange.headers, now_ms)  # type: ignore[arg-type]
            left_ms = stored.terms.left_ms(now_ms)
            if self._turn.followed:
                field = cachestatus.forwarded(cachestatus.Forwarded.URI_MISS, left_ms=left_ms, collapsed=True)
            else:
                field = cachestatus.hit(left_ms)
            await send_stored(exchange, stored, ready, self._caching, field)
        finally:
            if decision is not None:
                runtime.shared.meters.release(decision)
        return True

    def _near(self) -> Stored | None:
        """In memory; where that is stale or purged, another worker may have stored a newer one in Redis."""
        resource = self._caches.memory.get(self.key)
        return next(filter(self._is_valid, resource.variants), None) if resource is not None else None

    def _is_valid(self, stored: Stored) -> bool:
        now_ms = self._caches.clock.now_ms()
        return stored.terms.left_ms(now_ms) > 0 and self._caches.may_reuse(stored)

    # --- the answer of a call that has to be made ---

    def feed(self, data: bytes) -> bytes:
        return self._keeper.feed(data)

    def end(self) -> bytes:
        return b""

    def keep(self, response: Response, nanousd: int) -> None:
        """Stores what has passed: the whole answer of a call that was settled exactly."""
        body = self._keeper.body
        if body is None:
            return
        if why := _unfit(self._kind, response.status, response.headers, body):
            self._not_kept(why)
            return
        caches = self._caches
        now_ms = caches.clock.now_ms()
        host = self._exchange.forwarded_host.lower()
        stored = Stored(
            status=_OK,
            reason=response.reason,
            headers=[field for field in response.headers if field[0].lower() in _KEPT],
            body=body,
            terms=Terms(now_ms, 0, self._policy.ttl_ms),
            key=self.key,
            tags=tags_of(of_tenant(self._identity.tenant or ""), host, self._exchange.target, ()),
            seen=self._seen,
            fetch_ms=now_ms - self._requested_ms,
            saved_nanousd=nanousd,
        )
        caches.keep(self._identity.tenant, stored, now_ms)
        caches.flights.unmark(self.key)
        self._turn.bought(stored)
        self._runtime.shared.metrics.inc(CACHE_STORES, self._route.name, "stored")

    def _not_kept(self, why: str) -> None:
        self._turn.unfit(why)
        self._runtime.shared.metrics.inc(CACHE_STORES, self._route.name, why)

    def _let_go(self, why: str) -> None:
        """Those who wait for it do so no longer. If the worker had no room for it, the next one may find some."""
        if why == TOO_LARGE:
            self._not_kept(why)
        else:
            self._turn.ends()
            self._runtime.shared.metrics.inc(CACHE_STORES, self._route.name, why)

    def failed(self) -> None:
        """No answer came that could be kept: those who wait for it make the call themselves."""
        self._turn.failed()

    def ends(self) -> None:
        """Whatever came of it; where nothing did, the next of those who wait makes the call."""
        self._keeper.ends()
        self._turn.ends()


class Both:
    """Two observers, one behind the other: what the first hands on is what the client gets, and what is kept."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._first, self._second = first, second

    def feed(self, data: bytes) -> bytes:
        return self._second.feed(self._first.feed(data))

    def end(self) -> bytes:
        return self._second.feed(self._first.end())


def repeated(
    exchange: Exchange,
    runtime: Runtime,
    route: Route,
    identity: Identity,
    call: AiCall,
    endpoint: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Repeated | None:
    """The call as one that may have been made before; None: its route or its kind knows none."""
    assert route.spending is not None
    policy = route.spending.answers
    if policy is not None and not _WANTS_ITS_OWN.isdisjoint(parse([headers.get("cache-control", "").encode()])):
        exchange.cache, exchange.cache_why = CacheResult.BYPASS, "request"
        return None
    if policy is None or call.kind not in _KINDS or call.external or call.unbounded or call.surcharges:
        return None
    try:
        owner = owner_prefix(policy.scope, identity.tenant, identity.issuer, identity.user, route.name)
        canonical = _canonical(body)
    except ValueError:  # nobody's, or no JSON of which only one reading is possible
        exchange.cache, exchange.cache_why = CacheResult.BYPASS, "request"
        return None
    meant = sorted(
        (name, value)
        for name, value in headers.items()
        if reaches_provider(name) and not name.startswith(_WITHOUT_MEANING)
    )
    digest = blake2b(digest_size=32, person=b"sluicegate call")
    for part in (endpoint.encode("utf-8", "surrogateescape"), orjson.dumps(meant), canonical):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    key = canonical_key(owner, "call", call.model, digest.hexdigest())
    return Repeated(exchange, runtime, route, identity, policy, call.kind, key)


def _canonical(body: bytes) -> bytes:
    """JSON with its members in order, numbers of any length as they are. Raises: ValueError."""
    value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    """Two numbers that are too large would be the same one."""
    number = float(digits)
    if isinf(number):
        raise ValueError("a number is too large to be compared")
    return number


def _unfit(kind: Kind, status: int, headers: RawHeaders, body: bytes) -> str:
    """Why it is not given again; empty: it is.

    A coded one is not, though it was asked for as it is: it is not looked into, and the next caller may not read it.
    """
    coding = b", ".join(get_all(headers, b"content-encoding")).strip().lower()
    if coding not in (b"", b"identity"):
        return "coded"
    content_type = b", ".join(get_all(headers, b"content-type")).decode("latin-1")
    return "" if status == _OK and says_done(kind, content_type, body) else "status"
