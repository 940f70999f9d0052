"""What a call to a provider holds from which budgets and limits of tokens, for its caller. Pure: callers pass now_ms.

As with ``plan``, one is made for a caller on a route and kept with the identity until a period ends, an exception ends
or what was granted changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from proxy.core.identity import Identity
from proxy.core.usage import Charge, TokenCharge
from proxy.metering.calendar import period_edges
from proxy.metering.holds import MAX_MONEY, HoldMeter, HoldPlan, budget_meter, window_meter
from proxy.metering.keys import budget_base, scope_text, tokens_key
from proxy.metering.plan import FOREVER_MS, rate_in_force
from proxy.policy.model import MILLI, Limit, Period, Policy, Route, RouteMode, ScopeKind
from proxy.policy.spending import Budget, OnExceed

MAX_PLANS: Final = 32  # kept with one identity: routes, by models and addresses where those have counts of their own
NEAR_MS: Final = 60_000  # clocks of gateways and store differ by less

_MEMO: Final = "metering.budgets"


@dataclass(frozen=True, slots=True)
class Granted:
    """On top of a budget, whatever its period, until an instant (epoch ms); below zero takes another one back."""

    nanousd: int
    until_ms: int


Grants = Mapping[tuple[str, str], tuple[Granted, ...]]  # (budget, scope's text) ->


@dataclass(frozen=True, slots=True)
class HeldBudget:
    """A budget as it is for this caller. ``amount``: the whole of it, grants included; ``meter``: what is held from."""

    budget: Budget
    scope: str
    amount: int
    meter: HoldMeter

    def charge(self, taken_ms: int) -> Charge:
        """The period that a take at ``taken_ms`` is charged to."""
        meter = self.meter
        start_ms = meter.b if taken_ms >= meter.b else meter.a
        return Charge(
            self.budget.name,
            self.scope,
            period_name(start_ms, self.budget.period, self.budget.time_zone),
            counter=meter.counter(taken_ms).decode(),
            ends_ms=meter.ends_ms(taken_ms),
        )


@dataclass(frozen=True, slots=True)
class HeldLimit:
    """A limit of tokens as it is for this caller; ``meter``: what is held from."""

    limit: Limit
    scope: str
    meter: HoldMeter


@dataclass(frozen=True, slots=True, eq=False)
class CallPlan:
    """``held`` are the first meters of ``plan``, ``tokens`` the rest, each in the route's order."""

    plan: HoldPlan
    held: tuple[HeldBudget, ...]
    tokens: tuple[HeldLimit, ...]
    valid_until_ms: int
    _charges: dict[tuple[bool, ...], tuple[Charge, ...]] = field(default_factory=dict, repr=False)

    def amounts(self, nanousd: int, tokens: int) -> tuple[int, ...]:
        """What is taken from each meter."""
        return (nanousd,) * len(self.held) + (tokens,) * len(self.tokens)

    def token_charges(self, tokens: int) -> tuple[TokenCharge, ...]:
        """The limits of tokens that ``tokens`` are charged to."""
        return tuple(TokenCharge(one.limit.name, one.scope, one.meter.a, tokens) for one in self.tokens)

    def charges_after(self, now_ms: int) -> tuple[Charge, ...]:
        """Those of the next periods, where any of these ends soon: the store's clock may be past that already."""
        if all(one.meter.b - now_ms > NEAR_MS for one in self.held):
            return ()
        return tuple(one.charge(one.meter.b) for one in self.held)

    def charges(self, taken_ms: int) -> tuple[Charge, ...]:
        """The budgets and periods that a take at ``taken_ms`` is charged to."""
        turned = tuple(taken_ms >= one.meter.b for one in self.held)
        found = self._charges.get(turned)
        if found is None:
            found = self._charges[turned] = tuple(one.charge(taken_ms) for one in self.held)
        return found


def period_name(start_ms: int, period: Period, time_zone: str) -> str:
    """How a period is called in the ledger: 2026-11-23, 2026-W47 (ISO 8601), 2026-11; with its zone unless UTC."""
    day = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(ZoneInfo(time_zone))
    match period:
        case Period.HOUR:
            name = f"{day:%Y-%m-%dT%H}"
        case Period.DAY:
            name = f"{day:%Y-%m-%d}"
        case Period.WEEK:
            year, week, _ = day.isocalendar()
            name = f"{year}-W{week:02d}"
        case Period.MONTH:
            name = f"{day:%Y-%m}"
    return name if time_zone == "UTC" else f"{name} {time_zone}"


