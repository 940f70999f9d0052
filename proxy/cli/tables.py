"""Aligned text for people: a head, rows, numbers to the right. Pure.

Words come from callers, and a terminal obeys some of them: what cannot be printed is not.
"""

from collections.abc import Sequence
from typing import Final

_GAP: Final = "  "
NONE: Final = "-"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str | None]], words: int) -> str:
    """The first ``words`` columns to the left, the rest to the right."""
    lines = [tuple(head), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        _GAP.join(
            cell.ljust(width) if at < words else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def printable(word: str | None) -> str:
    if word is None:
        return NONE
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in word)
