"""Whether an answer is the provider's own word that it did not do the call, and bills nothing for it. Pure.

In doubt it is not: a page from somebody in between says nothing of what became of a call, and a status alone may be
anybody's. What is not surely free is settled at its hold.
"""

from typing import Any, Final

from proxy.ai.dialects.table import Dialect

_NOT_DONE: Final = frozenset({500, 501, 503, 529})
# Given up by whoever waited (RFC 9110 §15.5.9; nginx's own): the provider may have worked up to then, and does bill it.
_GIVEN_UP: Final = frozenset({408, 499})


def costs_nothing(dialect: Dialect, status: int, answer: Any) -> bool:
    """``answer``: the whole body's JSON, None where it is none or has not come wholly."""
    if not (300 <= status < 500 or status in _NOT_DONE) or status in _GIVEN_UP:
        return False
    if isinstance(answer, list):  # Gemini's, of a stream
        answer = answer[0] if answer else None
    if not isinstance(answer, dict) or dialect.refusal_members.isdisjoint(answer):
        return False
    known = dialect.free_refusals.get(status)
    return known is None or _code(answer) in known


def _code(answer: dict[str, Any]) -> str | None:
    error = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
