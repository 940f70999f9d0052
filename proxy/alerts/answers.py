"""What a channel answers to an attempt, and when the next one is made. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST_PAUSE_MS: Final = 1_000
LAST_PAUSE_MS: Final = 300_000  # a channel that is back hears of everything within so long
LONGEST_ASKED_MS: Final = 3_600_000  # what a receiver may ask us to wait
PATIENCE_MS: Final = 7 * 86_400_000  # who was away for a week wants no alerts of then


class Verdict(StrEnum):
    DELIVERED = "delivered"
    LATER = "later"  # it may pass: asked again
    NEVER = "never"  # the receiver has refused it, and would again


@dataclass(frozen=True, slots=True)
class Answer:
    """``error`` names the kind of failure: it is stored and logged, and holds no secret, no URL and no recipient.
    ``after_ms``: how long the receiver asks us to wait."""

    verdict: Verdict
    error: str = ""
    after_ms: int = 0


DELIVERED: Final = Answer(Verdict.DELIVERED)


def later(error: str, after_ms: int = 0) -> Answer:
    return Answer(Verdict.LATER, error, after_ms)


def never(error: str) -> Answer:
    return Answer(Verdict.NEVER, error)


def next_ms(answer: Answer, attempts: int, created_ms: int, now_ms: int, chance: float) -> int | None:
    """When to try again after ``attempts`` (from 1); None: not any more. ``chance`` in [0, 1) spreads gateways out."""
    if answer.verdict is not Verdict.LATER or now_ms - created_ms >= PATIENCE_MS:
        return None
    pause_ms = min(FIRST_PAUSE_MS << min(attempts - 1, 20), LAST_PAUSE_MS)
    return now_ms + max(round(pause_ms * (0.5 + chance / 2)), min(answer.after_ms, LONGEST_ASKED_MS))
