"""Cache-Status: what the cache did with a request, for the client and its operators (RFC 9211). Pure."""

from enum import StrEnum
from typing import Final

from proxy.cache.reuse import Use

_NAME: Final = b"sluicegate"


class Forwarded(StrEnum):
    """Why a request went upstream (RFC 9211 §2.2)."""

    BYPASS = "bypass"  # the cache was not to be used
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"  # nothing fit, and which of the two it was is not known
    REQUEST = "request"  # it was fresh, but the request wanted it fresher
    STALE = "stale"
    PARTIAL = "partial"


BECAUSE: Final = {Use.STALE: Forwarded.STALE, Use.REQUEST: Forwarded.REQUEST, Use.PARTIAL: Forwarded.PARTIAL}


def hit(left_ms: int, detail: str = "") -> bytes:
    """Answered without going upstream. ``left_ms`` of its lifetime: negative once it is stale (§2.5)."""
    value = b"%s; hit; ttl=%d" % (_NAME, left_ms // 1000)
    return value + _detail(detail) if detail else value


def forwarded(
    why: Forwarded,
    *,
    status: int | None = None,
    left_ms: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str = "",
) -> bytes:
    """Answered by the upstream, or by a response that it has validated. ``status`` is the upstream's, to be named
    where the client gets another (§2.3): 304, say. ``collapsed``: another's fetch answered it (§2.7).
    """
    parts = [_NAME, b"; fwd=", why.value.encode()]
    if status is not None:
        parts.append(b"; fwd-status=%d" % status)
    if left_ms is not None:
        parts.append(b"; ttl=%d" % (left_ms // 1000))
    if stored:
        parts.append(b"; stored")
    if collapsed:
        parts.append(b"; collapsed")
    parts.append(_detail(detail))
    return b"".join(parts)


def _detail(detail: str) -> bytes:
    """One of our own words, a token, or a string (§2.9)."""
    if not detail:
        return b""
    plain = detail.isascii() and detail[0].isalpha() and all(sign.isalnum() or sign in "-_.:" for sign in detail)
    return b"; detail=" + (detail.encode() if plain else _string(detail))


def _string(text: str) -> bytes:
    """A structured field's string (RFC 9651 §3.3.3), which is ASCII: what is not becomes a question mark."""
    octets = bytes(code if 0x20 <= code < 0x7F else 0x3F for code in map(ord, text))
    for sign in (b"\\", b'"'):
        octets = octets.replace(sign, b"\\" + sign)
    return b'"' + octets + b'"'
