"""Which routes are slow, and where their time goes: from the same counts that Prometheus scrapes. Pure.

A quantile is the upper bound of the bucket that it falls into; None beyond the last one.
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.telemetry.metrics import DURATION, SERVER_TIMING, SUM, Family
from proxy.telemetry.sheet import SeriesKey

QUANTILE: Final = 0.95


def slow_routes(totals: Mapping[SeriesKey, float]) -> list[dict[str, Any]]:
    """Slowest first, by the 95th percentile and then by the mean; since the gateway began."""
    parts: dict[str, dict[str, Any]] = {}
    for (route, name), told in _histograms(totals, SERVER_TIMING).items():
        parts.setdefault(route, {})[name] = told
    routes = [
        {"route": route, **told, "server_timing": dict(sorted(parts.get(route, {}).items()))}
        for (route,), told in _histograms(totals, DURATION).items()
    ]
    return sorted(routes, key=_slowness, reverse=True)


def _slowness(told: dict[str, Any]) -> tuple[float, float]:
    p95 = told["p95_s"]
    return (float("inf") if p95 is None else p95, told["mean_s"])


def _histograms(totals: Mapping[SeriesKey, float], family: Family) -> dict[tuple[str, ...], dict[str, Any]]:
    """By the family's labels."""
    counts: dict[tuple[str, ...], dict[str, float]] = {}
    for (name, labels), value in totals.items():
        if name == family.name:
            counts.setdefault(labels[:-1], {})[labels[-1]] = value
    return {
        labels: _told(family, by_bound, totals.get((family.name + SUM, labels), 0.0))
        for labels, by_bound in counts.items()
        if sum(by_bound.values())
    }


def _told(family: Family, by_bound: Mapping[str, float], total_s: float) -> dict[str, Any]:
    count, running, p95 = sum(by_bound.values()), 0.0, None
    for bound in family.buckets:
        running += by_bound.get(repr(bound), 0.0)
        if running >= QUANTILE * count:
            p95 = bound
            break
    return {"count": int(count), "mean_s": round(total_s / count, 6), "p95_s": p95}
