"""A log's requests through a policy: who would have been refused, by what, and what calls would have cost. Pure.

What the log cannot tell is judged as told in ``notes``: a policy must not look better than it is by what nobody saw.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.foresight.addresses import LoggedAddresses
from proxy.foresight.beforelimits import had_no_credential, refused_before_limits
from proxy.foresight.callers import LoggedCallers
from proxy.foresight.judge import Call, Judge, Ruling
from proxy.foresight.loglines import Entry
from proxy.gateway.batch import trpc_calls
from proxy.policy.caching import WHOLE
from proxy.policy.matching import Router
from proxy.policy.model import AuthMode, BatchKind, MeterKind, Policy, Route, ScopeKind

OWN_PREFIX: Final = "/_gateway/"
MOST_TENANTS: Final = 20_000  # that are told apart; the rest are one
MOST_KEYS: Final = 1_000  # unknown ones, likewise
OTHERS: Final = "(others)"
_NO_FIELDS: Final[Mapping[str, str]] = {}
_FROM_STORE: Final = "cached"
_BY_GATEWAY: Final = "answered"
_ROUTELESS: Final = "-"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One request's. ``by``: the limits and budgets that refused, or the reason in brackets where none was asked.

    ``kept``: the log has refused it before any limit was asked, and so it stays.
    """

    admitted: bool
    by: tuple[str, ...] = ()
    shadow_by: tuple[str, ...] = ()
    ruling: Ruling | None = None
    route: str = _ROUTELESS
    downgraded: bool = False
    identity: Identity | None = None
    kept: bool = False


_ADMITTED: Final = Judged(True)


@dataclass(slots=True)
class Refusals:
    """Of one tenant by one limit; ``first``: when, and the request's id where the log has it."""

    count: int = 0
    nanousd: int = 0
    first_ms: int = 0
    first_id: str = ""


@dataclass(slots=True)
class TenantSums:
    requests: int = 0
    refused: int = 0
    nanousd: int = 0  # of calls that are let through
    refused_nanousd: int = 0
    by: dict[str, Refusals] = field(default_factory=dict)


@dataclass(slots=True)
class Sums:
    """Of a whole log under one policy."""

    requests: int = 0
    refused: int = 0
    kept: int = 0  # of those refused: by what the log tells, not by this policy
    downgraded: int = 0
    nanousd: int = 0
    refused_nanousd: int = 0
    first_ms: int = 0
    last_ms: int = 0
    tenants: dict[str | None, TenantSums] = field(default_factory=dict)
    shadow: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, judged: Judged) -> None:
        if not self.requests:
            self.first_ms = entry.start_ms
        self.requests += 1
        self.last_ms = entry.start_ms
        tenant = self.tenants.get(entry.tenant)
        if tenant is None:
            name = entry.tenant if len(self.tenants) < MOST_TENANTS else OTHERS
            tenant = self.tenants.setdefault(name, TenantSums())
        tenant.requests += 1
        nanousd = entry.nanousd or 0
        if judged.shadow_by:
            self.shadow.update(judged.shadow_by)
        if judged.admitted:
            self.nanousd += nanousd
            tenant.nanousd += nanousd
            return
        self.refused += 1
        self.kept += judged.kept
        self.downgraded += judged.downgraded
        self.refused_nanousd += nanousd
        tenant.refused += 1
        tenant.refused_nanousd += nanousd
        for name in judged.by:
            refusals = tenant.by.get(name)
            if refusals is None:
                refusals = tenant.by[name] = Refusals(first_ms=entry.start_ms, first_id=entry.request_id)
            refusals.count += 1
            refusals.nanousd += nanousd

    def rows(self) -> Iterator[tuple[str | None, str, TenantSums, Refusals]]:
        """Tenant and limit, most refusals first."""
        found = [(tenant, name, sums, one) for tenant, sums in self.tenants.items() for name, one in sums.by.items()]
        yield from sorted(found, key=lambda row: (-row[3].count, row[0] or "", row[1]))


