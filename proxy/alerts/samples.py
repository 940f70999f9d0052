"""From all counts of a gateway to what is watched: by upstream, by route, and of the whole. Pure.

Shares and means are those of ``deploy/prometheus/recording.yml``, but that answers which broke off count as failed,
too. What clients brought on themselves (an HTTP version, an upgrade, a cache that must not be passed by) does not, or
any of them could raise an alarm; and in maintenance nothing fails.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.alerts.windows import Tally, summed
from proxy.core.errors import Fault, Reason
from proxy.policy.service import Kind, Rule
from proxy.telemetry.metrics import (
    BACKGROUND_RESTARTS,
    BREAKER,
    CERTIFICATE_EXPIRY,
    DURATION,
    ISOLATION,
    LEDGER_LAG,
    REFUSALS,
    RELOAD_OK,
    REQUESTS,
    SUM,
    UPSTREAM_DURATION,
    UPSTREAM_FAILURES,
    WORKER_RESTARTS,
)
from proxy.telemetry.sheet import SeriesKey

WHOLE: Final = ""  # the name of what is no single route
_FAILED: Final = "failed"
_CUT: Final = "cut"
_REFUSED: Final = "refused"
_UPSTREAM: Final = frozenset({UPSTREAM_DURATION.name, UPSTREAM_FAILURES.name, REQUESTS.name})


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about: the whole (``name`` is empty), a route, an upstream, a certificate."""

    kind: Kind
    name: str = WHOLE


@dataclass(frozen=True, slots=True)
class Watched:
    """What a policy has to do with it. ``routes``: each one's upstream; ``providers``: those routes that lead to one,
    and take as long as a model writes. ``ledger``: whether there is one, whose keeper tells of isolation."""

    rules: Mapping[Kind, Rule]
    routes: Mapping[str, str]
    providers: frozenset[str] = frozenset()
    ledger: bool = False
    maintenance: bool = False

    def leading_to(self, upstream: str) -> set[str]:
        return {route for route, to in self.routes.items() if to == upstream}


def goes_on(subject: Subject, before: Watched, after: Watched) -> bool:
    """Whether by both the same is counted of it, and judged by the same rule: then what was counted goes on counting.
    The whole is all requests, whichever routes there are; but of latency only those that the rule is about."""
    kind, name = subject.kind, subject.name
    if before.rules.get(kind) != after.rules.get(kind):
        return False
    if kind is Kind.UPSTREAM:
        return before.leading_to(name) == after.leading_to(name)
    if name == WHOLE and kind is Kind.LATENCY:
        return (before.routes.keys(), before.providers) == (after.routes.keys(), after.providers)
    return name == WHOLE or kind is Kind.ISOLATION or before.routes.get(name) == after.routes.get(name)


Sample = Tally | float
Totals = Mapping[SeriesKey, float]


def sampled(totals: Totals, watched: Watched, now_s: float) -> dict[Subject, Sample]:
    """What is counted by now, and what is, of everything that the rules are about. ``now_s`` since 1970."""
    counts = _Counts(totals)
    found: dict[Subject, Sample] = {}
    for kind in Kind:
        rule = watched.rules.get(kind)
        if rule is not None:
            found |= {Subject(kind, name): sample for name, sample in _SAMPLED[kind](counts, watched, rule, now_s)}
    return found


class _Counts:
    """All series by their metric."""

    def __init__(self, totals: Totals) -> None:
        self.by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for (name, labels), value in totals.items():
            self.by_name.setdefault(name, []).append((labels, value))

    def of(self, name: str) -> Iterable[tuple[tuple[str, ...], float]]:
        return self.by_name.get(name, ())

    def sum(self, name: str) -> float:
        return sum(value for _, value in self.of(name))


_Samples = Iterable[tuple[str, Sample]]


