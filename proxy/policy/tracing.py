"""Which requests are traced, beside the shares that are drawn, as compiled. Data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Heeded(StrEnum):
    """Whose word counts on whether a request is traced (sentry-trace, traceparent)."""

    ANYONE = "anyone"
    TRUSTED = "trusted"  # a peer that is a trusted proxy, which answers for what it passes on
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Tracing:
    """``per_second``: traces of one worker; at most half of them by a decision that came along."""

    decisions: Heeded
    per_second: int


ALL_HEEDED: Final = Tracing(Heeded.ANYONE, 100)
