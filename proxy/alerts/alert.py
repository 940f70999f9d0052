"""One alert: what makes it the same alert wherever and whenever it is found again, and what receivers get of it. Pure.

A mark is what fires once, ever: a threshold of a capacity, of one meter in one period. Its id is made from that alone,
so that receivers know a repetition when they see one, even if it comes from another gateway.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import orjson

from proxy.core.units import dollars
from proxy.policy.spending import Level

TYPE: Final = "cost_alert"
ISOLATION_TYPE: Final = "isolation_alert"
# Thresholds of marks that are no percentage.
FORECAST: Final = 0
UNUSUAL: Final = -1
ISOLATION: Final = -2
REFUSED: Final = -3


class Cause(StrEnum):
    THRESHOLD = "threshold"
    REFUSED = "refused"  # nothing fits any more, although less than all may be spent
    FORECAST = "forecast"
    UNUSUAL = "unusual"  # an hour
    ISOLATION = "isolation"  # an answer named another tenant than the one it was for


@dataclass(frozen=True, slots=True)
class Mark:
    """``capacity`` in nano-dollars, ``threshold`` in percent of it."""

    meter: str
    period: str
    capacity: int
    threshold: int

    @property
    def id(self) -> str:
        data = orjson.dumps([self.meter, self.period, self.capacity, self.threshold])
        return "alert-" + hashlib.sha256(data).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Alert:
    """Money in nano-dollars, instants in epoch milliseconds. ``resets_ms``: when the budget's period ends, 0 for an
    hour's; ``expected_ms``: when a forecast expects the budget to be used up. ``route``: of one that is not of money,
    and has no amounts."""

    mark: Mark
    cause: Cause
    level: Level
    message: str
    current: int
    limit: int
    budget: str
    scope: str
    period: str
    tenant: str | None
    user: str | None
    at_ms: int
    resets_ms: int = 0
    expected_ms: int = 0
    route: str = ""

    def payload(self) -> str:
        """JSON, as webhooks get it: dollars are decimal strings, exact; instants RFC 3339."""
        of_money = not self.route
        content = {
            "id": self.mark.id,
            "type": TYPE if of_money else ISOLATION_TYPE,
            "cause": self.cause,
            "level": self.level,
            "message": self.message,
            "current": decimal(self.current) if of_money else None,
            "limit": decimal(self.limit) if of_money else None,
            "percent": percent(self.current, self.limit) if of_money else None,
            "budget": self.budget,
            "scope": self.scope,
            "period": self.period,
            "resets_at": timestamp(self.resets_ms) if self.resets_ms else None,
            "expected_at": timestamp(self.expected_ms) if self.expected_ms else None,
            "tenant": _sound(self.tenant),
            "user": _sound(self.user),
            "at": timestamp(self.at_ms),
        }
        if not of_money:
            content["route"] = self.route
        return orjson.dumps(content).decode()


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert and who hears of it: (channel, recipient), the second "" unless the channel has several."""

    alert: Alert
    posts: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        return self.alert.mark.id

    @property
    def meter(self) -> str:
        return self.alert.mark.meter

    @property
    def period(self) -> str:
        return self.alert.mark.period

    @property
    def capacity(self) -> int:
        return self.alert.mark.capacity

    @property
    def threshold(self) -> int:
        return self.alert.mark.threshold

    @property
    def payload(self) -> str:
        return self.alert.payload()


def _sound(word: str | None) -> str | None:
    """A token may hold half a character, and JSON may not."""
    return word and word.encode("utf-8", "replace").decode()


def decimal(nanousd: int) -> str:
    """Dollars, exact, as machines read them: 1_160_000_000_000 → ``1160.00``."""
    return dollars(nanousd)


def percent(current: int, limit: int) -> float:
    """Down to a tenth, so that 100 is never said of less. A limit of nothing is used up."""
    return current * 1000 // limit / 10 if limit > 0 else 100.0


def timestamp(ms: int) -> str:
    """``2026-11-23T15:40:00Z``"""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
