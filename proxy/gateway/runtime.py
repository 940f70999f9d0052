"""What one policy needs in a worker, and what outlives policies there."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from proxy.cache.shelf import shelf_of
from proxy.core.clock import Clock
from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import FORWARDING
from proxy.core.identity import Identity, claim_at
from proxy.core.storeurl import parse_store_url
from proxy.gateway.caches import Caches
from proxy.gateway.calls import Calls, spends
from proxy.gateway.control import Start
from proxy.gateway.exchange import Exchange
from proxy.gateway.forward import Target
from proxy.gateway.invalidation import Invalidation
from proxy.gateway.pricing import Pricing
from proxy.gateway.servertiming import ServerTimings
from proxy.identity.address import CallerFinder
from proxy.identity.address import is_trusted as is_inside
from proxy.identity.attempts import AttemptMeter
from proxy.identity.authenticator import Authenticator
from proxy.identity.forwarding import differing_fields, stripped_fields
from proxy.identity.jwks import KeySets
from proxy.metering.budgets import CallPlanner
from proxy.metering.meters import Meters
from proxy.metering.plan import Planner
from proxy.policy.caching import CacheScope
from proxy.policy.matching import Router
from proxy.policy.model import AuthMode, Policy, Route, RouteMode
from proxy.policy.target import matched_path
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import BREAKER, CLOCK_RESETS, DECISIONS, UPSTREAM_DURATION, UPSTREAM_FAILURES, Metrics
from proxy.upstream.head import Block, block_of, via_contains, via_extended
from proxy.upstream.upstreams import Upstreams

log = logging.getLogger("sluicegate.worker")

MAX_TOLD: Final = 32  # blocks kept with one identity: addresses and hosts
STATUS_5XX: Final = "status_5xx"  # among the reasons why an upstream failed: it answered so, which no client got
CLAIM: Final = "claim:"  # before a claim's path among the recipients of alerts
_TOLD: Final = "gateway.told"
# What those have in common who share a stored answer, of an identity.
_SHARED: Final = {
    CacheScope.PUBLIC: frozenset[str](),
    CacheScope.TENANT: frozenset({"tenant"}),
    CacheScope.USER: frozenset({"tenant", "user"}),
}
# Where a request comes from, and its id. Scheme and host are in each key.
_OF_ONE_REQUEST: Final = (FORWARDING - {b"x-forwarded-host", b"x-forwarded-proto"}) | {b"x-request-id"}


Unseen = Callable[[Exchange, Policy, Reason | int], None]


class Shared:
    """What a worker keeps over reloads: connections to Redis and to upstreams, issuers' keys, open leases and holds.

    ``unseen`` hears of an upstream's failure, by its status or why no answer came, in whose place a client got what is
    stored.
    """

    def __init__(self, start: Start, metrics: Metrics, clock: Clock, unseen: Unseen = lambda *_: None) -> None:
        self.unseen = unseen
        self.start = start
        self.metrics = metrics
        self.clock = clock
        self.pseudonym = start.pseudonym.encode()
        self.keysets = KeySets(clock)
        self.upstreams = Upstreams()
        self._store = Store(parse_store_url(start.redis_url), start.policy.redis.timeout_ms)
        self.meters = Meters(
            self._store,
            clock,
            workers=start.workers,
            on_alarm=self._clock_was_reset,
            on_breaker=self._breaker_changed,
        )
        self.calls = Calls(start, self._store, self.meters, clock, metrics)
        self.caches = Caches(start, metrics, clock)
        self._set_attempts(start.policy.identity.attempts_per_minute)

    @property
    def store(self) -> Store:
        """For reading beside the hot path."""
        return self._store

    async def open(self) -> None:
        """A Redis that is away is no reason not to serve: routes say what happens then."""
        self.metrics.set(BREAKER, 0)
        await self.meters.start()
        await self.calls.start(spends=spends(self.start.policy))

    def follow(self, policy: Policy) -> None:
        """What outlives policies goes on by this one's numbers."""
        self._store.timeout_ms = policy.redis.timeout_ms
        if policy.identity.attempts_per_minute != self._attempts_per_minute:
            self._set_attempts(policy.identity.attempts_per_minute)

    def _set_attempts(self, per_minute: int) -> None:
        self._attempts_per_minute = per_minute
        self.attempts = AttemptMeter(per_minute)

    def _breaker_changed(self, why: StoreAway | None) -> None:
        self.metrics.set(BREAKER, 0 if why is None else 1)
        if why is None:
            log.info("Redis is back")
        else:
            log.error(
                "Redis is away: routes that are open count alone, closed ones answer 503",
                extra={"fields": {"reason": why.reason.value, "detail": why.detail}},
            )

    def _clock_was_reset(self) -> None:
        self.metrics.inc(CLOCK_RESETS)
        log.error("Redis' clock was far behind what its meters had seen, and was believed")

    async def close(self) -> None:
        await self.caches.close()
        await self.calls.stop()
        self.upstreams.close()
        await self.meters.stop()
        await self._store.close()
        await self.keysets.close()


