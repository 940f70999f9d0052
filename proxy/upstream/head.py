"""Builds the heads that go on: requests to upstreams, answers to clients (RFC 9110 §7.6, RFC 9112 §3, §5).

Pure. Hop-by-hop fields and those that Connection names stop here, in both directions; ours are added last, so that no
Connection can name them. Each set of dropped names is compiled once and remembers what it decided for a spelling of a
field name, so that a field costs one look-up. The last step refuses a head with a stray CR, LF or NUL, wherever it
came from.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import FORWARDING, HOP_BY_HOP, list_members
from proxy.upstream.framing import CHUNKED, KEEP_LENGTH

MEMO_LIMIT: Final = 1024  # spellings remembered by one set; a flood of invented names is then decided anew each time
MEMO_NAME: Final = 64  # bytes of one that is worth remembering
PSEUDONYM: Final = b"sluicegate"

Fields = Iterable[tuple[bytes, bytes]]

Block = tuple[bytes, int]  # fields as they are sent, each after a CRLF, and how many: made once, used often
NO_BLOCK: Final[Block] = (b"", 0)

_MADE_ANEW: Final = frozenset({b"host", b"content-length", b"expect"}) | HOP_BY_HOP | FORWARDING
_HARMLESS: Final = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close", b""})  # Connection names no field

_CR: Final = 13
# What the memo holds for a spelling beside b"" (dropped) and b"\r\nName: " (passed on).
_CONNECTION: Final = b"connection"
_TE: Final = b"te"
_MAX_FORWARDS: Final = b"max-forwards"
_CONTENT_LENGTH: Final = b"content-length"
_DATE: Final = b"date"

_SAME: Final[Mapping[bytes, bytes]] = {}

_TE_TRAILERS: Final = (b"\r\nTE: ", b"trailers", b"\r\nConnection: ", b"TE")  # RFC 9110 §10.1.4
_CUTTING: Final = b"\r\n\0"  # counted together in a quarter of the time that four searches take
_COMMENT: Final = re.compile(rb"\([^()]*\)")


class RequestHeads:
    """Heads of requests sent upstream. ``drop``: lower-case names taken out, those of identity headers for example;
    ``prefixes``: so are all names that begin with one of these. ``only``: what is neither in it nor begins as one of
    ``only_prefixes`` is taken out, too; None: all else goes on.

    Always out: hop-by-hop fields, Host, Expect, the framing, forwarding fields (X-Forwarded-*, Forwarded, Via,
    X-Real-IP: the caller adds them), and every name with an underscore, which some servers read as a hyphen.
    """

    __slots__ = ("_drop", "_memo", "_only", "_only_prefixes", "_prefixes")

    def __init__(
        self,
        drop: frozenset[bytes] = frozenset(),
        prefixes: tuple[bytes, ...] = (),
        *,
        only: frozenset[bytes] | None = None,
        only_prefixes: tuple[bytes, ...] = (),
    ) -> None:
        self._drop = drop
        self._only = only
        self._only_prefixes = only_prefixes
        self._prefixes = (b"x-forwarded-", *prefixes)
        self._memo: dict[bytes, bytes] = {}

    def build(
        self,
        method: bytes,
        target: bytes,
        raw_headers: Fields,
        *,
        host: bytes,
        add: Fields,
        framing: int,
        block: Block = NO_BLOCK,
    ) -> bytes:
        """The whole head, in origin form, up to its empty line. ``add`` and ``block`` are our own fields.

        ``framing`` is NO_BODY, CHUNKED or a length. ``TE: trailers`` alone is kept (§10.1.4); Max-Forwards is counted
        down for OPTIONS and TRACE (§7.6.2; ask ``forwards_left`` first). Raises: GatewayError MALFORMED for a CR, LF or
        NUL.
        """
        parts = [method, b" ", target, b" HTTP/1.1", b"\r\nHost: ", host]
        memo = self._memo
        named: list[bytes] | None = None
        trailers = False
        for name, value in raw_headers:
            prefix = memo.get(name)
            if prefix is None:
                prefix = self._learn(name)
            if prefix:
                if prefix[0] == _CR:
                    parts += (prefix, value)
                elif prefix is _CONNECTION:
                    if value not in _HARMLESS:
                        named = (named or []) + list_members(value)
                elif prefix is _TE:
                    trailers = value.strip(b" \t").lower() == b"trailers"
                elif method in (b"OPTIONS", b"TRACE") and value.isdigit():
                    parts += (b"\r\nMax-Forwards: ", b"%d" % max(int(value[:10]) - 1, 0))
                else:
                    parts += (b"\r\nMax-Forwards: ", value)
        if named:
            parts = _without(parts, 6, named)
        if trailers:
            parts += _TE_TRAILERS
        return _finished(parts, 4, add, block, framing, Reason.MALFORMED)

    def _learn(self, name: bytes) -> bytes:
        lower = name.lower()
        if lower == _CONNECTION:
            prefix = _CONNECTION
        elif lower == _TE:
            prefix = _TE
        elif self._stops(lower):
            prefix = b""
        elif lower == _MAX_FORWARDS:
            prefix = _MAX_FORWARDS
        else:
            prefix = b"\r\n" + name + b": "
        if len(self._memo) < MEMO_LIMIT and len(name) <= MEMO_NAME:
            self._memo[name] = prefix
        return prefix

    def _stops(self, lower: bytes) -> bool:
        if lower in self._drop or lower in _MADE_ANEW or b"_" in lower or lower.startswith(self._prefixes):
            return True
        return self._only is not None and lower not in self._only and not lower.startswith(self._only_prefixes)


class ResponseHeads:
    """Heads of answers passed to clients. ``drop``: lower-case names taken out (those that the caller adds itself);
    ``rename``: lower-case names that go on under another.
    """

    __slots__ = ("_drop", "_memo", "_rename")

    def __init__(self, drop: frozenset[bytes] = frozenset(), rename: Mapping[bytes, bytes] = _SAME) -> None:
        self._drop = drop
        self._rename = rename
        self._memo: dict[bytes, bytes] = {}

    def build(
        self,
        status: int,
        reason: bytes,
        raw_headers: Fields,
        *,
        add: Fields = (),
        framing: int,
        date: Callable[[], bytes] | None = None,
    ) -> bytes:
        """The whole head as HTTP/1.1, up to its empty line. Fields keep their order and bytes; none are joined.

        ``framing`` is NO_BODY, CHUNKED, KEEP_LENGTH or a length; ``date`` gives the Date where the answer has none
        (RFC 9110 §6.6.1). Raises: GatewayError UPSTREAM_PROTOCOL for a CR, LF or NUL.
        """
        parts = [b"HTTP/1.1 %d " % status, reason]
        memo = self._memo
        named: list[bytes] | None = None
        length: bytes | None = None
        for name, value in raw_headers:
            prefix = memo.get(name)
            if prefix is None:
                prefix = self._learn(name)
            if prefix:
                if prefix[0] == _CR:
                    parts += (prefix, value)
                elif prefix is _DATE:
                    parts += (b"\r\nDate: ", value)
                    date = None
                elif prefix is _CONNECTION:
                    if value not in _HARMLESS:
                        named = (named or []) + list_members(value)
                else:
                    length = value
        if named:
            parts = _without(parts, 2, named)
        if framing == KEEP_LENGTH and length is not None:
            parts += (b"\r\nContent-Length: ", length)
        if date is not None:
            parts += (b"\r\nDate: ", date())
        return _finished(parts, 2, add, NO_BLOCK, framing, Reason.UPSTREAM_PROTOCOL)

    def _learn(self, name: bytes) -> bytes:
        lower = name.lower()
        if lower == _CONNECTION:
            prefix = _CONNECTION
        elif lower == _CONTENT_LENGTH:
            prefix = _CONTENT_LENGTH
        elif lower == _DATE:
            prefix = _DATE
        elif lower in HOP_BY_HOP or lower in self._drop:
            prefix = b""
        else:
            prefix = b"\r\n" + self._rename.get(lower, name) + b": "
        if len(self._memo) < MEMO_LIMIT and len(name) <= MEMO_NAME:
            self._memo[name] = prefix
        return prefix


def block_of(fields: Fields) -> Block:
    """Fields in the form of ``build``'s ``block``."""
    lines = [b"\r\n" + name + b": " + value for name, value in fields]
    return b"".join(lines), len(lines)


