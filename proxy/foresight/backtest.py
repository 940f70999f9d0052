"""Whether a suggested policy refuses on later days what those before let expect, and how sure that can be. Pure.

What is predicted of a limit and tier is the share of the fitted days. It has a margin, for two reasons: of a hundred
refusals chance alone misses by a tenth, and refusals come in clusters, since who is refused once goes on, and days
differ. The first follows from the counts, the second from how far the fitted days were from their own share.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Judged, Replay
from proxy.foresight.suggesting import DAY_MS, LimitTier

FEWEST_DAYS: Final = 4  # that say how days differ; of fewer the counts alone do
_NORMAL: Final = 1.96  # standard deviations that hold 95% of what may come
# The same where the deviation is itself an estimate, of so many days but one (Student's t, from one degree on).
_STUDENT: Final = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


@dataclass(slots=True)
class Found:
    """Of one limit and tier: on the days that were fitted, and on those that were not looked at.

    ``days``: of each fitted one, its requests and those refused.
    """

    requests: int = 0
    refused: int = 0
    later_requests: int = 0
    later_refused: int = 0
    days: dict[int, list[int]] = field(default_factory=dict)

    def add(self, day: int, *, refused: bool, later: bool) -> None:
        if later:
            self.later_requests += 1
            self.later_refused += refused
            return
        self.requests += 1
        self.refused += refused
        counts = self.days.get(day)
        if counts is None:
            counts = self.days[day] = [0, 0]
        counts[0] += 1
        counts[1] += refused

    @property
    def predicted(self) -> float:
        """Refusals on the later days, at the share of the earlier ones."""
        return self.later_requests * self.refused / self.requests if self.requests else 0.0

    def strayed(self, day: int) -> float:
        """By how many refusals a fitted day was away from the share of all."""
        requests, refused = self.days.get(day, (0, 0))
        return refused - requests * self.refused / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """Refusals on the later days. ``margin``: what is found lies this near in 95 of 100 cases, if those days are as the
    fitted ones were."""

    predicted: float
    margin: float
    refused: int

    @property
    def error(self) -> float:
        """By how much it missed, as a share of what was found; infinite where nothing was."""
        missed = abs(self.predicted - self.refused)
        return missed / self.refused if self.refused else math.inf if missed >= 1 else 0.0

    @property
    def is_chance(self) -> bool:
        """Whether it missed by no more than it may."""
        return abs(self.predicted - self.refused) <= self.margin

    def is_within(self, share: float) -> bool:
        """Whether it missed by no more than this share of what was found; one refusal more or less is no miss."""
        return abs(self.predicted - self.refused) <= max(share * self.refused, 1)


@dataclass(slots=True)
class Backtest:
    """A suggested policy over the whole log. ``later_ms``: where the days begin that it has not seen."""

    replay: Replay
    later_ms: int
    by: dict[LimitTier, Found] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        judged: Judged = self.replay.judged(entry)
        if judged.ruling is None or judged.identity is None:
            return
        later, day = entry.start_ms >= self.later_ms, entry.start_ms // DAY_MS
        tier = judged.identity.tier
        for limit in judged.ruling.plan.limits:
            found = self.by.get((limit.name, tier))
            if found is None:
                found = self.by[limit.name, tier] = Found()
            found.add(day, refused=limit.name in judged.by, later=later)

    def total(self) -> Prediction:
        """Of all limits and tiers together: the sum of what each predicts, so that a tier that comes more often later
        is taken as that tier."""
        return prediction(self.by.values())

    def missed(self, share: float) -> Iterator[tuple[LimitTier | None, Prediction]]:
        """Those that missed by more than this share; None: the total. Errors of two tiers do not cancel."""
        for key, found in sorted(self.by.items()):
            if not (one := prediction([found])).is_within(share):
                yield key, one
        if not (total := self.total()).is_within(share):
            yield None, total


def prediction(all_found: Collection[Found]) -> Prediction:
    """Of these limits and tiers together."""
    predicted = sum(found.predicted for found in all_found)
    refused = sum(found.later_refused for found in all_found)
    return Prediction(predicted, _margin(all_found), refused)


def _margin(all_found: Collection[Found]) -> float:
    """The larger of what the counts say and what the days do.

    Of R refusals in N requests, n later ones have (R/N)n, with a variance of that for the later count and n/N times
    that for the earlier. One more than R is taken: none that were refused do not prove that none ever are.
    """
    seen = [found for found in all_found if found.requests]
    by_counts = 0.0
    for found in seen:
        ratio = found.later_requests / found.requests
        by_counts += (found.refused + 1) * ratio * (1 + ratio)
    margin = _NORMAL * math.sqrt(by_counts)
    days = {day for found in seen for day in found.days}
    if len(days) >= FEWEST_DAYS:
        strayed = sum(sum(found.strayed(day) for found in seen) ** 2 for day in days) / (len(days) - 1)
        later_days = len(days) * sum(found.later_requests for found in seen) / sum(found.requests for found in seen)
        by_days = strayed * (later_days + later_days**2 / len(days))
        margin = max(margin, _student(len(days) - 1) * math.sqrt(by_days))
    return margin


def _student(degrees: int) -> float:
    return _STUDENT[degrees - 1] if degrees <= len(_STUDENT) else _NORMAL + 2.6 / degrees


def later_from(days: Mapping[int, object], holdout: int) -> int:
    """Where the last ``holdout`` days begin, epoch ms; after all of them for none."""
    ordered = sorted(days)
    return ordered[len(ordered) - holdout] * DAY_MS if holdout else (ordered[-1] + 1) * DAY_MS
