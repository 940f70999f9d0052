"""A request's JSON as every reader must understand it, and edits that leave every other byte alone. Pure.

What two parsers could read differently is refused: the gateway prices what it read, the provider bills what *it* read.
So: UTF-8, one object, each member named once at every level (RFC 8259 §4 leaves doubles open), no NaN, bounded depth.
"""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 96
"""Levels of nesting; common parsers stop at 100 to 128."""


class Flaw(StrEnum):
    NOT_JSON = "not_json"
    DUPLICATE_MEMBER = "duplicate_member"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"


class FlawedJson(ValueError):
    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise FlawedJson(Flaw.DUPLICATE_MEMBER)
    return made


def _no_constant(_name: str) -> NoReturn:
    raise FlawedJson(Flaw.NOT_JSON)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_SPACE: Final = " \t\n\r"


def loads(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The body's text and the object that it is. Raises: FlawedJson."""
    try:
        text = raw.decode("utf-8")  # never json.loads(bytes): that would guess UTF-16 and UTF-32 too
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is nothing that UTF-8 could say
    except FlawedJson:
        raise
    except RecursionError as error:
        raise FlawedJson(Flaw.TOO_DEEP) from error
    except ValueError as error:
        raise FlawedJson(Flaw.NOT_JSON) from error
    if not isinstance(value, dict):
        raise FlawedJson(Flaw.NOT_AN_OBJECT)
    # Fewer brackets than levels allowed cannot be too deep: most requests are not looked at twice.
    if text.count("{") + text.count("[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise FlawedJson(Flaw.TOO_DEEP)
    return text, value


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        below: list[Any] = []
        for node in layer:
            children = node.values() if isinstance(node, dict) else node
            below.extend(child for child in children if isinstance(child, dict | list))
        if not below:
            return False
        layer = below
    return True


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


_scan: Final[Callable[[str, int], tuple[Any, int]]] = _DECODER.raw_decode


def _member(text: str, at: int, name: str) -> tuple[int, int] | None:
    """Where the value of ``name`` stands in the object that begins at ``at`` (as indexes of text)."""
    if f'"{name}"' not in text and "\\u" not in text:
        return None  # nowhere, so not here either: the members need not be read
    at = _after_space(text, at + 1)
    while text[at] != "}":
        found, at = _scan(text, at)
        start = _after_space(text, _after_space(text, at) + 1)
        _, end = _scan(text, start)
        if found == name:
            return start, end
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return None


def with_member(text: str, path: tuple[str, ...], value: object) -> str:
    """``text``, an object that ``loads`` accepted, with ``value`` at ``path``; every other character stays.

    A member that is there is replaced; one that is not is put first in its object; objects on the way are made where
    they are missing or null.
    """
    at = _after_space(text, 0)
    for depth, name in enumerate(path):
        here = _member(text, at, name)
        rest = _nested(path[depth + 1 :], value)
        if here is None:
            comma = "" if text[_after_space(text, at + 1)] == "}" else ","
            return f"{text[: at + 1]}{json.dumps(name)}:{rest}{comma}{text[at + 1 :]}"
        start, end = here
        if depth == len(path) - 1 or text[start] != "{":
            return text[:start] + rest + text[end:]
        at = start
    return text


def _nested(path: tuple[str, ...], value: object) -> str:
    for name in reversed(path):
        value = {name: value}
    return json.dumps(value, separators=(",", ":"))
