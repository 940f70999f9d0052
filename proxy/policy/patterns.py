"""Patterns for paths, hosts and values, as routes write them: what each means, and when one covers another. Pure.

Paths, case-sensitive, against the path as ``policy.target`` gives it:

* ``{name}`` is one whole segment that is not empty: ``/users/{id}``;
* ``*`` is any run of characters within a segment, also none: ``/img/*.png``;
* a final ``/**`` is the path before it and everything below: ``/a/**`` matches ``/a``, ``/a/`` and ``/a/b/c``; ``/**``
  is every path.

Nothing else is special, and a final slash counts: ``/a`` does not match ``/a/``. Characters beyond ASCII stand for
their percent-encoded UTF-8. Hosts are exact or ``*.example.com`` (any name below it, at any depth, not itself). Values
of header fields and query parameters: ``*`` is any run of characters; ``*`` alone asks only that it is there.
"""

import re
from itertools import product
from typing import Final

_SEGMENT_PART: Final = re.compile(r"(\{[A-Za-z_][A-Za-z0-9_]*\}|\*)")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3
_MAX_WILDCARDS: Final = 6  # beyond it, covering is not looked for: 2**6 witnesses are tried
_ANY_SEGMENT, _ANY_REST = "\x00", "\x01"  # witnesses that no literal can equal: targets hold no control characters


class PatternError(ValueError):
    """A pattern that cannot be meant; the message says why."""


def normal_path(pattern: str) -> str:
    """The pattern in the form that paths are compared in (percent-encodings as RFC 3986 §6.2.2 has them).

    Raises: PatternError.
    """
    if not pattern.startswith("/"):
        raise PatternError(f"{pattern!r} does not begin with '/'")
    if any(char in pattern for char in ";\\?#"):
        raise PatternError(f"{pattern!r}: ';', '\\', '?' and '#' are never part of the path that is matched")
    if any(char <= " " or char == "\x7f" for char in pattern):
        raise PatternError(f"{pattern!r} holds white space or a control character")
    body = pattern.removesuffix("/**")
    if "**" in body:
        raise PatternError(f"{pattern!r}: '**' can only be the last segment")
    names = []
    for segment in body.split("/")[1:]:
        if segment in (".", ".."):
            raise PatternError(f"{pattern!r}: a path with dot segments is always refused")
        if "{" in segment or "}" in segment:
            if not _SEGMENT_PART.fullmatch(segment):
                raise PatternError(f"{pattern!r}: '{{name}}' must be a whole segment; within one use '*'")
            names.append(segment)
    if len(set(names)) != len(names):
        raise PatternError(f"{pattern!r} uses one name twice")
    if "//" in body:
        raise PatternError(f"{pattern!r}: '//' is refused or taken as one '/' before matching")
    encoded = "".join(char if char < "\x7f" else "".join(f"%{byte:02X}" for byte in char.encode()) for char in pattern)
    if _ESCAPE.sub("", encoded).count("%"):
        raise PatternError(f"{pattern!r}: '%' must be followed by two hexadecimal digits")
    return _ESCAPE.sub(normal_escape, encoded)


def normal_escape(found: re.Match[str]) -> str:
    """``%41`` → ``A``, ``%c3`` → ``%C3`` (RFC 3986 §6.2.2.1, §6.2.2.2)."""
    char = chr(int(found[1], 16))
    return char if char in UNRESERVED else found[0].upper()


def path_regex(pattern: str, *, segment: str = "[^/]", rest: str = "(?s:/.*)?") -> str:
    """A regular expression, for fullmatch, of a pattern in normal form; it has no groups."""
    body, below = (pattern[:-3], rest) if pattern.endswith("/**") else (pattern, "")
    return "/".join(f"{segment}+" if part.startswith("{") else _glob(part, segment) for part in body.split("/")) + below


def _glob(text: str, char: str) -> str:
    """``*`` as any run of ``char``. All but the last run are atomic, so that no input takes more than linear time."""
    first, *others = map(re.escape, text.split("*"))
    if not others:
        return first
    between = "".join(f"(?>{char}*?{part})" for part in others[:-1] if part)
    return f"{first}{between}{char}*{others[-1]}"


def value_regex(pattern: str) -> re.Pattern[str]:
    """For fullmatch of a field's or parameter's value."""
    return re.compile(_glob(pattern, "."), re.DOTALL)


def path_covers(outer: str, inner: str) -> bool:
    """Whether every path that ``inner`` matches is matched by ``outer``; False also where it is not worth finding out.

    Wildcards of ``inner`` become witnesses, characters that only a wildcard of ``outer`` can match: what matches the
    witness matches whatever stands in its place.
    """
    body, rests = (inner[:-3], ["", "/" + _ANY_REST]) if inner.endswith("/**") else (inner, [""])
    pieces: list[list[str]] = []
    for part in _SEGMENT_PART.split(body):
        if part == "*":
            pieces.append(["", _ANY_SEGMENT])
        else:
            pieces.append([_ANY_SEGMENT if part.startswith("{") else part])
    if sum(len(choices) > 1 for choices in pieces) > _MAX_WILDCARDS:
        return False
    regex = re.compile(path_regex(outer, segment=f"[^/{_ANY_REST}]"))
    return all(regex.fullmatch("".join(choice)) for choice in product(*pieces, rests))


def host_covers(outer: str, inner: str) -> bool:
    """Whether the host pattern ``outer`` matches all that ``inner`` does."""
    return outer == inner or (outer.startswith("*.") and inner.endswith(outer[1:]))


def value_covers(outer: str, inner: str) -> bool:
    """Whether the value pattern ``outer`` certainly matches all that ``inner`` does."""
    return outer in ("*", inner)
