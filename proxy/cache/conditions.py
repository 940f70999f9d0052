"""Preconditions and validators: is what the client has current, and how the upstream is asked whether ours is
(RFC 9110 §8.8, §13; RFC 9111 §4.3).

Pure, never raises. Entity tags that lack their quotes are compared as if they had them: senders of such things exist.
"""

import re
from collections.abc import Sequence
from typing import Final

from multidict import CIMultiDictProxy

from proxy.cache.dates import parse_date
from proxy.cache.entry import Stored
from proxy.core.headers import RawHeaders

Headers = CIMultiDictProxy[str]

_TAG: Final = re.compile(rb'(?:[Ww]/)?"[^"]*"|[^", \t][^,]*')
_SUCCESSFUL: Final = range(200, 300)


def is_strong(etag: bytes) -> bool:
    """Whether it may be compared byte for byte (§8.8.3.2)."""
    return len(etag) >= 2 and etag[:1] == b'"' and etag[-1:] == b'"'


def not_modified(stored: Stored, headers: Headers, now_ms: int) -> bool:
    """Whether a 304 answers the request (RFC 9111 §4.3.2): by If-None-Match, and only without it by If-Modified-Since.

    A response without Last-Modified is taken to be as old as its Date.
    """
    if stored.status not in _SUCCESSFUL:
        return False  # §13.2.1
    lines = headers.getall("If-None-Match", ())
    if lines:
        return _any_matches(stored.etag, lines)
    since = headers.getall("If-Modified-Since", ())
    if len(since) != 1:
        return False
    asked_ms = parse_date(_raw(since[0]), now_ms)
    if asked_ms is None:
        return False
    modified_ms = parse_date(stored.modified, now_ms) if stored.modified else None
    return (stored.terms.date_ms if modified_ms is None else modified_ms) <= asked_ms


def range_applies(stored: Stored, if_range: str, now_ms: int) -> bool:
    """Whether If-Range lets the Range be honoured: by a strong validator, exactly (§13.1.5). "" is no If-Range."""
    if not if_range:
        return True
    condition = _raw(if_range.strip(" \t"))
    if condition[-1:] == b'"':
        return is_strong(condition) and condition == stored.etag
    moment = parse_date(condition, now_ms)
    # Strong if it lies well before the Date: within a second something may change twice (§8.8.2.2).
    return moment is not None and condition == stored.modified and stored.terms.date_ms - moment >= 1000


def same_opaque(etag: bytes, other: bytes) -> bool:
    """Weak comparison (§8.8.3.2); never equal to none."""
    return bool(etag) and bool(other) and _opaque(etag) == _opaque(other)


def validators(stored: Stored) -> RawHeaders:
    """What to add to a request that asks whether it is still current (RFC 9111 §4.3.1); empty: nothing to ask by."""
    fields = []
    if stored.etag:
        fields.append((b"If-None-Match", stored.etag))
    if stored.modified:
        fields.append((b"If-Modified-Since", stored.modified))
    return fields


def _any_matches(etag: bytes, lines: Sequence[str]) -> bool:
    """Weak comparison with each member (§8.8.3.2, §13.1.2); ``*`` matches whatever there is."""
    for line in lines:
        value = _raw(line)
        if value.strip(b" \t") == b"*":
            return True
        if any(same_opaque(match[0], etag) for match in _TAG.finditer(value)):
            return True
    return False


def _opaque(etag: bytes) -> bytes:
    etag = etag.strip(b" \t")
    if etag[:3] in (b'W/"', b'w/"'):
        etag = etag[2:]
    return etag if etag[:1] == b'"' else b'"' + etag + b'"'


def _raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
