"""What a request takes from which meters: the limits of its route, for its caller. Pure: callers pass now_ms.

A plan is made once for a caller on a route and kept with the identity, so that the way of most requests is one look-up.
It holds everything that does not change from request to request in the bytes that the script and the answer want.
"""

import math
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.core.identity import Identity, IdentityKind
from proxy.metering.answers import FieldForms, field_forms
from proxy.metering.calendar import period_edges
from proxy.metering.keys import meter_key
from proxy.metering.takes import MAX_AMOUNT, Take, answer_struct, window_width
from proxy.policy.caching import WHOLE, part_of
from proxy.policy.model import EXACT_ENTRIES, MILLI, Limit, MeterKind, Policy, Rate, Route, RouteMode

LEASE_MS: Final = 30_000
MAX_LEVEL: Final = 2**52  # levels stay whole in a double, with a bit to spare for their quotient
MAX_PLANS: Final = 256  # kept with one identity: addresses by routes by batch sizes
MAX_ANONYMOUS: Final = 8_192
FOREVER_MS: Final = 2**53

_MEMO: Final = "metering.plans"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All takes of one request. ``limits``, ``rates``, ``takes`` and ``keys`` run in parallel."""

    version: str
    limits: tuple[Limit, ...]
    rates: tuple[Rate, ...]
    takes: tuple[Take, ...]
    keys: tuple[bytes, ...]
    packed: bytes = field(repr=False)
    leased: bool  # takes from a concurrency meter, so admission wants a lease
    valid_until_ms: int  # a calendar period or a tenant's exception ends then
    layout: struct.Struct = field(repr=False)  # of the script's answer
    forms: FieldForms = field(repr=False)


def leak_and_scale(rate: Rate) -> tuple[int, int]:
    """SMOOTH's numbers: amount times scale falls by leak each millisecond, in the least whole numbers that are exact.

    Where even these would not stay whole in a double (a burst of millions that drips back over months), the leak is
    rounded down: the rate is kept, a little stricter.
    """
    common = math.gcd(rate.capacity, rate.window_ms)
    leak, scale = rate.capacity // common, rate.window_ms // common
    if rate.burst * scale >= MAX_LEVEL:
        coarse = max(1, MAX_LEVEL // rate.burst - 1)
        leak, scale = max(1, leak * coarse // scale), coarse
    return leak, scale


def _take(limit: Limit, rate: Rate, key: bytes, amount: int, shadow: bool, now_ms: int) -> Take:
    match limit.kind:
        case MeterKind.WINDOW:
            capacity = min(rate.capacity, MAX_AMOUNT)
            exact = capacity <= EXACT_ENTRIES * max(1, limit.min_amount)
            width = window_width(rate.window_ms, exact=exact)
            return Take(key, limit.kind, shadow, amount, capacity, rate.window_ms, width)
        case MeterKind.SMOOTH:
            return Take(key, limit.kind, shadow, amount, rate.burst, *leak_and_scale(rate))
        case MeterKind.CALENDAR:
            if rate.period is None:
                raise ValueError(f"the calendar limit {limit.name!r} has no period")
            edges = period_edges(now_ms, rate.period, limit.time_zone)
            return Take(key, limit.kind, shadow, amount, rate.capacity, *edges)
        case MeterKind.CONCURRENCY:
            # A request in flight is one, whatever it weighs.
            return Take(key, limit.kind, shadow, MILLI, rate.capacity, LEASE_MS)
        case MeterKind.HOLD:
            raise ValueError(f"the limit {limit.name!r} is a budget: it is held from, not taken from")


def rate_in_force(limit: Limit, identity: Identity, now_ms: int) -> tuple[Rate, int]:
    """The rate in force for a caller, and until when (epoch milliseconds)."""
    if identity.tenant is not None and (exception := limit.tenants.get(identity.tenant)) is not None:
        rate, ends_ms = exception
        if ends_ms is None or now_ms < ends_ms:
            return rate, FOREVER_MS if ends_ms is None else ends_ms
    return limit.rates[identity.tier], FOREVER_MS


def make_plan(
    policy: Policy, route: Route, identity: Identity, address: str, factor: int, now_ms: int, share: int = WHOLE
) -> Plan:
    """The plan of a request that counts ``factor`` times its route's weight, of which it takes ``share`` thousandths.

    ``now_ms``: epoch.
    """
    rates, takes, until_ms = [], [], FOREVER_MS
    for limit in route.limits:
        rate, ends_ms = rate_in_force(limit, identity, now_ms)
        key = meter_key(limit, identity, route.name, address)
        shadow = limit.shadow or route.mode is RouteMode.SHADOW
        take = _take(limit, rate, key, part_of(route.weight * factor, share), shadow, now_ms)
        rates.append(rate)
        takes.append(take)
        until_ms = min(until_ms, ends_ms, take.b if limit.kind is MeterKind.CALENDAR else FOREVER_MS)
    return Plan(
        version=policy.version,
        limits=route.limits,
        rates=tuple(rates),
        takes=tuple(takes),
        keys=tuple(take.key for take in takes),
        packed=b"".join(take.packed() for take in takes),
        leased=any(take.kind is MeterKind.CONCURRENCY for take in takes),
        valid_until_ms=until_ms,
        layout=answer_struct(len(takes)),
        forms=field_forms(route.limits, rates, takes, policy.answers.legacy_reset),
    )


class Planner:
    """Plans under one policy, remembered. A reload makes a new one; plans of the old die with it or their identity."""

    __slots__ = ("_anonymous", "_policy", "_version")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._version = policy.version
        self._anonymous: dict[Any, Plan] = {}

    def plan(
        self, route: Route, identity: Identity, address: str, now_ms: int, factor: int = 1, share: int = WHOLE
    ) -> Plan:
        """The plan of a request; made anew where none is remembered or it is no longer in force."""
        name: Any
        plans: dict[Any, Plan]
        if identity.kind is IdentityKind.ANONYMOUS and identity.tenant is None and not identity.claims:
            # Each anonymous request may bring an identity of its own: what it is planned by is tier and address.
            plans, bound = self._anonymous, MAX_ANONYMOUS
            name = (route.index, address, factor, share, identity.tier)
        else:
            memo = identity.memo
            found = memo.get(_MEMO)
            plans, bound = memo.setdefault(_MEMO, {}) if found is None else found, MAX_PLANS
            name = (route.index, address, factor, share, self._version)
        plan = plans.get(name)
        if plan is None or now_ms >= plan.valid_until_ms:
            if len(plans) >= bound:
                plans.clear()  # all at once: what is in use comes back at the next request
            plan = plans[name] = make_plan(self._policy, route, identity, address, factor, now_ms, share)
        return plan
