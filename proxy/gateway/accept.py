"""Whether a parsed request may be looked at at all: version, method, target, Host, framing, expectations.

Pure. The C parser has settled the grammar of fields; here is what it lets through and a proxy must not
(RFC 9112 §2.3, §3.2, §6; RFC 9110 §7.2, §7.6.2, §10.1.1).
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.exchange import Exchange
from proxy.upstream.head import forwards_left

ALLOWED_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# The parser also speaks RTSP and ICE, and tells of their requests as if they were HTTP/1.0.
_NOT_HTTP: Final = (
    "ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SET_PARAMETER SETUP SOURCE TEARDOWN"
)
_REFUSED_METHODS: Final = frozenset({"CONNECT", "TRACE", *_NOT_HTTP.split()})
_CLOSING_UPGRADES: Final = frozenset({"h2c", "tls/1.0", "tls/1.1", "tls/1.2", "tls/1.3"})

_BAD_IN_TARGET = re.compile(r"[^!-~]|#")
# Names as DNS, compose files and certificates know them. The grammar (RFC 3986 §3.2.2) would also take commas, quotes
# and percent-encodings, which no two servers read alike; an empty port as well.
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*\.?)(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_HOST = 262  # a name of DNS has at most 255 bytes (RFC 1035 §2.3.4), a port five digits more
_ABSOLUTE = re.compile(r"(https?)://([^/?]*)(/[^?]*)?(\?.*)?", re.IGNORECASE)


def parse_failure(exc: BaseException, max_uri: int) -> GatewayError:
    """The answer to what the parser refused. Both length limits raise LineTooLong; their sizes tell them apart."""
    if isinstance(exc, LineTooLong):
        reason = Reason.URI_TOO_LONG if exc.args[1] == max_uri else Reason.FIELDS_TOO_LARGE
        return GatewayError(reason, close=True)
    if isinstance(exc, HttpProcessingError):
        if "Too many" in str(exc.message):
            return GatewayError(Reason.FIELDS_TOO_LARGE, "too many fields", close=True)
        if "Invalid HTTP version" in str(exc.message):
            return GatewayError(Reason.VERSION_UNSUPPORTED, close=True)
    return GatewayError(Reason.MALFORMED, "the request could not be parsed", close=True)


def accept(exchange: Exchange) -> None:
    """Fills in target, path, query and host. Raises: GatewayError."""
    message = exchange.message
    if message.version != HttpVersion11 and message.version != HttpVersion10:
        if message.version < HttpVersion10:
            raise GatewayError(Reason.MALFORMED, "HTTP/0.9 is not supported", close=True)
        raise GatewayError(Reason.VERSION_UNSUPPORTED, close=True)
    if exchange.http10:
        # Intermediaries of that age pass keep-alive on unread, and then wait for each other (RFC 9112 §C.2.2).
        exchange.close = True
    if exchange.connection.oversized and _head_size(message) > exchange.connection.max_field_size:
        raise GatewayError(Reason.FIELDS_TOO_LARGE, "all fields together", close=True)
    check_method(exchange.method)
    _accept_framing(exchange, message)
    _accept_target(exchange, message)
    if "Expect" in exchange.headers and not _is_only(exchange, "Expect", "100-continue"):
        raise GatewayError(Reason.EXPECTATION_FAILED, field="Expect", close=True)
    if message.upgrade or "Upgrade" in exchange.headers:
        # After any non-101 answer to an upgrade the parser takes no further request, so the connection closes.
        exchange.close = True
        check_upgrade(exchange.headers.get("Upgrade", ""))


def check_method(method: str) -> None:
    """Raises: GatewayError METHOD_REFUSED for what no route could let through."""
    if method in _REFUSED_METHODS:
        raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", ALLOWED_METHODS),), close=True)


def check_characters(target: str) -> None:
    """Raises: GatewayError BAD_TARGET for a target that a client must have encoded."""
    if _BAD_IN_TARGET.search(target):
        raise GatewayError(Reason.BAD_TARGET, "a character that must be encoded", close=True)


def check_upgrade(offered: str) -> None:
    """``offered``: the field Upgrade. Raises: GatewayError UPGRADE_UNSUPPORTED."""
    wanted = {part.strip().lower() for part in offered.split(",")}
    # curl offers h2c with every request; ignoring an offer is right (RFC 9110 §7.8).
    if not wanted <= _CLOSING_UPGRADES:
        raise GatewayError(Reason.UPGRADE_UNSUPPORTED, field="Upgrade", close=True)


def ends_here(exchange: Exchange) -> bool:
    """Whether it asks about the gateway itself: OPTIONS for ``*``, or one that may go no further (RFC 9110 §7.6.2)."""
    return exchange.method == "OPTIONS" and (
        exchange.target == "*" or forwards_left(b"OPTIONS", exchange.message.raw_headers) == 0
    )


def _head_size(message: RawRequestMessage) -> int:
    """Bytes of all fields as they came, with colons and line ends; white space around values is not counted."""
    return sum(len(name) + len(value) + 4 for name, value in message.raw_headers)


def _is_only(exchange: Exchange, name: str, member: str) -> bool:
    """Whether the field stands there once and says just this, in any case."""
    values: list[str] = exchange.headers.getall(name)  # type: ignore[attr-defined]
    return len(values) == 1 and values[0].strip(" \t").lower() == member


@lru_cache(maxsize=512)
def _is_host(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > 65_535:
        return False
    if found["ipv6"] is None:
        return True
    try:
        ipaddress.IPv6Address(found["ipv6"])
    except ValueError:
        return False
    return True


def _accept_framing(exchange: Exchange, message: RawRequestMessage) -> None:
    if not message.chunked and "Transfer-Encoding" not in exchange.headers:
        return
    if exchange.http10:
        # RFC 9112 §6.1: a 1.0 recipient further on would not know where the message ends.
        raise GatewayError(Reason.BAD_FRAMING, "Transfer-Encoding in HTTP/1.0", field="Transfer-Encoding", close=True)
    if "Content-Length" in exchange.headers:
        raise GatewayError(Reason.BAD_FRAMING, "both lengths are given", field="Content-Length", close=True)
    if not _is_only(exchange, "Transfer-Encoding", "chunked"):
        raise GatewayError(Reason.CODING_UNSUPPORTED, field="Transfer-Encoding", close=True)


def _accept_target(exchange: Exchange, message: RawRequestMessage) -> None:
    target = message.path
    hosts = exchange.headers.getall("Host", ())  # type: ignore[attr-defined]
    if len(hosts) > 1 or (not hosts and not exchange.http10):
        raise GatewayError(Reason.BAD_HOST, "exactly one Host field is required", field="Host", close=True)
    host = hosts[0] if hosts else ""
    if host and (len(host) > _MAX_HOST or not _is_host(host)):
        raise GatewayError(Reason.BAD_HOST, field="Host", close=True)
    if not host and not exchange.http10:
        raise GatewayError(Reason.BAD_HOST, "Host is empty", field="Host", close=True)
    check_characters(target)
    if not target.startswith("/"):
        if target == "*":
            if exchange.method != "OPTIONS":
                raise GatewayError(Reason.BAD_TARGET, "'*' is for OPTIONS", close=True)
        else:
            # RFC 9112 §3.2.2: the target's authority replaces Host.
            found = _ABSOLUTE.fullmatch(target)
            if found is None or not _is_host(found[2]):
                raise GatewayError(Reason.BAD_TARGET, "neither a path nor an http URI", close=True)
            host = found[2]
            # §3.2.4: without path and query, OPTIONS asks about the server as a whole.
            whole = exchange.method == "OPTIONS" and not found[3] and not found[4]
            target = "*" if whole else (found[3] or "/") + (found[4] or "")
    exchange.target = target
    exchange.host = host
    exchange.path, _, exchange.query = target.partition("?")
