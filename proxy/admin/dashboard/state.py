"""What state a gateway is in, from its gauges and what its parent knows: is it serving, by which policy, with how many
workers, and what of Redis, the ledger and the cache. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proxy.admin.dashboard.figures import by
from proxy.admin.dashboard.history import Window
from proxy.admin.dashboard.quantiles import in_ms, quantile
from proxy.policy.model import Policy
from proxy.telemetry.metrics import (
    ALERTS_WAIT,
    BREAKER,
    BUDGETS_CLOSED,
    CACHE_BYTES,
    CACHE_CURRENT,
    CACHE_ENTRIES,
    CERTIFICATE_EXPIRY,
    CONNECTIONS,
    IN_FLIGHT,
    ISOLATION,
    LEDGER_DEAD,
    LEDGER_LAG,
    OUTBOX_DEPTH,
    SERVICE_INCIDENTS,
    STORE_ANSWERED,
    STORE_DURATION,
    STORE_MEMORY,
    STORE_MEMORY_MAX,
    WORKER_RESTARTS,
    Family,
)
from proxy.telemetry.sheet import SeriesKey

BEHIND_S: Final = 60.0  # the ledger's lag from which on it is worth a word
SILENT_S: Final = 15.0  # the gateway asks its Redis every ten seconds, and waits for two
MOST_PROBLEMS: Final = 10

_FIRING: Final = SERVICE_INCIDENTS.name

Totals = Mapping[SeriesKey, float]


class Phase(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    MAINTENANCE = "maintenance"
    DRAINING = "draining"


class Part(StrEnum):
    """How something that the gateway leans on is."""

    FINE = "fine"
    BEHIND = "behind"
    AWAY = "away"
    UNKNOWN = "unknown"  # nobody has asked it yet
    NONE = "none"  # the policy has none


@dataclass(frozen=True, slots=True)
class Parent:
    """What the counts do not say."""

    version: str
    ready: bool
    draining: bool
    workers: int
    ready_workers: int
    reload_problems: Sequence[str]
    changes: bool  # whether there is a token, so that anything can be changed


def phase(parent: Parent, policy: Policy) -> Phase:
    if parent.draining:
        return Phase.DRAINING
    if not parent.ready:
        return Phase.STARTING
    return Phase.SERVING if policy.maintenance is None else Phase.MAINTENANCE


def state(parent: Parent, policy: Policy, totals: Totals, window: Window, now_ms: int) -> dict[str, Any]:
    """JSON's map. ``now_ms``: epoch."""
    return {
        "phase": phase(parent, policy),
        "version": parent.version,
        "policy": policy.version,
        "changes": parent.changes,
        "reload_problems": list(parent.reload_problems[:MOST_PROBLEMS]),
        "workers": {
            "ready": parent.ready_workers,
            "all": parent.workers,
            "restarts": int(total(totals, WORKER_RESTARTS)),
        },
        "connections": int(total(totals, CONNECTIONS)),
        "redis": _redis(totals, window, now_ms),
        "ledger": _ledger(policy, totals),
        "cache": {
            "bytes": int(total(totals, CACHE_BYTES)),
            "most_bytes": policy.caches.memory * parent.ready_workers,
            "entries": int(total(totals, CACHE_ENTRIES)),
            "hear_of_purges": int(total(totals, CACHE_CURRENT)),
        },
        "isolation": int(total(totals, ISOLATION)),
        "certificate_ends_s": _soonest(totals),
        "incidents": sorted(labels[0] for (name, labels), value in totals.items() if name == _FIRING and value > 0),
    }


def in_flight(totals: Totals) -> int:
    return max(0, int(total(totals, IN_FLIGHT)))


def total(totals: Totals, family: Family) -> float:
    """Over all its series."""
    return sum(value for (name, _), value in totals.items() if name == family.name)


def _redis(totals: Totals, window: Window, now_ms: int) -> dict[str, Any]:
    """Workers notice that it is away when somebody asks them for something; else it is known from the gateway's own
    questions, as of ``answered_s``: 0 where there was no answer yet."""
    open_breakers = int(total(totals, BREAKER))
    waited = by(window.counted, "redis")
    answered = {labels[0]: at_s for (name, labels), at_s in totals.items() if name == STORE_ANSWERED.name}
    at_s = answered.get("meters")
    silent = at_s is not None and now_ms / 1000 - at_s > SILENT_S
    return {
        "is": Part.AWAY if open_breakers or silent else Part.UNKNOWN if at_s is None else Part.FINE,
        "breakers_open": open_breakers,
        "answered_s": at_s,
        "caches_answered_s": answered.get("cache"),
        "p95_ms": in_ms(quantile(0.95, STORE_DURATION.buckets, waited)),
        "decided_without": int(sum(by(window.counted, "without_redis").values())),
        "memory": [
            {"store": labels[0], "used": int(used), "most": int(totals.get((STORE_MEMORY_MAX.name, labels), 0.0))}
            for (name, labels), used in sorted(totals.items())
            if name == STORE_MEMORY.name and not math.isnan(used)
        ],
    }


def _ledger(policy: Policy, totals: Totals) -> dict[str, Any]:
    if policy.ledger is None:
        return {"is": Part.NONE}
    lag_s, closed = total(totals, LEDGER_LAG), int(total(totals, BUDGETS_CLOSED))
    return {
        "is": Part.AWAY if closed else Part.BEHIND if lag_s >= BEHIND_S else Part.FINE,
        "waiting": int(total(totals, OUTBOX_DEPTH)),
        "lag_s": round(lag_s, 1),
        "dead": int(total(totals, LEDGER_DEAD)),
        "budgets_closed": closed,
        "alert_waits_s": round(max((v for (n, _), v in totals.items() if n == ALERTS_WAIT.name), default=0.0)),
    }


def _soonest(totals: Totals) -> float | None:
    """When the first certificate ends, in seconds since 1970."""
    return min((v for (n, _), v in totals.items() if n == CERTIFICATE_EXPIRY.name and not math.isnan(v)), default=None)
