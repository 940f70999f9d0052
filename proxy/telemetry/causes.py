"""What else an exception tells of: what caused it, what it was raised beside, what a group gathered. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

MOST: Final = 16  # exceptions that are told of one


@dataclass(frozen=True, slots=True)
class Told:
    """One exception. ``parent``: the place in the list of the one that it belongs to; None: the first.

    ``source`` is the parent's attribute that holds it.
    """

    error: BaseException
    parent: int | None = None
    source: str = ""


def causes(error: BaseException) -> list[Told]:
    """The exception, then the nearest first; each once, and ``MOST`` in all."""
    found: list[Told] = []
    seen: set[int] = set()
    waiting = deque([Told(error)])
    while waiting and len(found) < MOST:
        told = waiting.popleft()
        one = told.error
        if id(one) in seen:
            continue
        seen.add(id(one))
        place = len(found)
        found.append(told)
        if one.__cause__ is not None:
            waiting.append(Told(one.__cause__, place, "__cause__"))
        elif one.__context__ is not None and not one.__suppress_context__:
            waiting.append(Told(one.__context__, place, "__context__"))
        if isinstance(one, BaseExceptionGroup):
            waiting += (Told(member, place, f"exceptions[{n}]") for n, member in enumerate(one.exceptions[:MOST]))
    return found
