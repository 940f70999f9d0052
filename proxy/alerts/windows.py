"""What was counted within the last so long, from counts that only grow. Pure: callers pass now_ms, monotonic.

Kept are some hundred samples, whatever the time that is looked back over: a look-back is as long as asked, or by a
``STEPS``th of the longest longer.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

STEPS: Final = 360


@dataclass(frozen=True, slots=True)
class Tally:
    """``total``: requests; ``amount``: those that failed, or the seconds that all took; ``bad``: those without which
    there would be nothing to tell. ``parts``: what ``amount`` is made of, by name."""

    total: float = 0.0
    amount: float = 0.0
    bad: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)

    def since(self, then: "Tally") -> "Tally":
        bad = self.bad - then.bad
        parts = {name: value - then.parts.get(name, 0.0) for name, value in self.parts.items()}
        # What fails behind a client's back is no request, but one that has failed.
        return Tally(max(self.total - then.total, bad), self.amount - then.amount, bad, parts)

    def follows(self, then: "Tally") -> bool:
        """Whether nothing was counted anew meanwhile."""
        return self.total >= then.total and self.amount >= then.amount and self.bad >= then.bad


def summed(tallies: Mapping[str, Tally]) -> Tally:
    """Of all, with each one's amount as its part."""
    every: Iterable[Tally] = tallies.values()
    return Tally(
        sum(one.total for one in every),
        sum(one.amount for one in every),
        sum(one.bad for one in every),
        {name: one.amount for name, one in tallies.items()},
    )


class History:
    """Of one thing that is counted."""

    __slots__ = ("_longest_ms", "_now", "_tallies", "_times")

    def __init__(self, longest_ms: int) -> None:
        self._longest_ms = longest_ms
        self._times: list[float] = []
        self._tallies: list[Tally] = []
        self._now = Tally()

    def add(self, tally: Tally, now_ms: float) -> None:
        """What is counted by now. Counts that have begun anew have no past."""
        if not tally.follows(self._now):
            self._times.clear()
            self._tallies.clear()
        self._now = tally
        if not self._times or now_ms - self._times[-1] >= self._longest_ms / STEPS:
            self._times.append(now_ms)
            self._tallies.append(tally)
        gone = bisect_right(self._times, now_ms - self._longest_ms) - 1  # the last before it is where it begins
        if gone > 0:
            del self._times[:gone], self._tallies[:gone]

    def over(self, window_ms: int, now_ms: float) -> Tally:
        """Within the last ``window_ms``, or since there is anything to look back at."""
        at = max(0, bisect_right(self._times, now_ms - window_ms) - 1)
        return self._now.since(self._tallies[at])
