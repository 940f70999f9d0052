"""How many tokens that are not known yet an address may have verified: a signature costs more than a whole request.

A meter of this worker alone, in memory (GCRA). What turns out genuine is given back, so that an office of many users
behind one address is never held up; what remains are failures. Pure: callers pass now_ms.
"""

from collections import OrderedDict
from typing import Final

MAX_ADDRESSES: Final = 10_000


class AttemptMeter:
    """``per_minute`` at once and as many again each minute, by address; 0 or less: no limit."""

    __slots__ = ("_interval_ms", "_max_addresses", "_per_minute", "_ready")

    def __init__(self, per_minute: int, max_addresses: int = MAX_ADDRESSES) -> None:
        self._per_minute = per_minute
        self._interval_ms = 60_000 / per_minute if per_minute > 0 else 0.0
        self._max_addresses = max_addresses
        self._ready: OrderedDict[str, float] = OrderedDict()  # when all of an address' attempts have come back

    def __len__(self) -> int:
        return len(self._ready)

    def take(self, address: str, now_ms: int) -> int:
        """Take one attempt: 0, or in how many milliseconds there will be one again (and nothing was taken)."""
        if self._per_minute <= 0:
            return 0
        ready = max(self._ready.get(address, 0.0), float(now_ms))
        wait = ready + self._interval_ms - (now_ms + 60_000)
        if wait > 1e-6:
            # The clock may step back; nobody waits longer for that than for a meter that is full.
            self._ready[address] = min(ready, now_ms + 60_000.0)
            return max(1, round(min(wait, self._interval_ms)))
        self._ready[address] = ready + self._interval_ms
        self._ready.move_to_end(address)
        if len(self._ready) > self._max_addresses:
            self._ready.popitem(last=False)
        return 0

    def give_back(self, address: str) -> None:
        """Undo one take."""
        ready = self._ready.get(address)
        if ready is not None:
            self._ready[address] = ready - self._interval_ms
