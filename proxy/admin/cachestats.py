"""What the cache has done, from the metrics that the parent sums over its workers. Pure.

Counts are since the gateway started. The hit ratio is of the requests that were eligible: hits, stale, revalidated and
coalesced answers among all that were not bypassed.
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.gateway.exchange import CacheResult
from proxy.policy.model import Policy, Route
from proxy.telemetry.metrics import (
    CACHE_BYTES,
    CACHE_BYTES_SERVED,
    CACHE_CURRENT,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_PAUSED,
    CACHE_PURGES,
    CACHE_REQUESTS,
    CACHE_STORES,
    ISOLATION,
    Family,
)
from proxy.telemetry.sheet import SeriesKey

DEFINITION: Final = "(hits + stale + revalidated + coalesced) / (requests - bypassed)"
STORED: Final = "stored"  # among the reasons why an answer was not

_SERVED: Final = {
    "hits": CacheResult.HIT,
    "stale": CacheResult.STALE,
    "revalidated": CacheResult.REVALIDATED,
    "coalesced": CacheResult.COALESCED,
}
_UNSERVED: Final = {"misses": CacheResult.MISS, "bypassed": CacheResult.BYPASS}


def stats(policy: Policy, totals: Mapping[SeriesKey, float], ready_workers: int) -> dict[str, Any]:
    """JSON's map. Routes in the policy's order, then those of earlier policies."""
    scopes = {route.name: scope for route in policy.routes if (scope := scope_of(route)) is not None}
    counted = {labels[0] for name, labels in totals if name in (CACHE_REQUESTS.name, CACHE_STORES.name)}
    names = [*scopes, *sorted(counted - scopes.keys())]
    current = int(_sum(totals, CACHE_CURRENT))
    return {
        "hit_ratio_is": DEFINITION,
        "routes": [{"route": name, "scope": scopes.get(name), **_of(totals, name)} for name in names],
        "all": _of(totals, None),
        "memory": {
            "bytes": int(_sum(totals, CACHE_BYTES)),
            "most_bytes": policy.caches.memory * ready_workers,
            "entries": int(_sum(totals, CACHE_ENTRIES)),
            "evicted": int(_sum(totals, CACHE_EVICTIONS)),
        },
        "purges": {
            "by_writes": int(_sum(totals, CACHE_PURGES, "write")),
            "by_admin_api": int(_sum(totals, CACHE_PURGES, "ops")),
        },
        "workers": {
            "ready": ready_workers,
            "hear_of_purges": current,
            "all_hear_of_purges": current >= ready_workers > 0,
            "store_nothing_in_redis": int(_sum(totals, CACHE_PAUSED)),
        },
        "isolation_violations": _by(totals, ISOLATION, 0),
    }


def scope_of(route: Route) -> str | None:
    """Of what the route stores; None: it stores nothing."""
    if route.caching is not None:
        return route.caching.scope.value
    if route.spending is not None and route.spending.answers is not None:
        return route.spending.answers.scope.value
    return None


def _of(totals: Mapping[SeriesKey, float], route: str | None) -> dict[str, Any]:
    """Of one route, or of all."""
    labels = () if route is None else (route,)
    by_result = _by(totals, CACHE_REQUESTS, 2, *labels)
    requests, bypassed = sum(by_result.values()), by_result.get(CacheResult.BYPASS, 0)
    served = {name: by_result.get(result, 0) for name, result in _SERVED.items()}
    eligible = requests - bypassed
    answers = _by(totals, CACHE_STORES, 1, *labels)
    return {
        "requests": requests,
        **served,
        **{
            name: {"all": by_result.get(result, 0), "why": _why(totals, result, *labels)}
            for name, result in _UNSERVED.items()
        },
        "hit_ratio": round(sum(served.values()) / eligible, 4) if eligible else None,
        "stored": answers.pop(STORED, 0),
        "not_stored": {"all": sum(answers.values()), "why": answers},
        "served_bytes": int(_sum(totals, CACHE_BYTES_SERVED, *labels)),
    }


def _why(totals: Mapping[SeriesKey, float], result: CacheResult, *route: str) -> dict[str, int]:
    place = CACHE_REQUESTS.labels.index("result")
    of_result = {
        key: value for key, value in totals.items() if key[0] == CACHE_REQUESTS.name and key[1][place] == result
    }
    return _by(of_result, CACHE_REQUESTS, 3, *route)


def _sum(totals: Mapping[SeriesKey, float], family: Family, *first: str) -> float:
    """Over all series whose labels begin so."""
    return sum(
        value for (name, labels), value in totals.items() if name == family.name and labels[: len(first)] == first
    )


def _by(totals: Mapping[SeriesKey, float], family: Family, place: int, *first: str) -> dict[str, int]:
    """Sums by one label, of series whose labels begin so; largest first."""
    found: dict[str, int] = {}
    for (name, labels), value in totals.items():
        if name == family.name and labels[: len(first)] == first and value:
            found[labels[place]] = found.get(labels[place], 0) + int(value)
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