def _without(parts: list[bytes], start: int, named: list[bytes]) -> list[bytes]:
    """The parts less the fields that Connection names (§7.6.1). Before ``start`` is the start line."""
    kept = parts[:start]
    for at in range(start, len(parts), 2):
        if parts[at][2:-2].lower() not in named:
            kept += parts[at : at + 2]
    return kept


def _finished(parts: list[bytes], start: int, add: Fields, block: Block, framing: int, reason: Reason) -> bytes:
    """The head in one piece, with our fields and the framing at its end.

    After the ``start`` parts of the start line each field is two parts, and begins with the only CRLF it may hold: so
    a head with more CRs, LFs and NULs than those has been tampered with, whichever part brought them.
    """
    lines = (len(parts) - start) // 2 + 2 + block[1]
    parts.append(block[0])
    for name, value in add:
        parts += (b"\r\n", name, b": ", value)
        lines += 1
    if framing >= 0:
        parts.append(b"\r\nContent-Length: %d\r\n\r\n" % framing)
        lines += 1
    elif framing == CHUNKED:
        parts.append(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        lines += 1
    else:
        parts.append(b"\r\n\r\n")
    head = b"".join(parts)
    if len(head.translate(None, _CUTTING)) != len(head) - 2 * lines:
        raise GatewayError(reason)
    return head


def standard_reason(status: int) -> bytes:
    """The registered phrase, for an answer that came without one; b"" where there is none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def forwards_left(method: bytes, raw_headers: Fields) -> int | None:
    """How many hops an OPTIONS or TRACE may still take; 0: answer it here (RFC 9110 §7.6.2). None: not limited."""
    if method in (b"OPTIONS", b"TRACE"):
        for name, value in raw_headers:
            if name.lower() == _MAX_FORWARDS and value.isdigit():
                return int(value[:10])
    return None


def via_contains(values: Iterable[bytes], pseudonym: bytes = PSEUDONYM) -> bool:
    """Whether Via says that the message has passed here: a loop (RFC 9110 §7.6.3). Comments don't count."""
    for value in values:
        for member in _COMMENT.sub(b" ", value).lower().split(b","):
            words = member.split()
            if len(words) >= 2 and words[1] == pseudonym.lower():
                return True
    return False


def via_extended(values: Iterable[bytes], version: bytes = b"1.1", pseudonym: bytes = PSEUDONYM) -> bytes:
    """The Via to send: theirs in order, then ours. ``version`` is that of the message received."""
    return b", ".join((*values, version + b" " + pseudonym))
