"""Which model a name means: the rules that genai-prices' data states, in its order. Pure.

A rule is ``[verb, operand]``: equals, starts_with, ends_with, contains (any case), regex (searched in the name in lower
case), or and and over rules. The first model whose rule holds is meant.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

Test = Callable[[str], bool]

_COMPACT_DATE: Final = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def compiled(rule: Sequence[Any]) -> Test:
    """The rule as a test of a name in lower case."""
    verb, operand = rule
    if verb == "or":
        tests = [compiled(one) for one in operand]
        return lambda name: any(test(name) for test in tests)
    if verb == "and":
        tests = [compiled(one) for one in operand]
        return lambda name: all(test(name) for test in tests)
    if verb == "regex":
        pattern = re.compile(operand)
        return lambda name: pattern.search(name) is not None
    text = str(operand).lower()
    if verb == "equals":
        return lambda name: name == text
    if verb == "starts_with":
        return lambda name: name.startswith(text)
    if verb == "ends_with":
        return lambda name: name.endswith(text)
    if verb == "contains":
        return lambda name: text in name
    raise ValueError(f"unknown rule {verb}")


def exact_names(rule: Sequence[Any]) -> list[str] | None:
    """The only names that a rule accepts, None where there is no such list."""
    verb, operand = rule
    if verb == "equals":
        return [str(operand).lower()]
    if verb == "or":
        lists = [exact_names(one) for one in operand]
        return None if any(one is None for one in lists) else [name for one in lists for name in one or ()]
    return None


class Matcher:
    """The models of one provider, by their rules: indexes into the order in which they were given."""

    __slots__ = ("_exact", "_tests")

    def __init__(self, rules: Sequence[Sequence[Any]]) -> None:
        self._exact: dict[str, int] = {}
        self._tests: list[tuple[int, Test]] = []
        for index, rule in enumerate(rules):
            names = exact_names(rule)
            if names is None:
                self._tests.append((index, compiled(rule)))
            for name in names or ():
                self._exact.setdefault(name, index)

    def find(self, name: str) -> int | None:
        """``name`` in lower case."""
        exact = self._exact.get(name)
        for index, test in self._tests:
            if exact is not None and index > exact:
                break
            if test(name):
                return index
        return exact


def dashed_dates(name: str) -> str:
    """``-20251211`` as ``-2025-12-11``: routers write it so, and the data does not."""
    return _COMPACT_DATE.sub(_dashed, name)


def _dashed(match: re.Match[str]) -> str:
    dash, year, month, day = match.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return match.group()
    return f"{dash}{year}-{month}-{day}"
