"""What a policy says to one request after those before it: route, caller, limits, budgets. Pure: callers pass the time.

The gateway's own parts decide (matching, plans, budgets), meters are a ``Tally``. What only a running gateway knows is
left out: bodies, upstreams, what is stored, other gateways' callers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity
from proxy.foresight.tally import Tally
from proxy.identity.address import is_trusted as is_inside
from proxy.metering.budgets import CallPlan, CallPlanner
from proxy.metering.decision import Decision, Holding
from proxy.metering.holds import Hold
from proxy.metering.keys import scope_text
from proxy.metering.plan import Plan, make_plan
from proxy.metering.takes import Answer, Outcome, Take, Verdict
from proxy.policy.caching import WHOLE
from proxy.policy.matching import Router
from proxy.policy.model import MeterKind, Policy, Route
from proxy.policy.target import matched_path

PRUNE_EVERY: Final = 50_000  # requests
MOST_PLANNED: Final = 4_096  # kept with one identity: addresses by routes; the anonymous share one
_MEMO: Final = "foresight.takes"
_Shape = tuple[int, str, str | None, int, int]  # route, tier, tenant with an exception, factor, share
_NOBODY_HOLDS: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Call:
    """What a call to a provider comes to; ``model`` where budgets count by it."""

    nanousd: int
    tokens: int
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """What the meters said. ``takes`` are what they were asked for, of this caller: the plan's, then the call's, and
    ``answer`` covers them in this order."""

    plan: Plan
    call: CallPlan | None
    asked: Call | None
    takes: tuple[Take, ...]
    answer: Answer

    @property
    def admitted(self) -> bool:
        return self.answer.outcome is Outcome.ADMITTED

    @property
    def refused_by(self) -> tuple[str, ...]:
        """Names of the limits and budgets that refused."""
        return () if self.admitted else tuple(name for name, shadow in self._unfit() if not shadow)

    @property
    def shadow_refused_by(self) -> tuple[str, ...]:
        """Names of those in shadow that would have."""
        return tuple(name for name, shadow in self._unfit() if shadow)

    @property
    def reason(self) -> Reason | None:
        """Of the refusal, as the gateway would tell it."""
        if self.admitted:
            return None
        places, own = self._unfit_places(), len(self.plan.takes)
        limits = [self.plan.limits[place] for place in places if place < own]
        if limits:
            in_flight = all(limit.kind is MeterKind.CONCURRENCY for limit in limits)
            waits = self.answer.outcome is Outcome.REFUSED
            return Reason.CONCURRENCY_EXCEEDED if in_flight and waits else Reason.QUOTA_EXCEEDED
        held = 0 if self.call is None else len(self.call.held)
        return Reason.BUDGET_EXCEEDED if any(place < own + held for place in places) else Reason.QUOTA_EXCEEDED

    @property
    def downgrade_to(self) -> str | None:
        """The model that the gateway would ask for instead, where only budgets refused and all of them want that."""
        if self.admitted or self.call is None:
            return None
        models = set()
        for place in self._unfit_places():
            held = place - len(self.plan.takes)
            if not 0 <= held < len(self.call.held):
                return None
            models.add(self.call.held[held].budget.downgrade_to)
        return models.pop() if len(models) == 1 else None

    def decision(self) -> Decision:
        """As the gateway would have it, for the fields of its answer."""
        own = 3 * len(self.plan.takes)
        decision = Decision(self.plan, self.answer.outcome, self.answer.meters[:own])
        if self.call is not None and self.asked is not None:
            amounts = self.call.amounts(self.asked.nanousd, self.asked.tokens)
            hold = Hold(_NOBODY_HOLDS, self.call.plan, amounts)
            decision.holding = Holding(hold, self.answer.meters[own:], ())
        return decision

    def _unfit_places(self) -> list[int]:
        takes = self.plan.takes
        meters = () if self.call is None else self.call.plan.meters
        shadows = [take.shadow for take in takes] + [meter.shadow for meter in meters]
        verdicts = self.answer.meters[::3]
        return [place for place, shadow in enumerate(shadows) if verdicts[place] != Verdict.FITS and not shadow]

    def _unfit(self) -> list[tuple[str, bool]]:
        verdicts = self.answer.meters[::3]
        if not any(verdicts):  # most requests
            return []
        named = [(limit.name, take.shadow) for limit, take in zip(self.plan.limits, self.plan.takes, strict=True)]
        if self.call is not None:
            named += [(meter.name, meter.shadow) for meter in self.call.plan.meters]
        return [one for one, verdict in zip(named, verdicts, strict=True) if verdict != Verdict.FITS]


class Judge:
    """One policy and its meters, from empty ones on. Requests come in the order of their times."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.router = Router(policy.routes)
        self.tally = Tally()
        self._plans: dict[_Shape, Plan] = {}
        self._excepted = frozenset(tenant for limit in policy.limits.values() for tenant in limit.tenants)
        self._calls = CallPlanner(policy)
        self._under_way: list[tuple[int, int, tuple[bytes, ...]]] = []  # (end, lease, keys)
        self._lease = 0
        self._until_prune = PRUNE_EVERY

    def check_address(self, address: str) -> None:
        """Raises: GatewayError IP_DENIED."""
        rules = self.policy.ip
        if is_inside(address, rules.deny) or (rules.allow and not is_inside(address, rules.allow)):
            raise GatewayError(Reason.IP_DENIED)

    def check_maintenance(self, address: str) -> None:
        """Raises: GatewayError MAINTENANCE."""
        maintenance = self.policy.maintenance
        if maintenance is not None and not is_inside(address, maintenance.allow):
            raise GatewayError(Reason.MAINTENANCE, retry_after_ms=maintenance.retry_after_ms)

    def route(
        self, method: str, host: str, path: str, query: str, headers: Mapping[str, str], router: Router | None = None
    ) -> Route:
        """``path`` is raw. Raises: GatewayError BAD_TARGET, NO_ROUTE, METHOD_REFUSED."""
        listen = self.policy.listen
        matched = matched_path(path, listen.double_slash, listen.encoded_slash)
        router = router or self.router
        route = router.match(method, host, matched, query, headers)
        if route is not None:
            return route
        allowed = router.methods_for(host, matched, query, headers)
        if not allowed:
            raise GatewayError(Reason.NO_ROUTE)
        methods = ", ".join(allowed)
        raise GatewayError(Reason.METHOD_REFUSED, methods, headers=((b"Allow", methods.encode()),))

    def rule(
        self,
        route: Route,
        identity: Identity,
        address: str,
        now_ms: int,
        *,
        factor: int = 1,
        share: int = WHOLE,
        ends_ms: int | None = None,
        call: Call | None = None,
    ) -> Ruling:
        """Takes what the request takes, or nothing. ``ends_ms``: when it has been answered; None: at once."""
        if self._under_way:
            self._release(now_ms)
        self._until_prune -= 1
        if self._until_prune <= 0:
            self._until_prune = PRUNE_EVERY
            self.tally.prune(now_ms)
        plan, takes = self._planned(route, identity, address, now_ms, factor, share)
        held: CallPlan | None = None
        if call is not None and route.spending is not None:
            held = self._calls.plan(route, identity, address, call.model, now_ms)
            takes = (*takes, *_held_takes(held, call))
        self._lease += 1
        answer = self.tally.decide(takes, now_ms, self._lease)
        if plan.leased and answer.outcome is Outcome.ADMITTED:
            keys = tuple(take.key for take in takes if take.kind is MeterKind.CONCURRENCY)
            heappush(self._under_way, (now_ms if ends_ms is None else ends_ms, self._lease, keys))
        return Ruling(plan, held, call if held is not None else None, takes, answer)

    def use_up(
        self, route: Route, identity: Identity, address: str, call: Call, name: str, nanousd: int, now_ms: int
    ) -> bool:
        """Takes from this caller's budgets of a name, ``user`` or, of one period alone, ``user day``; whether there is
        one."""
        held = self._calls.plan(route, identity, address, call.model, now_ms).held
        named = [one for one in held if name in (one.budget.name, f"{one.budget.name} {one.budget.period.value}")]
        for one in named:
            self.tally.use_up(one.meter.key, nanousd, one.meter.b)
        return bool(named)

    def _planned(
        self, route: Route, identity: Identity, address: str, now_ms: int, factor: int, share: int
    ) -> tuple[Plan, tuple[Take, ...]]:
        """What callers of one tier have in common on a route is planned once, and each caller's meters named once: a
        log may have a hundred thousand callers who come twice. The plan's own takes are another caller's. A meter is
        called by whose it is, which no two share (``scope_text``): a digest would cost three times as much."""
        tenant = identity.tenant if identity.tenant in self._excepted else None
        shape = (route.index, identity.tier, tenant, factor, share)
        plan = self._plans.get(shape)
        if plan is None or now_ms >= plan.valid_until_ms:
            plan = self._plans[shape] = make_plan(self.policy, route, identity, address, factor, now_ms, share)
        memo: dict[tuple[_Shape, str], tuple[Plan, tuple[Take, ...]]] = identity.memo.setdefault(_MEMO, {})
        known = memo.get((shape, address))
        if known is None or known[0] is not plan:
            if len(memo) >= MOST_PLANNED:
                memo.clear()
            takes = tuple(
                _of(take, b"%d %b" % (limit.index, scope_text(limit.scopes, identity, route.name, address).encode()))
                for limit, take in zip(plan.limits, plan.takes, strict=True)
            )
            known = memo[shape, address] = (plan, takes)
        return known

    def _release(self, now_ms: int) -> None:
        under_way = self._under_way
        while under_way and under_way[0][0] <= now_ms:
            _, lease, keys = heappop(under_way)
            for key in keys:
                self.tally.release(key, lease)


def _of(take: Take, key: bytes) -> Take:
    """The take from another meter."""
    return Take(key, take.kind, take.shadow, take.amount, take.capacity, take.a, take.b, take.c)


def _held_takes(held: CallPlan, call: Call) -> list[Take]:
    amounts = held.amounts(call.nanousd, call.tokens)
    return [
        Take(meter.key, meter.kind, meter.shadow, amount, meter.capacity, meter.a, meter.b, meter.c)
        for meter, amount in zip(held.plan.meters, amounts, strict=True)
    ]
