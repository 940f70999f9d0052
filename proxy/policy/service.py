"""What is watched of the service itself, as compiled: from which value on, over how long, and who hears. Data.

Durations are milliseconds, shares parts of one, latencies and ages seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.policy.spending import Level

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000


class Kind(StrEnum):
    """What an alert is about: the metric's label and the payload's ``cause``. Also the order in which they are judged:
    what explains others comes first."""

    UPSTREAM = "upstream"
    REDIS = "redis"
    WORKERS = "workers"
    ERROR_RATE = "error_rate"
    AVAILABILITY = "availability"
    LATENCY = "latency"
    ISOLATION = "isolation"
    LEDGER = "ledger"
    CERTIFICATE = "certificate"
    RELOAD = "reload"


class Measure(StrEnum):
    """How a value comes about. The first three look back over a time, the last two at what is."""

    SHARE = "share"  # of requests
    MEAN = "mean"
    COUNT = "count"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Bound:
    """Broken by a value beyond ``limit`` over the last ``over_ms`` and over the last ``lately_ms`` too, so that what
    is over already is told to nobody; told of once that has been so for ``for_ms``."""

    level: Level
    limit: float
    over_ms: int = 0
    lately_ms: int = 0
    for_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """``bounds``: the worst last. ``at_least``: requests within ``over_ms`` below which nothing is judged; ``fewest``:
    those of them that have to be bad. ``calm_ms``: how long every ``lately_ms`` must have kept to all bounds before it
    is over. ``leave_out``: routes that do not count."""

    measure: Measure
    bounds: tuple[Bound, ...]
    calm_ms: int
    at_least: int = 0
    fewest: int = 0
    leave_out: frozenset[str] = frozenset()

    @property
    def longest_ms(self) -> int:
        return max(bound.over_ms for bound in self.bounds)

    @property
    def shortest_ms(self) -> int:
        """The shortest time that matters: whoever looks has to look several times within it."""
        spans = [span for bound in self.bounds for span in (bound.over_ms, bound.lately_ms, bound.for_ms)]
        return min((span for span in (*spans, self.calm_ms) if span), default=MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Service:
    """``to``: names of channels. ``repeat_ms``: how often one is told again of what lasts; None: not."""

    rules: Mapping[Kind, Rule]
    to: tuple[str, ...]
    repeat_ms: int | None = None