class Replay:
    """One policy, from empty meters on. Entries come in the order of ``start_ms``.

    ``tier`` is that of callers whom the log's format does not name; the policy's anonymous one where none is given.
    ``judges_issuers``: not for a policy that does not have its own yet.
    """

    def __init__(self, policy: Policy, tier: str | None = None, *, judges_issuers: bool = True) -> None:
        self.policy = policy
        self.judge = Judge(policy)
        self.sums = Sums()
        self.callers = LoggedCallers(policy)
        self.addresses = LoggedAddresses(policy)
        self._tier = tier
        self._judges_issuers = judges_issuers
        self._checks_address = bool(policy.ip.deny or policy.ip.allow)
        self._unseen = [one for one in policy.routes if one.match.headers or one.match.query]
        self._routers: dict[str, Router] = {"": _seen_router(policy, None)} if self._unseen else {}
        self._kept: Counter[str] = Counter()
        self._unknown_keys: Counter[str] = Counter()
        self._unnamed = self._unpriced = self._graphql = self._lasting = 0

    def add(self, entry: Entry) -> Judged:
        """Judges one more, and counts it."""
        judged = self.judged(entry)
        self.sums.add(entry, judged)
        return judged

    def judged(self, entry: Entry) -> Judged:
        """What the policy says to it now."""
        reason = refused_before_limits(entry)
        if reason is not None:
            return self._keep(reason, entry.route or _ROUTELESS)
        judge = self.judge
        address = self.addresses.of(entry) if entry.forwarded else entry.address
        self._lasting += entry.end_ms > entry.start_ms
        route: Route | None = None
        try:
            if self._checks_address:
                judge.check_address(address)
            route = judge.route(
                entry.method,
                entry.host,
                entry.path,
                entry.query,
                _NO_FIELDS,
                self._router(entry) if self._unseen else None,
            )
            if self.policy.maintenance is not None:
                judge.check_maintenance(address)
            if route.auth is AuthMode.REQUIRED and had_no_credential(entry):
                return self._keep(Reason.TOKEN_MISSING, route.name)
            identity = self._identity(entry, route)
            factor = trpc_calls(entry.path) if route.batch is BatchKind.TRPC else 1
        except GatewayError as error:
            return Judged(False, (f"({error.reason.value})",), route=_ROUTELESS if route is None else route.name)
        share = WHOLE
        if entry.outcome == _FROM_STORE and route.caching is not None:
            share = route.caching.hits_pay
            if not share:
                return _ADMITTED
        call: Call | None = None
        if route.spending is not None and entry.outcome != _FROM_STORE:
            self._unpriced += entry.nanousd is None
            call = Call(entry.nanousd or 0, entry.tokens)
        self._graphql += route.batch is BatchKind.GRAPHQL
        ruling = judge.rule(
            route, identity, address, entry.start_ms, factor=factor, share=share, ends_ms=entry.end_ms, call=call
        )
        return Judged(
            ruling.admitted,
            ruling.refused_by,
            ruling.shadow_refused_by,
            ruling,
            route.name,
            ruling.downgrade_to is not None,
            identity,
        )

    def _keep(self, reason: Reason, route: str) -> Judged:
        self._kept[reason.value] += 1
        return Judged(False, (f"({reason.value})",), route=route, kept=True)

    def notes(self) -> list[str]:
        """What of this the log could not tell, and how it was taken."""
        found = []
        if self._kept:
            reasons = ", ".join(f"{name} {count:,}" for name, count in self._kept.most_common())
            found.append(
                f"{self._kept.total():,} requests were refused before any limit was asked, and stay so whatever the "
                f"policy says: {reasons}"
            )
        if self._unnamed:
            found.append(
                f"{self._unnamed:,} lines are of a format that names no callers: auth was not judged, "
                f"and their tier taken as {self._tier or self.policy.identity.anonymous_tier}"
            )
        if self.callers.unknown_tiers:
            tiers = ", ".join(sorted(self.callers.unknown_tiers)[:5])
            found.append(f"the policy has no tier {tiers}: taken as {self.policy.identity.unknown_tier}")
        if self.addresses.unbelieved:
            found.append(
                f"{self.addresses.unbelieved:,} lines have an X-Forwarded-For by somebody whom listen.trusted_proxies "
                "does not name: counted by that address, as the gateway would"
            )
        if self.callers.several:
            found.append(
                "no line tells who issued a token: users whom several issuers may name are taken as one of none"
            )
        if self._unknown_keys:
            names = ", ".join(name for name, _ in self._unknown_keys.most_common(5))
            found.append(
                f"{self._unknown_keys.total():,} requests came with keys that the policy does not have here ({names}): "
                "let through to their limits; a keys_file that is not at hand may have them"
            )
        if self._unpriced:
            found.append(f"{self._unpriced:,} calls have no cost in the log: they took nothing from budgets")
        if self._graphql:
            found.append(f"{self._graphql:,} GraphQL requests counted as one call each: their bodies are not in a log")
        if self.sums.requests and not self._lasting and (in_flight := _in_flight(self.policy)):
            found.append(f"the log has no durations: nothing was under way to be counted by {', '.join(in_flight)}")
        by_claim = sorted({limit.name for limit in self.policy.limits.values() if _by_claim(limit.scopes)})
        if by_claim:
            found.append(f"no line holds claims: counted by address where a claim is meant ({', '.join(by_claim)})")
        if self._unseen:
            names = ", ".join(route.name for route in self._unseen)
            found.append(f"fields are not in a log: only lines that name the route themselves took {names}")
        return found

    def _identity(self, entry: Entry, route: Route) -> Identity:
        """Raises: GatewayError."""
        if route.auth is AuthMode.NONE:
            return self.callers.nobody()
        identity = self.callers.identity(entry.tenant, entry.user, self._tier_of(entry), entry.key)
        if not entry.knows_callers:
            self._unnamed += 1
            return self.callers.nobody(self._tier) if identity.kind is IdentityKind.ANONYMOUS else identity
        if entry.key is not None:
            if not self.callers.knows_key(entry.key):
                self._unknown_keys[entry.key if len(self._unknown_keys) < MOST_KEYS else OTHERS] += 1
            elif not self.callers.key_may_use(entry.key, route.name):
                raise GatewayError(Reason.KEY_ROUTE_REFUSED)
        if self._judges_issuers and identity.kind is IdentityKind.USER:
            reason = self.callers.refusal(entry.tenant)
            if reason is not None:
                raise GatewayError(reason)
        if route.auth is AuthMode.REQUIRED and identity.kind is IdentityKind.ANONYMOUS:
            raise GatewayError(Reason.TOKEN_MISSING)
        return identity

    def _tier_of(self, entry: Entry) -> str:
        if entry.knows_callers:
            return entry.tier
        return self._tier or self.policy.identity.anonymous_tier

    def _router(self, entry: Entry) -> Router:
        """Fields and queries are not in a log: of the routes that ask for any, only the one that the line itself names
        is tried, by what can be seen."""
        name = entry.route if any(one.name == entry.route for one in self._unseen) else ""
        if entry.query and not name:
            return self.judge.router
        router = self._routers.get(name)
        if router is None:
            router = self._routers[name] = _seen_router(self.policy, name)
        return router


