"""What is wrong with a policy file, and where: one line each, as a compiler would tell it. Pure."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KeyPath = tuple[str | int, ...]  # keys and list positions from the top of a file

_FEW: Final = 12
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+")


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One fault or warning. ``line`` counts from 1; 0 where no line can be named. ``path`` is empty for the whole file.

    ``message`` never holds a secret: what came from a variable or a secret's file is shown as it was written.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class PolicyError(Exception):
    """A policy was refused; ``problems`` has every reason at once, in the order of the file.

    ``files`` and ``globs`` are what was looked at, where that is known: a change in one may mend it.
    """

    def __init__(
        self, problems: Iterable[PolicyProblem], files: tuple[Path, ...] = (), globs: tuple[Path, ...] = ()
    ) -> None:
        self.problems = tuple(problems)
        self.files = files
        self.globs = globs
        super().__init__("\n".join(map(str, self.problems)))


def shown(path: KeyPath) -> str:
    """``("routes", 2, "match")`` → ``routes[2].match``; keys that hold a dot or such are put in quotes."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            name = step if _PLAIN_KEY.fullmatch(step) else f'"{step}"'
            out += f".{name}" if out else name
    return out


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that an unknown one was probably to be."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.7)
    return near[0] if near else None


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all where none is near and they are few."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    if not names:
        return "; there is none"
    return f"; one of {', '.join(names)}" if len(names) <= _FEW else ""
