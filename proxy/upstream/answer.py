"""Reads one answer after another from a connection's bytes: what is a head, a body, an end, and what is no HTTP at all.

No IO. The parser is llhttp (httptools), strict by itself (``framing``). It has no mode for HEAD, takes each 1xx for a
message of its own, parses a second answer in silence and would buffer a field without end: that is kept track of here.
Trailers are dropped (RFC 9110 §6.5.1 allows it): they could only be merged by someone who knows what they mean.
"""

from collections.abc import Callable
from typing import Final

import httptools

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders
from proxy.upstream.framing import is_chunked_alone, is_reason, may_persist
from proxy.upstream.response import Response, Source

HEAD_LIMIT: Final = 64 * 1024  # bytes of one answer's head with its interim answers; also of trailers, chunk extensions
FIELDS_LIMIT: Final = 200
INTERIM_LIMIT: Final = 20

OnInterim = Callable[[int, RawHeaders], None]  # relays a 1xx at once; must not raise

# Where an answer stands after the bytes so far.
HEAD: Final = 0  # the final head has not come
BODY: Final = 1
DONE: Final = 2
BROKEN: Final = 3  # it can't be used, and ``fault`` says why

_REASONS: Final = frozenset({b"OK", b"Created", b"No Content", b"Not Modified", b"Not Found"})  # need no look
_VERSION: Final = b"HTTP/1."


