"""A bar on standard error while a log is read; nothing where that is no terminal."""

import sys
import time
from typing import Final

_WIDTH: Final = 30
_EVERY_S: Final = 0.1


class Progress:
    """``__call__`` hears the share that is done, or None where it cannot be known, and the lines."""

    def __init__(self, *, shown: bool | None = None) -> None:
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._started_s = time.monotonic()
        self._told_s = 0.0

    def __call__(self, done: float | None, lines: int) -> None:
        now_s = time.monotonic()
        if not self._shown or now_s - self._told_s < _EVERY_S:
            return
        self._told_s = now_s
        took_s = max(now_s - self._started_s, 1e-9)
        rate = f"{lines:,} lines, {lines / took_s:,.0f} a second"
        if done:
            full = round(_WIDTH * min(done, 1.0))
            bar = "█" * full + "·" * (_WIDTH - full)
            rate = f"{bar} {done:4.0%}  {rate}, {took_s * (1 - done) / done:.0f} s to go"
        print(f"\r{rate}\x1b[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