def _errors(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    if watched.maintenance:
        return
    totals = dict.fromkeys(watched.routes, 0.0)  # and of all others: the whole does not jump when a route comes back
    failed = dict(totals)
    for (route, _, status, outcome), value in counts.of(REQUESTS.name):
        is_failed = outcome == _CUT or (status[0] == "5" and outcome != _REFUSED)
        totals[route] = totals.get(route, 0.0) + value
        failed[route] = failed.get(route, 0.0) + (value if is_failed else 0.0)
    routes = {name: Tally(totals[name], failed[name], failed[name]) for name in totals}
    yield WHOLE, summed(routes)
    for name in watched.routes:
        yield name, routes[name]


def _latency(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    """Bad are those that took longer than the first bound, as exactly as the histogram's buckets say."""
    names = [name for name in watched.routes if name not in rule.leave_out and name not in watched.providers]
    edge = bisect_right(DURATION.buckets, min(bound.limit for bound in rule.bounds))
    slow = frozenset(repr(bound) for bound in (*DURATION.buckets[edge:], math.inf))
    total, bad = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for (route, bucket), value in counts.of(DURATION.name):
        if route in total:
            total[route] += value
            bad[route] += value if bucket in slow else 0.0
    seconds = {labels[0]: value for labels, value in counts.of(DURATION.name + SUM)}
    routes = {name: Tally(total[name], seconds.get(name, 0.0), bad[name]) for name in names}
    yield WHOLE, summed(routes)
    yield from routes.items()


def _available(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    parts = {
        reason: value
        for (fault, reason), value in counts.of(REFUSALS.name)
        if fault != Fault.CLIENT and reason != Reason.MAINTENANCE
    }
    failed = sum(parts.values())
    yield WHOLE, Tally(counts.sum(REQUESTS.name), failed, failed, parts)


def _upstreams(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    asked: dict[str, float] = dict.fromkeys(watched.routes.values(), 0.0)
    reasons: dict[str, dict[str, float]] = {name: {} for name in asked}
    for labels, value in counts.of(UPSTREAM_DURATION.name):
        if labels[0] in asked:
            asked[labels[0]] += value
    for (name, reason), value in counts.of(UPSTREAM_FAILURES.name):
        if name in asked:
            reasons[name][reason] = value
    for (route, _, _, outcome), value in counts.of(REQUESTS.name):
        upstream = watched.routes.get(route)
        if outcome == _CUT and upstream is not None:
            reasons[upstream][_CUT] = reasons[upstream].get(_CUT, 0.0) + value
    for name, total in asked.items():
        failed = sum(reasons[name].values())
        yield name, Tally(total, failed, failed, reasons[name])


def _isolation(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    if not watched.ledger:
        found = {labels[0]: value for labels, value in counts.of(ISOLATION.name)}
        for name in watched.routes:
            value = found.get(name, 0.0)
            yield name, Tally(value, value, value)


def _redis(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    yield WHOLE, counts.sum(BREAKER.name)


def _workers(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    parts = {
        f"{who} {labels[0]}": value
        for who, family in (("worker", WORKER_RESTARTS), ("background process", BACKGROUND_RESTARTS))
        for labels, value in counts.of(family.name)
    }
    total = sum(parts.values())
    yield WHOLE, Tally(total, total, total, parts)


def _ledger(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    if watched.ledger:
        yield WHOLE, counts.sum(LEDGER_LAG.name)


def _certificates(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    for (kind, name, address), ends_s in counts.of(CERTIFICATE_EXPIRY.name):
        if not math.isnan(ends_s):
            yield f"{kind} {name} ({address})", ends_s - now_s


def _reload(counts: _Counts, watched: Watched, rule: Rule, now_s: float) -> _Samples:
    yield WHOLE, 1.0 - min(1.0, counts.sum(RELOAD_OK.name))


_SAMPLED: Final = {
    Kind.UPSTREAM: _upstreams,
    Kind.REDIS: _redis,
    Kind.WORKERS: _workers,
    Kind.ERROR_RATE: _errors,
    Kind.AVAILABILITY: _available,
    Kind.LATENCY: _latency,
    Kind.ISOLATION: _isolation,
    Kind.LEDGER: _ledger,
    Kind.CERTIFICATE: _certificates,
    Kind.RELOAD: _reload,
}