class AnswerReader:
    """The reading side of one connection: ``begin`` before each answer, then ``feed``, and ``end`` at a clean EOF.

    ``heard``: whether any byte of this answer came. ``response`` is set from BODY on. ``reusable``, after DONE: whether
    the bytes so far leave the connection fit for another exchange.
    """

    __slots__ = (
        "_clean",
        "_codings",
        "_dry",
        "_head_bytes",
        "_head_request",
        "_headers",
        "_interims",
        "_on_interim",
        "_parser",
        "_prefix",
        "_reason",
        "_sized",
        "_source",
        "_state",
        "_tail",
        "fault",
        "heard",
        "response",
        "reusable",
    )

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parser = httptools.HttpResponseParser(self)
        self._clean = True
        self.begin(head_request=False, on_interim=None)

    def begin(self, *, head_request: bool, on_interim: OnInterim | None) -> None:
        """Expect a new answer. Only after DONE with ``reusable``, or on a fresh connection."""
        if not self._clean:
            self._parser = httptools.HttpResponseParser(self)
        self._head_request = head_request
        self._on_interim = on_interim
        self._state = HEAD
        self._headers: RawHeaders = []
        self._reason = self._prefix = self._tail = b""
        self._codings: list[bytes] | None = None
        self._interims = self._head_bytes = self._dry = 0
        self._sized = self._clean = self.heard = self.reusable = False
        self.response: Response | None = None
        self.fault: GatewayError | None = None

    def feed(self, data: bytes) -> int:
        """Take the next bytes; returns HEAD, BODY, DONE or BROKEN. Not to be called after the last two."""
        if self._state == HEAD:
            if not self.heard or self._prefix:
                self.heard = True
                if self._prefix:
                    data = self._prefix + data
                    self._prefix = b""
                if not data.startswith(_VERSION):
                    if _VERSION.startswith(data):
                        self._prefix = data
                        return HEAD
                    return self._break("It does not begin as HTTP/1")
            self._head_bytes += len(data)
            buffered = 0
        else:
            buffered = self.response.buffered  # type: ignore[union-attr]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.reusable = False  # a 101, refused in its head
        except httptools.HttpParserError as error:
            self.reusable = False
            if self._state < DONE:
                self._break("It is not valid HTTP", error)
        state = self._state
        if state == HEAD:
            if self._head_bytes > HEAD_LIMIT:
                return self._break("Its header section is too large")
        elif state == BODY:
            if self.response.buffered > buffered:  # type: ignore[union-attr]
                self._dry = 0
            else:
                self._dry += len(data)
                if self._dry > HEAD_LIMIT:
                    return self._break("Its chunk extensions or trailers are too large")
        elif state == DONE and not self._clean:
            # After a HEAD the parser still expects a body, and is replaced: only if nothing followed the head.
            self.reusable = self.reusable and (self._tail + data[-4:]).endswith(b"\r\n\r\n")
        if self._head_request:
            self._tail = (self._tail + data[-4:])[-4:]
        return state

    def end(self) -> int:
        """The upstream closed in good order: DONE for a body that has no other end (RFC 9112 §6.3), else BROKEN."""
        if self._state == BODY and not self._sized and self._codings is None:
            self._state = DONE
            self.reusable = False
            return DONE
        self._state = BROKEN
        self.fault = GatewayError(Reason.UPSTREAM_RESET)
        return BROKEN

    def release(self) -> None:
        """No more bytes will be read. Cuts the circles of parser, reader and connection, so that none awaits the GC."""
        self._state = BROKEN
        self._on_interim = None
        del self._parser, self._source

    def _break(self, detail: str, cause: Exception | None = None) -> int:
        self._state = BROKEN
        self.fault = GatewayError(Reason.UPSTREAM_PROTOCOL, detail)
        self.fault.__cause__ = cause
        return BROKEN

    # --- what the parser tells ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._state != HEAD:
            self.reusable = False  # a second answer

    def on_status(self, reason: bytes) -> None:
        if self._state == HEAD:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state != HEAD:
            return  # a trailer, or what follows the end
        self._headers.append((name, value))
        size = len(name)
        if size == 17 and name.lower() == b"transfer-encoding":
            if self._codings is None:
                self._codings = []
            self._codings.append(value)
        elif size == 14 and name.lower() == b"content-length":
            self._sized = True

    def on_headers_complete(self) -> None:
        if self._state != HEAD:
            return
        headers = self._headers
        if len(headers) > FIELDS_LIMIT:
            self._break("Its header section has too many fields")
        elif self._head_bytes > HEAD_LIMIT and sum(len(n) + len(v) + 4 for n, v in headers) > HEAD_LIMIT:
            self._break("Its header section is too large")
        elif self._reason not in _REASONS and not is_reason(self._reason):
            self._break("Its reason phrase is malformed")
        else:
            status = self._parser.get_status_code()
            if status < 200:
                self._interim(status)
            else:
                self._final(status)

    def _interim(self, status: int) -> None:
        """A 1xx: relayed, never final; 101 was not asked for (RFC 9110 §15.2)."""
        self._interims += 1
        if status < 100 or status == 101 or self._interims > INTERIM_LIMIT:
            self._break("Its interim answers are not acceptable")
            return
        if self._on_interim is not None:
            self._on_interim(status, self._headers)
        self._headers = []
        self._reason = b""
        self._codings = None
        self._sized = False

    def _final(self, status: int) -> None:
        persists = self._parser.should_keep_alive()
        if self._codings is not None or self._interims or self._head_request:
            version = self._parser.get_http_version()
            if version[0] != "1":  # only the first message's version was looked at in its bytes
                self._break("Its version is not HTTP/1")
                return
            http10 = version == "1.0"
            if self._codings is not None and not is_chunked_alone(self._codings, http10=http10):
                self._break("Its transfer coding is not chunked alone")
                return
            if self._head_request:
                persists = may_persist(self._headers, http10=http10)  # llhttp says no where it misses a length
        self.reusable = persists
        self.response = Response(status, self._reason, self._headers, self._source)
        self._state = DONE if self._head_request else BODY

    def on_body(self, data: bytes) -> None:
        if self._state == BODY:
            response = self.response
            response.parts.append(data)  # type: ignore[union-attr]
            response.buffered += len(data)  # type: ignore[union-attr]
        else:
            self.reusable = False

    def on_message_complete(self) -> None:
        if self._state == BODY:
            self._state = DONE
            self._clean = True
        elif self._state == DONE:
            self._clean = True  # an answer to HEAD of which the parser knows by itself that it has no body
