"""How often the same fault is told: the first time always, a few more times, then only counted. Pure."""

from collections import OrderedDict
from typing import Final

BURST: Final = 20  # of one fault at once, and as many again in each window
WINDOW_MS: Final = 60_000
MOST_KEPT: Final = 2_048  # faults; one that is forgotten counts as new again: rather told twice than never


class Quota:
    """Of one process, by fingerprint."""

    def __init__(self, burst: int = BURST, most: int = MOST_KEPT) -> None:
        self._burst = burst
        self._most = most
        self._seen: OrderedDict[str, list[int]] = OrderedDict()  # [window's start, told in it, untold since]

    def take(self, fingerprint: str, now_ms: int) -> int | None:
        """None: it is only counted. Otherwise how many of its like were not told since the last that was."""
        seen = self._seen.get(fingerprint)
        if seen is None:
            self._seen[fingerprint] = [now_ms, 1, 0]
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
            return 0
        self._seen.move_to_end(fingerprint)
        if not 0 <= now_ms - seen[0] < WINDOW_MS:
            seen[0], seen[1] = now_ms, 0
        if seen[1] >= self._burst:
            seen[2] += 1
            return None
        seen[1] += 1
        untold, seen[2] = seen[2], 0
        return untold