def make_call_plan(
    route: Route, identity: Identity, address: str, model: str, now_ms: int, granted: Grants
) -> CallPlan:
    """The plan of calls for this model. Raises: ValueError for a route that calls no provider."""
    if route.spending is None:
        raise ValueError(f"the route {route.name!r} calls no provider")
    until_ms = FOREVER_MS
    shadow = route.mode is RouteMode.SHADOW
    held, limits = [], []
    for budget in route.spending.budgets:
        scope = scope_text(budget.scopes, identity, route.name, address, model)
        amount, ends_ms = budget.amount(identity.tier, identity.tenant, now_ms)
        for grant in granted.get((budget.name, scope), ()):
            if now_ms < grant.until_ms:
                amount += grant.nanousd
                until_ms = min(until_ms, grant.until_ms)
        amount = max(0, amount)
        base = budget_base(budget.name, budget.scopes, identity, route.name, address, model)
        meter = budget_meter(
            budget.name,
            base,
            min(budget.capacity(identity.tier, amount), MAX_MONEY),
            period_edges(now_ms, budget.period, budget.time_zone),
            shadow=shadow or budget.on_exceed is OnExceed.WARN,
        )
        held.append(HeldBudget(budget, scope, amount, meter))
        until_ms = min(until_ms, meter.b, FOREVER_MS if ends_ms is None else ends_ms)
    for limit in route.spending.tokens:
        rate, ends_ms = rate_in_force(limit, identity, now_ms)
        key = tokens_key(limit, identity, route.name, address, model)
        capacity = rate.capacity // MILLI
        window = window_meter(limit.name, key, capacity, rate.window_ms, shadow=shadow or limit.shadow)
        limits.append(HeldLimit(limit, scope_text(limit.scopes, identity, route.name, address, model), window))
        until_ms = min(until_ms, ends_ms)
    return CallPlan(
        plan=HoldPlan((*(one.meter for one in held), *(one.meter for one in limits))),
        held=tuple(held),
        tokens=tuple(limits),
        valid_until_ms=until_ms,
    )


class CallPlanner:
    """Call plans under one policy and one state of grants, remembered with the identity."""

    __slots__ = ("_granted", "_kinds", "_version")

    def __init__(self, policy: Policy) -> None:
        self._version: object = policy.version
        self._granted: Grants = {}
        self._kinds: dict[int, frozenset[ScopeKind]] = {}  # by route

    def grant(self, granted: Grants) -> None:
        """From the next call on. Plans made before are not found any more."""
        self._granted = granted
        self._version = object()

    def plan(self, route: Route, identity: Identity, address: str, model: str, now_ms: int) -> CallPlan:
        """The plan of a call; made anew where none is remembered or it is no longer in force."""
        plans: dict[Any, CallPlan] = identity.memo.setdefault(_MEMO, {})
        by_model, by_address = self._named_by(route, identity)
        name = (route.index, model if by_model else "", address if by_address else "", self._version)
        plan = plans.get(name)
        if plan is None or now_ms >= plan.valid_until_ms:
            if len(plans) >= MAX_PLANS:
                plans.clear()
            plan = plans[name] = make_call_plan(route, identity, address, model, now_ms, self._granted)
        return plan

    def _named_by(self, route: Route, identity: Identity) -> tuple[bool, bool]:
        """Whether anything is counted by model, and by address: else calls of any share a plan. Names of models come
        from clients."""
        assert route.spending is not None
        kinds = self._kinds.get(route.index)
        if kinds is None:
            named = [one.scopes for one in route.spending.budgets] + [one.scopes for one in route.spending.tokens]
            kinds = self._kinds[route.index] = frozenset(scope.kind for scopes in named for scope in scopes)
        by_address = (
            ScopeKind.IP in kinds
            or ScopeKind.CLAIM in kinds
            or (identity.user is None and ScopeKind.USER in kinds)
            or (identity.tenant is None and ScopeKind.TENANT in kinds)
        )
        return ScopeKind.MODEL in kinds, by_address
