"""Where time comes from. What decides takes ``now`` as an argument; only what does IO holds a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch. May step."""

    def monotonic_ms(self) -> float:
        """Never steps back; only differences mean anything."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        return time.monotonic() * 1000
