"""All counts of a gateway, brought down to those that the dashboard shows, so that some dozens of them can be kept and
subtracted from one another. Pure.

A figure's key is its kind and what it is of: ``("ended", route, "failed")``. What is summed over (tiers, statuses, why
something was no hit) is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

from proxy.core.errors import ERRORS, Fault, Reason
from proxy.gateway.exchange import Outcome
from proxy.telemetry.metrics import (
    AI_SPEND,
    BUDGET_REFUSALS,
    CACHE_REQUESTS,
    DECISIONS,
    DURATION,
    REFUSALS,
    REQUESTS,
    STORE_AWAY,
    STORE_DURATION,
    TENANT_REQUESTS,
    UPSTREAM_DURATION,
    UPSTREAM_FAILURES,
    UPSTREAM_RETRIES,
)
from proxy.telemetry.sheet import SeriesKey

Key = tuple[str, ...]
Figures = dict[Key, float]


class Ended(StrEnum):
    """How a request ended, as the dashboard tells them apart."""

    SERVED = "served"
    REFUSED = "refused"
    ERRORED = "errored"  # the app answered 5xx
    FAILED = "failed"


# A 5xx without being a failure of ours: what a client brought on itself, or ops have switched on.
DECLINED: Final = frozenset(
    reason.value
    for reason, error in ERRORS.items()
    if error.status >= 500 and (error.fault is Fault.CLIENT or reason is Reason.MAINTENANCE)
)


def ended(status: str, outcome: str) -> Ended:
    if outcome == Outcome.REFUSED:
        return Ended.REFUSED
    if outcome in (Outcome.FAILED, Outcome.CUT):
        return Ended.FAILED
    return Ended.ERRORED if status >= "500" else Ended.SERVED


_READ: Final[dict[str, Callable[[tuple[str, ...]], Key]]] = {
    REQUESTS.name: lambda labels: ("ended", labels[0], ended(labels[2], labels[3])),
    DURATION.name: lambda labels: ("took", labels[0], labels[1]),
    REFUSALS.name: lambda labels: ("reason", labels[0], labels[1]),
    DECISIONS.name: lambda labels: ("limit", labels[0], labels[1]),
    BUDGET_REFUSALS.name: lambda labels: ("budget", labels[0]),
    STORE_DURATION.name: lambda labels: ("redis", labels[0]),
    STORE_AWAY.name: lambda labels: ("without_redis", labels[0]),
    UPSTREAM_DURATION.name: lambda labels: ("upstream", labels[0], labels[1]),
    UPSTREAM_FAILURES.name: lambda labels: ("unanswered", labels[0]),
    UPSTREAM_RETRIES.name: lambda labels: ("retried", labels[0]),
    CACHE_REQUESTS.name: lambda labels: ("cache", labels[0], labels[2]),
    AI_SPEND.name: lambda labels: ("spend", labels[1]),
    TENANT_REQUESTS.name: lambda labels: ("tenant", labels[0], labels[1]),
}


def figures(totals: Mapping[SeriesKey, float]) -> Figures:
    """What was counted since the gateway began."""
    found: Figures = {}
    for (name, labels), value in totals.items():
        read = _READ.get(name)
        if read is not None:
            key = read(labels)
            found[key] = found.get(key, 0.0) + value
    return found


def since(now: Figures, before: Figures) -> Figures:
    """What was counted between; only what was. A count never falls but where a worker dies while it is read."""
    return {key: more for key, value in now.items() if (more := value - before.get(key, 0.0)) > 0}


def by(counted: Figures, kind: str, place: int = 1) -> dict[str, float]:
    """Of one kind, summed by one part of the key."""
    found: dict[str, float] = {}
    for key, value in counted.items():
        if key[0] == kind:
            found[key[place]] = found.get(key[place], 0.0) + value
    return found


def of(counted: Figures, kind: str, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Of one kind, by name and then by the last part of the key; each name is there."""
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for key, value in counted.items():
        if key[0] == kind and key[1] in found:
            found[key[1]][key[-1]] = value
    return found
