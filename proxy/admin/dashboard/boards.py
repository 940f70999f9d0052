"""The dashboard's tables, from what was counted within the last minutes: refusals, limits, routes, upstreams, listed
tenants. Pure.

Each is bounded; what is left out is counted in ``more``. Names come from the policy, from tokens and from enums: the
page puts them in as text.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final

from proxy.admin.dashboard.figures import DECLINED, Ended, Figures, by, of
from proxy.admin.dashboard.history import Window, hit_ratio
from proxy.admin.dashboard.quantiles import in_ms, quantile
from proxy.core.errors import ERRORS, Fault, Reason
from proxy.policy.model import Policy
from proxy.telemetry.metrics import DURATION, UPSTREAM_DURATION

MOST_ROWS: Final = 100
MOST_REASONS: Final = 20
FAILING: Final = 0.05  # of an upstream's requests

Row = dict[str, Any]
_TITLES: Final = {reason.value: error.title for reason, error in ERRORS.items()}


class Health(StrEnum):
    """Of an upstream, by what its requests came to within the window."""

    QUIET = "quiet"  # nobody asked
    HEALTHY = "healthy"
    FAILING = "failing"  # FAILING of its requests or more
    DOWN = "down"  # all of them


def health(asked: float, failed: float) -> Health:
    if asked <= 0:
        return Health.QUIET
    if failed >= asked:
        return Health.DOWN
    return Health.FAILING if failed >= FAILING * asked else Health.HEALTHY


def boards(policy: Policy, window: Window, whole: Figures) -> dict[str, Any]:
    """JSON's maps by section. ``whole``: since the gateway began."""
    return {
        "refusals": refusals(window),
        "limits": limits(policy, window),
        "routes": routes(policy, window, whole),
        "upstreams": upstreams(policy, window),
        "listed": listed(window, whole),
    }


def refusals(window: Window) -> dict[str, Any]:
    """Answers that the gateway made itself, by reason: refused by the policy, or failed."""
    rows = [
        {
            "reason": reason,
            "title": _TITLES.get(reason, reason),
            "kind": Ended.REFUSED if fault == Fault.CLIENT or reason in DECLINED else Ended.FAILED,
            "fault": fault,
            "count": int(count),
            "per_s": window.per_s(count),
        }
        for (kind, fault, reason), count in _of_kind(window.counted, "reason")
        if kind and reason != Reason.CLIENT_GONE
    ]
    return _bounded(rows, lambda row: (-row["count"], row["reason"]), MOST_REASONS)


def limits(policy: Policy, window: Window) -> dict[str, Any]:
    """Each limit that decided anything, and budgets that refused."""
    rows: list[Row] = []
    for name, decided in of(window.counted, "limit", policy.limits).items():
        refused = decided.get("refused", 0.0) + decided.get("remembered", 0.0)
        shadow = decided.get("shadow_refused", 0.0)
        admitted = decided.get("admitted", 0.0)
        if admitted or refused or shadow:
            rows.append({"limit": name, "admitted": int(admitted), "refused": int(refused), "shadow": int(shadow)})
    for name, refused in by(window.counted, "budget").items():
        rows.append({"limit": f"budget {name}", "admitted": None, "refused": int(refused), "shadow": 0})
    return _bounded(rows, lambda row: (-row["refused"], -row["shadow"], row["limit"]), MOST_REASONS)


def routes(policy: Policy, window: Window, whole: Figures) -> dict[str, Any]:
    """Those of the policy, the busiest first, and what no route takes. Hit ratios also since the gateway began."""
    names = [*(route.name for route in policy.routes), "none"]
    ends, took = of(window.counted, "ended", names), of(window.counted, "took", names)
    lately, ever = of(window.counted, "cache", names), of(whole, "cache", names)
    rows: list[Row] = []
    for name in names:
        count = sum(ends[name].values())
        if not count and name == "none":
            continue
        rows.append(
            {
                "route": name,
                "per_s": window.per_s(count),
                "count": int(count),
                "refused": _share(ends[name].get(Ended.REFUSED, 0.0), count),
                "failed": _share(ends[name].get(Ended.FAILED, 0.0) + ends[name].get(Ended.ERRORED, 0.0), count),
                "p50_ms": in_ms(quantile(0.5, DURATION.buckets, took[name])),
                "p95_ms": in_ms(quantile(0.95, DURATION.buckets, took[name])),
                "caches": bool(ever[name]),
                "hit_ratio": hit_ratio(lately[name]),
                "hit_ratio_ever": hit_ratio(ever[name]),
            }
        )
    return _bounded(rows, lambda row: -row["count"], MOST_ROWS)


def upstreams(policy: Policy, window: Window) -> dict[str, Any]:
    """Failed are requests that it did not answer, and those of its routes that it answered with 5xx."""
    names = list(policy.upstreams)
    route_of: dict[str, list[str]] = {name: [] for name in names}
    for route in policy.routes:
        route_of.setdefault(route.upstream, []).append(route.name)
    ends = of(window.counted, "ended", (route.name for route in policy.routes))
    answered, retried = of(window.counted, "upstream", names), by(window.counted, "retried")
    unanswered = by(window.counted, "unanswered")
    rows: list[Row] = []
    for name in names:
        missing = unanswered.get(name, 0.0)
        failed = missing + sum(ends[route].get(Ended.ERRORED, 0.0) for route in route_of[name])
        asked = max(sum(answered[name].values()), failed)  # a failure is counted before its request has ended
        rows.append(
            {
                "upstream": name,
                "health": health(asked, failed),
                "addresses": [origin.authority for origin in policy.upstreams[name].primary][:8],
                "per_s": window.per_s(asked),
                "failed": _share(failed, asked),
                "failures": int(failed),
                "retries": int(retried.get(name, 0.0)),
                "p50_ms": in_ms(quantile(0.5, UPSTREAM_DURATION.buckets, answered[name])),
                "p95_ms": in_ms(quantile(0.95, UPSTREAM_DURATION.buckets, answered[name])),
            }
        )
    return _bounded(rows, lambda row: (-row["failures"], -row["per_s"], row["upstream"]), MOST_ROWS)


def listed(window: Window, whole: Figures) -> dict[str, Any]:
    """Tenants that the policy lists, and all others as one; no row where it lists none."""
    names = sorted(by(whole, "tenant"))
    lately, ever = of(window.counted, "tenant", names), of(whole, "tenant", names)
    rows = [
        {
            "tenant": name,
            "per_s": window.per_s(sum(lately[name].values())),
            "count": int(sum(lately[name].values())),
            "refused": int(lately[name].get("refused", 0.0)),
            "ever": int(sum(ever[name].values())),
        }
        for name in names
    ]
    return _bounded(rows, lambda row: (-row["count"], -row["ever"], row["tenant"]), MOST_ROWS)


def _of_kind(counted: Figures, kind: str) -> Iterable[tuple[tuple[str, ...], float]]:
    return ((key, value) for key, value in counted.items() if key[0] == kind)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole > 0 else None


def _bounded(rows: list[Row], key: Callable[[Row], Any], most: int) -> dict[str, Any]:
    rows.sort(key=key)
    return {"rows": rows[:most], "more": max(0, len(rows) - most)}
