"""When an issuer's keys are fetched, and how long old ones serve. Pure: times are monotonic milliseconds.

Fresh keys are used as they are. When they are due they are fetched in the background and the old ones serve meanwhile,
for at most a day. A token of an unknown key may hasten a fetch, once in a cool-down, so that a flood of invented key
ids costs the issuer nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

MIN_LIFE_MS: Final = 60_000
MAX_LIFE_MS: Final = 24 * 3_600_000
DEFAULT_LIFE_MS: Final = 600_000
STALE_MS: Final = 24 * 3_600_000  # how long keys are still believed after they should have been fetched anew
COOL_DOWN_MS: Final = 30_000
FIRST_PAUSE_MS: Final = 1_000  # after a failure with no keys at all; doubles up to the cool-down

_MAX_AGE = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?([0-9]+)"?\s*(?:,|$)', re.IGNORECASE)
_UNCACHEABLE = re.compile(r"(?:^|,)\s*no-(?:store|cache)\s*(?:[=,]|$)", re.IGNORECASE)


def life_ms(cache_control: str) -> int:
    """How long a key set is fresh by its Cache-Control (RFC 9111 §5.2.2), within a minute and a day."""
    if _UNCACHEABLE.search(cache_control):
        return MIN_LIFE_MS
    found = _MAX_AGE.search(cache_control)
    if found is None:
        return DEFAULT_LIFE_MS
    digits = found[1][:9]  # more digits than these are beyond the bound anyway
    return min(max(int(digits) * 1000, MIN_LIFE_MS), MAX_LIFE_MS)


@dataclass(slots=True)
class KeySchedule:
    """One source's state. ``keys_until_ms`` is None as long as no fetch has ever succeeded."""

    due_ms: float = float("-inf")
    keys_until_ms: float | None = None
    tried_ms: float = float("-inf")
    failures: int = 0

    def begin(self, now_ms: float) -> None:
        """A fetch begins."""
        self.tried_ms = now_ms

    def succeed(self, now_ms: float, life_ms: int) -> None:
        self.failures = 0
        self.due_ms = now_ms + life_ms
        self.keys_until_ms = self.due_ms + STALE_MS

    def fail(self) -> None:
        self.failures += 1

    def has_keys(self, now_ms: float) -> bool:
        return self.keys_until_ms is not None and now_ms < self.keys_until_ms

    def is_due(self, now_ms: float) -> bool:
        """Whether a fetch should begin for its own sake."""
        return now_ms >= self.due_ms and self.wait_ms(now_ms) == 0

    def wait_ms(self, now_ms: float) -> int:
        """How long until a fetch may begin, for whatever reason; 0 for at once."""
        pause = COOL_DOWN_MS
        if not self.has_keys(now_ms):
            pause = min(FIRST_PAUSE_MS << min(max(self.failures - 1, 0), 5), COOL_DOWN_MS)
        return max(0, round(self.tried_ms + pause - now_ms)) if self.tried_ms != float("-inf") else 0
