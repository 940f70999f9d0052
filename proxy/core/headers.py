"""Which header fields stop at a proxy, and how lists in them are read (RFC 9110 §5.6, §7.6.1).

Pure. Names in the tables are lower-case bytes.
"""

import re
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

# RFC 9110 §7.6.1, plus what older proxies left behind. Transfer-Encoding and Content-Length are re-made, not copied.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

# Rebuilt by the gateway from what it knows, so a client's Connection field cannot take them away.
FORWARDING: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-real-ip",
        b"via",
    }
)

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def is_token(value: bytes) -> bool:
    """Whether it is a token (RFC 9110 §5.6.2)."""
    return _TOKEN.fullmatch(value) is not None


def list_members(value: bytes) -> list[bytes]:
    """Members of a comma list without quoted strings, lower-cased, empty ones left out (RFC 9110 §5.6.1)."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def get_all(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Every value of a field, in order. ``name`` in lower case."""
    return [value for key, value in headers if key.lower() == name]
