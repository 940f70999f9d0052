"""When a worker counts as hanging: it lives, and its loop no longer answers. Pure: callers pass now_s, monotonic.

The parent asks each worker every second, until it tells it to drain: from then on the drain's deadline bounds it. What
the parent did not see itself, being stopped or starved, is no silence: a tick that comes late starts the count anew.
"""

from typing import Final

PING_S: Final = 1.0
SILENCE_S: Final = 10.0  # far above any pause that a worker's own code may make: its requests have waited all that time
START_S: Final = 30.0  # instead, until it says that it is ready: it imports, and asks a Redis that may be away
LATE_S: Final = 3 * PING_S  # between two ticks, asking included: more than that, and the parent itself was paused


class Watchdog:
    """One worker's."""

    __slots__ = ("_heard_s", "_patience_s", "_ticked_s")

    def __init__(self, now_s: float) -> None:
        self._heard_s = self._ticked_s = now_s
        self._patience_s = START_S

    def ready(self, now_s: float) -> None:
        """The worker answers requests: from now on it is held to SILENCE_S."""
        self._heard_s, self._patience_s = now_s, SILENCE_S

    def heard(self, now_s: float) -> None:
        self._heard_s = now_s

    def tick(self, now_s: float) -> bool:
        """Whether the worker has been silent for too long. To be called every PING_S."""
        paused = now_s - self._ticked_s > LATE_S
        self._ticked_s = now_s
        if paused:
            self._heard_s = now_s
        return now_s - self._heard_s > self._patience_s
