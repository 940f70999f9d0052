"""When something is told, and when it is over: one incident from its first sign to its end. Pure: callers pass now_ms.

Told is the worst level that has lasted for as long as its bound asks; told again only if it gets worse, or as a
reminder where the policy wants one. It is over once everything has been calm for a while, and only what was told can be
over: whoever heard of a beginning hears of its end, and of nothing in between that is no news.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from proxy.policy.service import Rule
from proxy.policy.spending import Level

Post = tuple[str, str]  # a channel, and a recipient of it

_RANK: Final = {level: rank for rank, level in enumerate((Level.WARNING, Level.CRITICAL))}


class News(StrEnum):
    FIRED = "fired"
    RAISED = "raised"  # to a worse level
    REMINDED = "reminded"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Reading:
    """``level``: of the worst bound that is broken now. ``calm``: none is, not even lately; between the two what was
    told stays as it is. ``current`` over the bound's time and ``lately`` are compared with ``limit``."""

    level: Level | None
    calm: bool
    current: float = 0.0
    lately: float | None = None
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class Incident:
    """Instants in epoch milliseconds. ``level``: as told, None: nobody was told yet. ``broken``: since when each level
    has been; ``calm_ms``: since when all has been calm. ``heard``: everyone who was told of it."""

    since_ms: int
    level: Level | None = None
    told_ms: int = 0
    calm_ms: int | None = None
    broken: Mapping[Level, int] = field(default_factory=dict)
    heard: tuple[Post, ...] = ()


def step(
    incident: Incident | None,
    reading: Reading,
    rule: Rule,
    repeat_ms: int | None,
    now_ms: int,
    *,
    muted: bool = False,
    patience_ms: int = 0,
) -> tuple[Incident | None, News | None]:
    """What becomes of an incident, or begins, and what is to be told. ``muted``: something else that is told of now
    explains it: of this only the end is told, if its beginning was. ``patience_ms``: how long it has to last at least,
    so that what may explain it is told first."""
    if incident is None:
        if reading.level is None:
            return None, None
        incident = Incident(now_ms)
    broken = _broken(incident.broken, reading.level, now_ms)
    due = None if muted or now_ms - incident.since_ms < patience_ms else _due(rule, broken, now_ms)
    if incident.level is None:
        if due is not None:
            return replace(incident, level=due, told_ms=now_ms, broken=broken), News.FIRED
        return (replace(incident, broken=broken) if broken else None), None
    if due is not None and _RANK[due] > _RANK[incident.level]:
        return replace(incident, level=due, told_ms=now_ms, calm_ms=None, broken=broken), News.RAISED
    calm_ms = None if not reading.calm else now_ms if incident.calm_ms is None else min(incident.calm_ms, now_ms)
    if calm_ms is not None and now_ms - calm_ms >= rule.calm_ms:
        return None, News.RESOLVED
    incident = replace(incident, calm_ms=calm_ms, broken=broken)
    if repeat_ms is not None and not muted and reading.level is not None and now_ms - incident.told_ms >= repeat_ms:
        return replace(incident, told_ms=now_ms), News.REMINDED
    return incident, None


def _broken(before: Mapping[Level, int], level: Level | None, now_ms: int) -> dict[Level, int]:
    """A level is broken with every worse one."""
    if level is None:
        return {}
    return {one: min(before.get(one, now_ms), now_ms) for one in _RANK if _RANK[one] <= _RANK[level]}


def _due(rule: Rule, broken: Mapping[Level, int], now_ms: int) -> Level | None:
    lasted = [
        bound.level for bound in rule.bounds if bound.level in broken and now_ms - broken[bound.level] >= bound.for_ms
    ]
    return max(lasted, key=_RANK.__getitem__, default=None)