def is_judged(entry: Entry) -> bool:
    """Not what the gateway answers by itself: preflights and its own paths."""
    return entry.outcome != _BY_GATEWAY and not entry.path.startswith(OWN_PREFIX)


def _seen_router(policy: Policy, name: str | None) -> Router:
    routes = []
    for route in policy.routes:
        if not (route.match.headers or route.match.query):
            routes.append(route)
        elif route.name == name:
            routes.append(replace(route, match=replace(route.match, headers=(), query=())))
    return Router(tuple(routes))


def _by_claim(scopes: Any) -> bool:
    return any(scope.kind is ScopeKind.CLAIM for scope in scopes)


def _in_flight(policy: Policy) -> list[str]:
    return sorted(limit.name for limit in policy.limits.values() if limit.kind is MeterKind.CONCURRENCY)


# --- two policies ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Differences:
    """Between two policies over the same log: (newly refused, newly admitted) in all and by tenant and route."""

    newly_refused: int = 0
    newly_admitted: int = 0
    by: dict[tuple[str | None, str], list[int]] = field(default_factory=dict)

    def add(self, entry: Entry, old: Judged, new: Judged) -> None:
        if old.admitted is new.admitted:
            return
        self.newly_refused += old.admitted
        self.newly_admitted += new.admitted
        key = (entry.tenant, new.route if new.route != _ROUTELESS else old.route)
        if key not in self.by and len(self.by) >= MOST_TENANTS:
            key = (OTHERS, OTHERS)
        counts = self.by.setdefault(key, [0, 0])
        counts[new.admitted] += 1
