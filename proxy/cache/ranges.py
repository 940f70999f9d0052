"""Parts of a representation: which one is asked for, which one is held, and how two become one (RFC 9110 §14, §15.3.7).

Pure, never raises. A part that is held is ``(first, last, length)``, inclusive; length -1: not known. Only one range
of bytes is understood; a request for several is answered whole (§14.2 allows it).
"""

import re
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.cache.conditions import is_strong
from proxy.cache.entry import Stored
from proxy.core.headers import RawHeaders, get_all
from proxy.policy.caching import Profile

Part = tuple[int, int, int]

_ASKED: Final = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)
_HELD: Final = re.compile(rb"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_PARTIAL: Final = 206
_OF_ONE_PART: Final = frozenset({b"content-range", b"content-length"})


class Range(NamedTuple):
    """What is asked for: from first to last, -1 where it is not said. ``first`` -1: the last ``last`` bytes."""

    first: int
    last: int


def parse_range(value: str) -> Range | None:
    """None: not one range of bytes, so the field is ignored (§14.2)."""
    match = _ASKED.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    first, last = (int(number) if number else -1 for number in match.groups())
    if (first == -1 and last == -1) or -1 < last < first:
        return None
    return Range(first, last)


def content_range(headers: RawHeaders) -> Part | None:
    """What a 206 says to be; None where it does not say, or contradicts itself (§14.4), or has several parts."""
    lines = get_all(headers, b"content-range")
    match = _HELD.fullmatch(lines[0].strip(b" \t")) if len(lines) == 1 else None
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    length = -1 if match[3] == b"*" else int(match[3])
    if last < first or -1 < length <= last:
        return None
    return (first, last, length)


def held(headers: RawHeaders, size: int, profile: Profile) -> Part | None:
    """Which part a complete 206 with a body of ``size`` bytes holds; None: its words and its body do not agree.

    By the standard's letter alone a body that says to reach the representation's end, and is too short for it, is
    believed: its end is the end. In the safe profile it is not kept.
    """
    part = content_range(headers)
    if part is None or not size:
        return None
    first, last, length = part
    if last - first + 1 == size:
        return part
    if profile is Profile.RFC and length == last + 1 and first + size <= last:
        return (first, first + size - 1, first + size)
    return None


def resolve(asked: Range, length: int) -> tuple[int, int] | None:
    """First and last byte of a representation of ``length`` bytes; None: it can't be satisfied (§14.1.2)."""
    first, last = asked
    if first == -1:
        first, last = max(length - last, 0), length - 1
    elif last == -1 or last >= length:
        last = length - 1
    return (first, last) if first <= last else None


def within(part: Part, asked: Range | None) -> tuple[int, int] | None:
    """The bytes asked for, if all of them are held; absolute positions."""
    if asked is None:
        return None
    first, last, length = part
    if length == -1:
        if asked.first == -1 or asked.last == -1:
            return None
        wanted: tuple[int, int] | None = (asked.first, asked.last)
    else:
        wanted = resolve(asked, length)
    return wanted if wanted is not None and first <= wanted[0] and wanted[1] <= last else None


def completion(stored: Stored, profile: Profile) -> RawHeaders | None:
    """What to add to a request so that the answer completes a part (RFC 9111 §3.3); None: ask for the whole.

    The safe profile does so only by a strong entity tag. Without one the answer's part can't be combined.
    """
    if stored.range is None:
        return None
    first, last, length = stored.range
    strong = is_strong(stored.etag)
    if not strong and profile is Profile.SAFE:
        return None
    if first == 0:
        fields = [(b"Range", b"bytes=%d-" % (last + 1))]
    elif last + 1 == length:
        fields = [(b"Range", b"bytes=0-%d" % (first - 1))]
    else:
        return None
    return [*fields, (b"If-Range", stored.etag)] if strong else fields


def combine(stored: Stored, new: Stored) -> Stored | None:
    """Both as one (RFC 9110 §15.3.7.3, RFC 9111 §3.4), with the newer one's terms and fields before the older one's.

    ``new`` is a 206 with its ``range``. None: they are not known to be of one representation, or leave a gap.
    """
    if new.range is None or not is_strong(stored.etag) or stored.etag != new.etag:
        return None
    if stored.range is None:
        length = len(stored.body)
        if new.range[2] not in (-1, length) or new.range[1] >= length:
            return None
        return _joined(stored, new, stored.body, None)
    first, last, length = stored.range
    other_first, other_last, other_length = new.range
    if -1 < length != other_length > -1 or other_first > last + 1 or first > other_last + 1:
        return None
    length = max(length, other_length)
    start, end = min(first, other_first), max(last, other_last)
    body = stored.body[: max(other_first - first, 0)] + new.body + stored.body[max(other_last + 1 - first, 0) :]
    if start == 0 and end + 1 == length:
        return _joined(stored, new, body, None)
    return _joined(stored, new, body, (start, end, length))


def merged(older: RawHeaders, newer: RawHeaders, *, but: frozenset[bytes]) -> RawHeaders:
    """The older fields with each that the newer ones have replaced by theirs, all its lines (RFC 9111 §3.2).

    ``but``: lower-case names that stay as the older ones have them.
    """
    added = [field for field in newer if field[0].lower() not in but]
    replaced = {name.lower() for name, _ in added}
    return [field for field in older if field[0].lower() not in replaced] + added


def _joined(stored: Stored, new: Stored, body: bytes, part: Part | None) -> Stored:
    headers = merged(stored.headers, new.headers, but=_OF_ONE_PART)
    headers = [field for field in headers if field[0].lower() not in _OF_ONE_PART]
    if part is not None:
        headers.append((b"Content-Range", content_range_field(part)))
    headers.append((b"Content-Length", b"%d" % len(body)))
    return replace(
        new,
        status=_PARTIAL if part is not None else 200,
        reason=new.reason if part is not None else b"OK",
        headers=headers,
        body=body,
        range=part,
        modified=new.modified or stored.modified,
        tags=tuple(dict.fromkeys(stored.tags + new.tags)),
        seen=min(stored.seen, new.seen),  # a purge after either one is for both
        checked=-1,
        ready=None,
    )


def content_range_field(part: Part) -> bytes:
    """As the field says it."""
    first, last, length = part
    return b"bytes %d-%d/%s" % (first, last, b"*" if length == -1 else b"%d" % length)