@dataclass(frozen=True, slots=True)
class LimitCounters:
    """A route's counters, bound once: the slots of its limits' admissions, and whether any of them is in shadow."""

    admitted: tuple[int, ...]
    shadowed: bool

    @classmethod
    def of(cls, route: Route, metrics: Metrics) -> "LimitCounters":
        return cls(
            tuple(metrics.slot(DECISIONS, limit.name, "admitted") for limit in route.limits),
            route.mode is RouteMode.SHADOW or any(limit.shadow for limit in route.limits),
        )


class Runtime:
    """One policy, ready to decide. A request keeps the one it began with."""

    def __init__(self, policy: Policy, shared: Shared, pricing: Pricing | None = None) -> None:
        self.policy = policy
        self.shared = shared
        self.router = Router(policy.routes)
        self.callers = CallerFinder(policy.listen.trusted_proxies)
        self.authenticator = Authenticator(
            policy.identity, shared.clock, shared.keysets, tiers=policy.tiers, attempts=shared.attempts
        )
        self.planner = Planner(policy)
        self._pricing = pricing
        self.call_planner = CallPlanner(policy)
        self.call_planner.grant(shared.calls.granted)
        self._notified = claims_to_notify(policy)
        self.invalidation = Invalidation(policy)
        self._shelves = tuple(
            "" if route.caching is None else shelf_of(route, route.caching) for route in policy.routes
        )
        self._untold = {scope: _untold(policy, scope) for scope in CacheScope}
        sources = (source.header for source in policy.identity.token_from)
        self._token_fields = (b"authorization", *(name.encode() for name in sources if name is not None))
        stripped = stripped_fields(policy.identity)
        timed = policy.watching.server_timing
        self._targets = tuple(
            Target.of(
                route,
                policy.upstreams[route.upstream],
                stripped,
                ServerTimings(route.name, timed, shared.metrics) if timed else None,
                partial(shared.metrics.inc, UPSTREAM_FAILURES, route.upstream),
            )
            for route in policy.routes
        )
        self.counters = tuple(LimitCounters.of(route, shared.metrics) for route in policy.routes)
        self._has_ip_rules = bool(policy.ip.deny or policy.ip.allow)

    @classmethod
    async def make(cls, policy: Policy, shared: Shared) -> "Runtime":
        await shared.upstreams.apply(policy.upstreams.values())
        shared.follow(policy)
        await shared.calls.start(spends=spends(policy))
        # Only who calls providers pays for the price table.
        pricing = await asyncio.to_thread(Pricing, policy.prices) if spends(policy) else None
        runtime = cls(policy, shared, pricing)
        await shared.keysets.keep_only(policy.identity.issuers)
        await shared.caches.follow(policy)
        return runtime

    @property
    def pricing(self) -> Pricing:
        """Of a policy that spends."""
        assert self._pricing is not None
        return self._pricing

    def failed_unseen(self, exchange: Exchange, route: Route, failure: Reason | int) -> None:
        """As ``Shared.unseen``. That no answer came is counted where it was asked for."""
        if isinstance(failure, int):
            self.shared.metrics.inc(UPSTREAM_FAILURES, route.upstream, STATUS_5XX)
        self.shared.unseen(exchange, self.policy, failure)

    def timed_unseen(self, exchange: Exchange, route: Route) -> None:
        """An upstream was asked on nobody's behalf, so that no request's end counts it."""
        if exchange.upstream_s:
            self.shared.metrics.histogram(UPSTREAM_DURATION, route.upstream).observe(exchange.upstream_s)

    def notified(self, identity: Identity) -> tuple[tuple[str, str], ...]:
        """Those of the caller's claims that alerts are sent to."""
        found = ((".".join(path), claim_at(identity.claims, path)) for path in self._notified)
        return tuple((path, value) for path, value in found if isinstance(value, str))

    def locate(self, exchange: Exchange) -> None:
        """Where the request comes from. Raises: GatewayError for a denied address and for a loop."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        caller = self.callers.find(exchange.connection.peer, headers)
        exchange.address = caller.address
        exchange.scheme = caller.scheme or "http"
        exchange.forwarded_host = caller.host or exchange.host
        if self._has_ip_rules and not self._is_allowed(caller.address):
            raise GatewayError(Reason.IP_DENIED)
        if "Via" in headers and via_contains(_raw(headers, "Via"), self.shared.pseudonym):
            raise GatewayError(Reason.LOOP)

    def _is_allowed(self, address: str) -> bool:
        rules = self.policy.ip
        if is_inside(address, rules.deny):
            return False
        return not rules.allow or is_inside(address, rules.allow)

    def match(self, exchange: Exchange, method: str) -> Route:
        """The route of a request with this method. Raises: GatewayError BAD_TARGET, NO_ROUTE, METHOD_REFUSED."""
        listen = self.policy.listen
        path = matched_path(exchange.path, listen.double_slash, listen.encoded_slash)
        route = self.router.match(method, exchange.host, path, exchange.query, exchange.headers)
        if route is not None:
            return route
        allowed = self.router.methods_for(exchange.host, path, exchange.query, exchange.headers)
        if allowed:
            raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", ", ".join(allowed).encode()),))
        raise GatewayError(Reason.NO_ROUTE)

    def check_maintenance(self, exchange: Exchange) -> None:
        maintenance = self.policy.maintenance
        if maintenance is not None and not is_inside(exchange.address, maintenance.allow):
            raise GatewayError(Reason.MAINTENANCE, retry_after_ms=maintenance.retry_after_ms)

    def known(self, exchange: Exchange, route: Route) -> Identity | None:
        """The identity of a caller who was here before; None: ``identify`` has to say."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        identity = self.authenticator.cached(headers, exchange.address, route.auth)
        return None if identity is None or identity.credential else identity

    async def identify(self, exchange: Exchange, route: Route) -> Identity:
        """Raises: GatewayError: as the authenticator says; KEY_ROUTE_REFUSED for a key that is not for this route."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        identity = self.authenticator.cached(headers, exchange.address, route.auth)
        if identity is None:
            identity = await self.authenticator.identify(headers, exchange.address, route.auth)
        if identity.credential and not self.authenticator.key_may_use(identity, route.name):
            raise GatewayError(Reason.KEY_ROUTE_REFUSED)
        return identity

    def untold(self, scope: CacheScope) -> frozenset[bytes]:
        """Lower-case names of fields that the upstream gets from us, and that differ between requests which would
        share a stored answer: what varies by them cannot be stored."""
        return self._untold[scope]

    def shelf(self, route: Route) -> str:
        """Where the answers of a route that caches are kept."""
        return self._shelves[route.index]

    @property
    def shelves(self) -> frozenset[str]:
        """Of all routes that cache."""
        return frozenset(filter(None, self._shelves))

    def target(self, route: Route) -> Target:
        return self._targets[route.index]

    def told(self, exchange: Exchange, identity: Identity) -> Block:
        """The fields that the upstream gets from us: who calls and from where; the same for many requests."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        if "Via" in headers:
            return block_of(self._told(exchange, identity, _raw(headers, "Via")))
        key = (exchange.address, exchange.connection.peer, exchange.scheme, exchange.forwarded_host, exchange.http10)
        kept: dict[Any, Block] | None = identity.memo.get(_TOLD)
        if kept is None or len(kept) >= MAX_TOLD:
            kept = identity.memo[_TOLD] = {}
        block = kept.get(key)
        if block is None:
            block = kept[key] = block_of(self._told(exchange, identity, []))
        return block

    def _told(self, exchange: Exchange, identity: Identity, via: list[bytes]) -> list[tuple[bytes, bytes]]:
        return [
            *self.authenticator.forwarded_fields(identity),
            (b"X-Forwarded-For", _forwarded_for(exchange)),
            (b"X-Forwarded-Proto", exchange.scheme.encode()),
            (b"X-Forwarded-Host", exchange.forwarded_host.encode()),
            (b"Via", via_extended(via, b"1.0" if exchange.http10 else b"1.1", self.shared.pseudonym)),
        ]

    def told_provider(self, exchange: Exchange) -> Block:
        """What a provider is told: that the request came through here, and nothing of who calls or from where."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        via = _raw(headers, "Via") if "Via" in headers else []
        version = b"1.0" if exchange.http10 else b"1.1"
        return block_of([(b"Via", via_extended(via, version, self.shared.pseudonym))])

    def hidden_from_provider(self, exchange: Exchange, route: Route) -> tuple[bytes, ...]:
        """Lower-case names of fields that no provider may see, of those that it is sent at all: with a gateway key in
        them, and where callers are identified those that their tokens are in. Who is asked for no credential of ours
        may bring one of the provider's."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        hidden = self.authenticator.fields_holding_keys(headers)
        return hidden if route.auth is AuthMode.NONE else (*hidden, *self._token_fields)

    def check_provider_query(self, query: str) -> None:
        """Raises: GatewayError CALL_UNREADABLE for a query with a gateway key in it."""
        if any(self.authenticator.is_gateway_key(value) for _, value in parse_qsl(query)):
            raise GatewayError(Reason.CALL_UNREADABLE, "a gateway key belongs in a field, not in the query")

    def hidden_fields(self, exchange: Exchange) -> tuple[bytes, ...]:
        """Lower-case names of fields that hold a gateway key: it must never reach an upstream."""
        if not self.policy.identity.keys:
            return ()
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        return self.authenticator.fields_holding_keys(headers)


def _untold(policy: Policy, scope: CacheScope) -> frozenset[bytes]:
    return differing_fields(policy.identity, _SHARED[scope]) | _OF_ONE_REQUEST


def claims_to_notify(policy: Policy) -> tuple[tuple[str, ...], ...]:
    """Paths of the claims that alerts are sent to."""
    named = {one.removeprefix(CLAIM) for each in policy.alerts.channels for one in each.to if one.startswith(CLAIM)}
    return tuple(tuple(path.split(".")) for path in sorted(named))


def _forwarded_for(exchange: Exchange) -> bytes:
    """The client that we believe in, then the proxy that told us of it. What stood further left was hearsay."""
    peer = exchange.connection.peer
    return exchange.address.encode() if exchange.address == peer else f"{exchange.address}, {peer}".encode()


def _raw(headers: CIMultiDictProxy[str], name: str) -> list[bytes]:
    return [value.encode("utf-8", "surrogateescape") for value in headers.getall(name)]
