"""Which of the choices that a call asked for have ended, as a stream's chunks say it one by one. Pure.

A usage is the last one only once all of them have: another choice goes on, and is billed, after one has ended.
"""

import re
from typing import Any, Final

SAYS_END: Final = re.compile(rb'"finish_?[rR]eason"\s*:\s*"|"promptFeedback"\s*:\s*\{')
"""Whether a chunk may say that a choice has ended; others need not be read for it."""


class Choices:
    """Of one stream: OpenAI's ``choices``, Gemini's ``candidates``."""

    __slots__ = ("_asked", "_ended", "_refused")

    def __init__(self, asked: int) -> None:
        self._asked = asked
        self._ended: set[int] = set()
        self._refused = False

    def note(self, chunk: dict[str, Any]) -> None:
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self._refused = True
        found = chunk.get("choices", chunk.get("candidates"))
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and (one.get("finish_reason") or one.get("finishReason")):
                index = one.get("index", 0)  # protocol buffers' JSON leaves a zero out
                if isinstance(index, int) and 0 <= index < self._asked:
                    self._ended.add(index)

    @property
    def all_ended(self) -> bool:
        return self._refused or len(self._ended) >= self._asked
