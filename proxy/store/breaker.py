"""When to stop asking a store that does not answer, and when to ask again. Pure: callers pass now_ms.

One timeout opens it: a store that accepts and never answers costs every request the whole timeout, and at a thousand
requests a second a second timeout is a thousand slow answers. One other failure does not, since a reset connection is
what every restart of a proxy between us looks like and its retry costs microseconds; two in a row do. Closing is left
to a background probe, so that no client's request is the one that finds out.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from proxy.store.errors import StoreAway

FAILURES_TO_OPEN: Final = 2
FIRST_PROBE_MS: Final = 100.0
LAST_PROBE_MS: Final = 1_000.0  # far below the five seconds in which recovery must be noticed


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # a probe is under way; requests still pass it by


class Breaker:
    """Closed → open → half-open → closed. ``now_ms`` is monotonic throughout.

    ``on_change`` hears why it has opened, and None when it has closed.
    """

    __slots__ = ("_failures", "_probe_at_ms", "_wait_ms", "on_change", "opened", "state")

    def __init__(self, on_change: Callable[[StoreAway | None], None] | None = None) -> None:
        self.on_change = on_change
        self.state = BreakerState.CLOSED
        self.opened = 0  # how often, for the metric
        self._failures = 0
        self._wait_ms = FIRST_PROBE_MS
        self._probe_at_ms = 0.0

    @property
    def closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """A request was answered. Says nothing about an open breaker: only its probe closes it."""
        self._failures = 0

    def failed(self, now_ms: float, why: StoreAway, *, final: bool) -> None:
        """A request was not answered. ``final``: it is a timeout, or known in another way to be no passing fault."""
        self._failures += 1
        if self.state is BreakerState.CLOSED and (final or self._failures >= FAILURES_TO_OPEN):
            self.state = BreakerState.OPEN
            self.opened += 1
            self._wait_ms = FIRST_PROBE_MS
            self._probe_at_ms = now_ms + self._wait_ms
            self._tell(why)

    def may_probe(self, now_ms: float) -> bool:
        """Whether to send a probe now; the one who is told yes must report ``probed``."""
        if self.state is not BreakerState.OPEN or now_ms < self._probe_at_ms:
            return False
        self.state = BreakerState.HALF_OPEN
        return True

    def probe_in_ms(self, now_ms: float) -> float | None:
        """How long until a probe is due; None while there is nothing to probe."""
        return max(0.0, self._probe_at_ms - now_ms) if self.state is BreakerState.OPEN else None

    def probed(self, now_ms: float, *, answered: bool) -> None:
        """What the probe found. Waits double up to LAST_PROBE_MS."""
        if answered:
            self.state = BreakerState.CLOSED
            self._failures = 0
            self._tell(None)
        else:
            self.state = BreakerState.OPEN
            self._wait_ms = min(self._wait_ms * 2, LAST_PROBE_MS)
            self._probe_at_ms = now_ms + self._wait_ms

    def _tell(self, why: StoreAway | None) -> None:
        if self.on_change is not None:
            self.on_change(why)
