"""Cache-Control as it is written: which directives it holds, and what their arguments are (RFC 9111 §5.2).

Pure, never raises. A directive that is said twice counts as it was said first (§4.2.1), and what is written wrongly is
read as the stricter thing: an age that is no number is none (``seconds_ms`` gives None, its reader takes 0), and a name
followed by rubbish is still that name.
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.cache.entry import FOREVER_MS

# Lower-case name → argument, without its quotes; None: it has none; b"": it has one that is malformed or empty.
Directives = dict[bytes, bytes | None]

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_MARK: Final = re.compile(rb'\\.|[",]', re.DOTALL)
_WHITE: Final = b" \t"
_LISTING: Final = frozenset({b"no-cache", b"private"})  # whose argument narrows them to some fields
_DIGITS: Final = 10  # of FOREVER_MS in seconds


def parse(values: Iterable[bytes]) -> Directives:
    """All directives of a field's lines, in order."""
    found: Directives = {}
    for value in values:
        for part in _parts(value):
            part = part.strip(_WHITE)
            match = _NAME.match(part)
            if match is None:
                continue
            name = match[0].lower()
            argument = _argument(part[match.end() :])
            if name not in found or (argument is None and name in _LISTING):
                found[name] = argument
    return found


def seconds_ms(argument: bytes | None) -> int | None:
    """delta-seconds (§1.2.2) in ms, at most FOREVER_MS. None: it is none."""
    if argument is None or not argument.isdigit():
        return None
    digits = argument.lstrip(b"0")
    if len(digits) > _DIGITS:
        return FOREVER_MS
    return min(int(digits or b"0") * 1000, FOREVER_MS)


def lifetime_ms(found: Directives, name: bytes) -> int | None:
    """Of max-age or s-maxage: None if it is not there, 0 if it is no number (§4.2.1: better stale than guessed)."""
    return (seconds_ms(found[name]) or 0) if name in found else None


def window_ms(found: Directives, name: bytes) -> int:
    """Of stale-while-revalidate or stale-if-error (RFC 5861); 0 if it is not there, or no number."""
    return seconds_ms(found.get(name)) or 0


def field_names(argument: bytes) -> frozenset[bytes]:
    """Those that an argument of no-cache or private lists, in lower case."""
    return frozenset(name for part in argument.lower().split(b",") if (name := part.strip(_WHITE)))


def _argument(rest: bytes) -> bytes | None:
    if not rest:
        return None
    if rest[:1] != b"=":
        return b""
    quoted = _QUOTED.fullmatch(rest, 1)
    if quoted is not None:
        return _ESCAPED.sub(rb"\1", quoted[1])
    token = _NAME.fullmatch(rest, 1)
    return token[0] if token is not None else b""


def _parts(value: bytes) -> list[bytes]:
    """Split at the commas that no quotes hold. A quote that is never closed quotes nothing: what follows it counts."""
    if b'"' not in value:
        return value.split(b",")
    parts = []
    start = 0
    quoted = False
    for mark in _MARK.finditer(value):
        sign = mark[0]
        if quoted:
            quoted = sign != b'"'
        elif sign[-1:] == b'"':
            quoted = True
        elif sign[-1:] == b",":
            parts.append(value[start : mark.end() - 1])
            start = mark.end()
    return parts + (value[start:].split(b",") if quoted else [value[start:]])
