"""Limits at a chosen percentile of each tier's real use. Pure.

A caller's use, as a request comes, is what the limit would count then: the request and those before it in its window,
its calendar period, or under way. A limit at the 99.9th percentile is not below the use that 99.9% of a tier's requests
met. It refuses less than the rest, since what it refuses it does not count; how much less is found by a replay.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.core.identity import Identity
from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Replay
from proxy.foresight.rewriting import quoted
from proxy.foresight.wording import rate_text
from proxy.policy.model import MILLI, Limit, MeterKind, Policy, Rate
from proxy.policy.words import WrittenRate

DAY_MS: Final = 86_400_000
OPEN: Final = 2**30 * MILLI  # a capacity that nobody reaches, and a window's entries can hold
MEASURED: Final = frozenset({MeterKind.WINDOW, MeterKind.CALENDAR, MeterKind.CONCURRENCY})
_FINE: Final = 1000  # use above it is told apart by a thousandth

FEWEST_REQUESTS: Final = 100  # of a tier on the fitted days: fewer say nothing of a percentile
FEWEST_CALLERS: Final = 3  # and what one or two do, nothing of the others

LimitTier = tuple[str, str]
_Caller = tuple[str | None, str | None, str, str]  # tenant, user, key, address where nobody is named


@dataclass(frozen=True, slots=True)
class Few:
    """What of a tier a limit has met, where that is too little; ``callers`` are counted up to the fewest."""

    requests: int
    callers: int


def open_policy(policy: Policy) -> Policy:
    """The same, with limits that count and never refuse, and without budgets."""
    limits = {name: _open(limit) for name, limit in policy.limits.items()}
    routes = tuple(
        replace(route, limits=tuple(limits[limit.name] for limit in route.limits), spending=None)
        for route in policy.routes
    )
    return replace(policy, version=f"{policy.version}-open", limits=limits, routes=routes, maintenance=None)


def _open(limit: Limit) -> Limit:
    rates: Mapping[str, Rate] = {
        tier: replace(rate, capacity=OPEN, burst=OPEN if rate.burst else 0) for tier, rate in limit.rates.items()
    }
    return replace(limit, rates=rates, tenants={}, shadow=False)


@dataclass(slots=True)
class Demand:
    """What callers ask for where nothing refuses them, by UTC day. ``judges_issuers``: as a replay does."""

    policy: Policy
    judges_issuers: bool = True
    days: dict[int, dict[LimitTier, Counter[int]]] = field(default_factory=dict)
    replay: Replay = field(init=False)
    _callers: dict[LimitTier, dict[_Caller, int]] = field(default_factory=dict)  # the first few, with their first days

    def __post_init__(self) -> None:
        self.replay = Replay(open_policy(self.policy), judges_issuers=self.judges_issuers)

    def add(self, entry: Entry) -> None:
        judged = self.replay.judged(entry)
        if judged.ruling is None or judged.identity is None:
            return
        tenant, tier = judged.identity.tenant, judged.identity.tier
        today = entry.start_ms // DAY_MS
        day = self.days.setdefault(today, {})
        meters = judged.ruling.answer.meters
        for place, limit in enumerate(judged.ruling.plan.limits):
            if limit.kind in MEASURED and tenant not in self.policy.limits[limit.name].tenants:
                use = -(-(OPEN - int(meters[3 * place + 1])) // MILLI)
                found = day.get((limit.name, tier))
                if found is None:
                    found = day[limit.name, tier] = Counter()
                callers = self._callers.setdefault((limit.name, tier), {})
                if len(callers) < FEWEST_CALLERS:
                    callers.setdefault(_caller(judged.identity, entry), today)
                found[use if use < _FINE else _coarse(use)] += 1

    def fitted(self, percentile: float, holdout: int) -> dict[LimitTier, int]:
        """The use at the percentile (0 to 100) over all days but the last ``holdout``, by limit and tier."""
        uses: dict[LimitTier, Counter[int]] = {}
        for day in self._fitted(holdout):
            for key, counts in self.days[day].items():
                uses.setdefault(key, Counter()).update(counts)
        return {key: _at(percentile, counts) for key, counts in uses.items()}

    def few(self, holdout: int) -> dict[LimitTier, Few]:
        """What is too little to suggest anything by, of what could be suggested."""
        days, found = self._fitted(holdout), {}
        for key, callers in self._callers.items():
            requests = sum(self.days[day][key].total() for day in days if key in self.days[day])
            known = sum(day in days for day in callers.values())
            too_few = requests < FEWEST_REQUESTS or known < FEWEST_CALLERS
            if too_few and not self.policy.limits[key[0]].tokens:
                found[key] = Few(requests, known)
        return found

    def _fitted(self, holdout: int) -> list[int]:
        days = sorted(self.days)
        return days[: len(days) - holdout]


def _caller(identity: Identity, entry: Entry) -> _Caller:
    named = identity.user is not None or identity.credential
    return identity.tenant, identity.user, identity.credential, "" if named else entry.address or entry.forwarded


def _coarse(use: int) -> int:
    step: int = 10 ** (len(str(use)) - 3)
    return -(-use // step) * step


def _at(percentile: float, counts: Counter[int]) -> int:
    wanted = math.ceil(percentile / 100 * counts.total())
    seen = 0
    for use in sorted(counts):
        seen += counts[use]
        if seen >= wanted:
            return use
    return max(counts)


def round_up(use: int) -> int:
    """To two digits: 1, 12, 130, 4700."""
    step: int = 10 ** max(0, len(str(use)) - 2)
    return max(1, -(-use // step) * step)


def suggested_rates(policy: Policy, uses: Mapping[LimitTier, int]) -> dict[str, dict[str, WrittenRate]]:
    """By limit and tier; a tier that nobody came in keeps what it has. Limits that nobody met are left out."""
    found: dict[str, dict[str, WrittenRate]] = {}
    for name, limit in policy.limits.items():
        if limit.kind not in MEASURED or limit.tokens or not any(key[0] == name for key in uses):
            continue
        found[name] = {
            tier: WrittenRate(
                round_up(uses[name, tier]) if (name, tier) in uses else rate.capacity // MILLI,
                rate.window_ms,
                rate.period,
            )
            for tier, rate in limit.rates.items()
        }
    return found


def rates_text(rates: Mapping[str, WrittenRate]) -> str:
    """As a value in a policy: one for all, or a map by tier."""
    texts = {tier: rate_text(rate) for tier, rate in rates.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "{" + ", ".join(f"{quoted(tier)}: {text}" for tier, text in texts.items()) + "}"
