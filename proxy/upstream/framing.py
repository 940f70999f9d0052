"""How messages are delimited and what their heads may hold (RFC 9110 §5.5, §6.4; RFC 9112 §6, §9.3).

Pure. The parser (llhttp) refuses CL with TE, doubled and malformed CL, obs-fold, bare CR and LF and bad names by
itself; here is what it lets pass.
"""

import re
from typing import Final

from proxy.core.headers import RawHeaders, get_all, list_members

# How a message that we write is delimited: a length in bytes (0 and more), or one of these.
NO_BODY: Final = -1  # neither Content-Length nor Transfer-Encoding
CHUNKED: Final = -2
KEEP_LENGTH: Final = -3  # the Content-Length that the upstream sent, if any, byte for byte

_REASON: Final = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
_KEEPALIVE_TIMEOUT: Final = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)


def is_reason(reason: bytes) -> bool:
    """Whether it is a reason phrase: no control but a tab (RFC 9112 §4)."""
    return _REASON.fullmatch(reason) is not None


def is_chunked_alone(codings: list[bytes], *, http10: bool) -> bool:
    """Whether the Transfer-Encoding values are exactly ``chunked``: the only coding that is passed on.

    A coding in HTTP/1.0 is faulty framing (RFC 9112 §6.1); others were never asked for (TE is not sent for them).
    """
    return not http10 and len(codings) == 1 and codings[0].strip(b" \t").lower() == b"chunked"


def answer_framing(status: int, headers: RawHeaders, *, head_request: bool) -> int:
    """How an upstream's answer goes on: NO_BODY, KEEP_LENGTH or CHUNKED (RFC 9110 §6.4.1, RFC 9112 §6.3).

    HEAD and 304 keep a Content-Length of a body that is not sent; a 204 has none, whatever it says.
    """
    if status == 204 or status < 200:
        return NO_BODY
    if head_request or status == 304:
        return KEEP_LENGTH
    for name, _ in headers:
        if len(name) == 14 and name.lower() == b"content-length":
            return KEEP_LENGTH
    return CHUNKED


def may_persist(headers: RawHeaders, *, http10: bool) -> bool:
    """Whether Connection leaves the connection open (RFC 9112 §9.3)."""
    options = [option for value in get_all(headers, b"connection") for option in list_members(value)]
    return b"close" not in options and (not http10 or b"keep-alive" in options)


def idle_limit_s(headers: RawHeaders) -> float | None:
    """How long the upstream says it keeps an idle connection (``Keep-Alive: timeout=5``), less a second; or None.

    Node closes after 5 s: to stop a second earlier saves the POST that would meet that close half-way.
    """
    for value in get_all(headers, b"keep-alive"):
        found = _KEEPALIVE_TIMEOUT.search(value)
        if found is not None:
            return max(int(found[1]) - 1.0, 0.0)
    return None
