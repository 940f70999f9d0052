"""A tighter hold, learnt: how much of their bounds calls of one kind to one model really use. Pure, and opt-in.

A bound counts every byte as a token and every cap as used; most calls use a fraction. This keeps, for each (model,
kind), a histogram of used ÷ bound, and answers with an edge above a high quantile of it. It relaxes the third truth of
metering: a call may cost more than was held, at most about as often as the quantile says, and is then an overrun.
Same calls in the same order give the same answers. Memory is bounded: so many pairs, so many buckets.
"""

from math import ceil
from typing import Final

EDGES: Final = tuple(2 ** (step / 4) / 2**16 for step in range(65))
"""Upper edges of the buckets, each 19 % above the one before; the last is 1, the bound itself."""
ENOUGH: Final = 100
"""Calls before an estimate differs from the bound."""
MEMORY: Final = 10_000
"""Calls after which older ones count half: habits change."""
MAX_PAIRS: Final = 1024


class Estimates:
    """``quantile`` in parts of one, below 1."""

    __slots__ = ("_pairs", "_quantile")

    def __init__(self, quantile: float = 0.995) -> None:
        if not 0 < quantile < 1:
            raise ValueError("a quantile is between 0 and 1")
        self._quantile = quantile
        self._pairs: dict[tuple[str, str], list[int]] = {}

    def learn(self, model: str, kind: str, *, used: int, bound: int) -> None:
        """A call that was bounded by ``bound`` has used ``used``, both nano-dollars or both tokens."""
        if bound <= 0:
            return
        key = (model, kind)
        counts = self._pairs.pop(key, None)
        if counts is None:
            counts = [0] * len(EDGES)
            if len(self._pairs) >= MAX_PAIRS:
                del self._pairs[next(iter(self._pairs))]  # the one that was longest not called
        self._pairs[key] = counts
        ratio = used / bound
        counts[next((at for at, edge in enumerate(EDGES) if ratio <= edge), len(EDGES) - 1)] += 1
        if sum(counts) >= MEMORY:
            counts[:] = [count // 2 for count in counts]

    def estimate(self, model: str, kind: str, bound: int) -> int:
        """At most ``bound``, and ``bound`` itself as long as too little is known."""
        counts = self._pairs.get((model, kind))
        total = sum(counts) if counts else 0
        if counts is None or total < ENOUGH:
            return bound
        wanted = ceil(total * self._quantile)
        seen = 0
        for edge, count in zip(EDGES, counts, strict=True):
            seen += count
            if seen >= wanted:
                return min(bound, ceil(bound * edge))
        return bound
