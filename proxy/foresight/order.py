"""Entries in the order in which their requests came, though logs are written when they end. Pure.

What is held back is bounded, by time and by number: a line that comes later than that is taken as of now.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, heappushpop
from typing import Final

from proxy.foresight.loglines import Entry

WINDOW_MS: Final = 600_000  # longer than most calls to a provider take
MOST_HELD: Final = 50_000


class Ordered:
    """``late`` counts entries that were moved: their requests came before others that had been told already."""

    def __init__(self, window_ms: int = WINDOW_MS, most: int = MOST_HELD) -> None:
        self._window_ms = window_ms
        self._most = most
        self.late = 0

    def entries(self, told: Iterable[Entry]) -> Iterator[Entry]:
        """By ``start_ms``, which is set to its forerunner's where one is late."""
        held: list[tuple[int, int, Entry]] = []
        newest_ms = last_ms = -(2**62)
        for number, entry in enumerate(told):
            start_ms = entry.start_ms
            if start_ms > newest_ms:
                newest_ms = start_ms
                due_ms = newest_ms - self._window_ms
                while held and held[0][0] <= due_ms:
                    last_ms = self._moved(last_ms, (one := heappop(held)[2]))
                    yield one
            if len(held) < self._most:
                heappush(held, (start_ms, number, entry))
            else:
                last_ms = self._moved(last_ms, (one := heappushpop(held, (start_ms, number, entry))[2]))
                yield one
        while held:
            last_ms = self._moved(last_ms, (one := heappop(held)[2]))
            yield one

    def _moved(self, last_ms: int, entry: Entry) -> int:
        if entry.start_ms >= last_ms:
            return entry.start_ms
        self.late += 1
        entry.start_ms = last_ms
        entry.end_ms = max(entry.end_ms, last_ms)
        return last_ms
