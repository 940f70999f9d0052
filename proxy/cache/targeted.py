"""Which field governs a response: CDN-Cache-Control where it is valid, else Cache-Control and Expires (RFC 9213).

Pure, never raises. The gateway's target list has one member, CDN-Cache-Control. It is a structured field: one that
does not parse, or says nothing, is ignored whole; a directive of a wrong type is ignored by itself (§2.1).
"""

from dataclasses import dataclass
from typing import Final

import http_sf

from proxy.cache.directives import Directives, parse
from proxy.core.headers import RawHeaders, get_all

CDN_CACHE_CONTROL: Final = b"cdn-cache-control"

_NUMBERS: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_FIELD_LISTS: Final = frozenset({"no-cache", "private"})
_FLAGS: Final = frozenset(
    {"no-store", "must-revalidate", "proxy-revalidate", "must-understand", "public", "no-transform", "immutable"}
)


@dataclass(frozen=True, slots=True)
class Governing:
    """``targeted``: it is CDN-Cache-Control's word, and Expires does not count (§2.2)."""

    directives: Directives
    targeted: bool


def governing(headers: RawHeaders) -> Governing:
    """What the response says to a cache like this one."""
    lines = get_all(headers, CDN_CACHE_CONTROL)
    if lines:
        directives = _structured(b", ".join(lines))
        if directives:
            return Governing(directives, targeted=True)
    return Governing(parse(get_all(headers, b"cache-control")), targeted=False)


def _structured(value: bytes) -> Directives | None:
    try:
        members = http_sf.parse(value, tltype="dictionary")
    except http_sf.StructuredFieldError:
        return None
    found: Directives = {}
    for name, member in members.items():  # type: ignore[union-attr]
        bare = member[0] if isinstance(member, tuple) else member  # its parameters mean nothing (§2.1)
        if name in _NUMBERS:
            if isinstance(bare, int) and not isinstance(bare, bool) and bare >= 0:
                found[name.encode()] = b"%d" % bare
        elif bare is True:
            found[name.encode()] = None
        elif name in _FIELD_LISTS:
            if (listed := _listed(bare)) is not None:
                found[name.encode()] = listed
        elif name not in _FLAGS:
            found[name.encode()] = b""  # an extension, whatever it says
    return found


def _listed(bare: object) -> bytes | None:
    """Field names as a string or an inner list; None where it is neither."""
    if isinstance(bare, list):
        return b",".join(str(item[0] if isinstance(item, tuple) else item).encode() for item in bare)
    if isinstance(bare, str):
        return bare.encode()
    return None
