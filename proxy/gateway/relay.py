"""Bodies in both directions, and the answer's head as the client gets it. Nothing is held back."""

import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Final, Protocol

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders
from proxy.gateway.cors import ANSWER_FIELDS
from proxy.gateway.exchange import Exchange, Outcome
from proxy.upstream.framing import CHUNKED, KEEP_LENGTH, NO_BODY, answer_framing
from proxy.upstream.head import ResponseHeads, standard_reason
from proxy.upstream.response import Response

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
# Ours is the X-Request-ID of the log; theirs goes on too: a provider's support asks for it.
_ANSWERS: Final = ResponseHeads(rename={b"x-request-id": b"X-Upstream-Request-ID"})
# Where the policy says who may read, the upstream does not: a browser takes two such fields for none.
_SHARED_ANSWERS: Final = ResponseHeads(ANSWER_FIELDS, rename={b"x-request-id": b"X-Upstream-Request-ID"})
_INTERIM: Final = ResponseHeads(frozenset({b"content-length"}))


def body_length(exchange: Exchange) -> int:
    """How the request's body is delimited: NO_BODY, CHUNKED or its declared length."""
    if exchange.message.chunked:
        return CHUNKED
    length = exchange.headers.get("Content-Length")
    if length is None:
        return NO_BODY
    return int(length)  # the parser took digits only


def whole_body(exchange: Exchange) -> bytes | None:
    """The body if all of it has arrived and nobody waits for a 100; None otherwise."""
    payload = exchange.payload
    if not payload.is_eof() or payload.exception() is not None:
        return None
    body = payload.read_nowait()
    exchange.bytes_in = len(body)
    return body


async def request_body(exchange: Exchange, max_body: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Asks for it first where the client waits to be asked (RFC 9110 §10.1.1).

    Raises: GatewayError BODY_TOO_LARGE beyond ``max_body`` bytes, BODY_TIMEOUT, BAD_FRAMING; ConnectionError.
    """
    payload = exchange.payload
    if "Expect" in exchange.headers and not exchange.http10 and not payload.total_bytes:
        exchange.connection.send(CONTINUE)
    while True:
        try:
            chunk = await payload.readany()
        except (HttpProcessingError, RequestPayloadError) as exc:
            raise GatewayError(Reason.BAD_FRAMING, "the body is not framed as it says", close=True) from exc
        if not chunk:
            return
        exchange.bytes_in += len(chunk)
        if exchange.bytes_in > max_body:
            raise GatewayError(Reason.BODY_TOO_LARGE, f"at most {max_body} bytes", close=True)
        yield chunk


async def read_body(exchange: Exchange, max_body: int) -> bytes:
    """The whole body in memory, for routes that must look into it. Raises: as ``request_body``."""
    return b"".join([chunk async for chunk in request_body(exchange, max_body)])


def send_interim(exchange: Exchange, status: int, headers: RawHeaders) -> None:
    """Relays a 1xx; a client of HTTP/1.0 knows none (RFC 9110 §15.2). A 100 is the gateway's own business."""
    connection = exchange.connection
    if exchange.http10 or status == 100 or connection.transport is None:
        return
    connection.send(_INTERIM.build(status, standard_reason(status), headers, framing=NO_BODY))


class Observer(Protocol):
    """Reads an answer's body as it passes. ``feed`` and ``end`` give what to hand on; it may be less than came."""

    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


async def send_answer(exchange: Exchange, response: Response) -> None:
    """Relays the upstream's answer. Raises: ConnectionError when the client leaves.

    An upstream that breaks off leaves the client with an answer that is visibly cut, never one that looks whole.
    """
    framing = _begin(exchange, response)
    if response.body_complete:
        body = response.take()
        _send_whole(exchange, response, body, len(body) if framing == CHUNKED else framing)
        if exchange.connection.writing_paused:
            await exchange.connection.drained()
        return
    try:
        await _send_stream(exchange, response, framing, None)
    finally:
        response.close()


async def send_observed(exchange: Exchange, response: Response, observer: Observer, *, shortened: bool) -> bool:
    """As ``send_answer``, through ``observer``. ``shortened``: it may take something out, so that no length holds.

    Whether the whole body has come. The response stays open, however this ends: the caller may want the rest of it.
    """
    framing = _begin(exchange, response)
    if response.body_complete:
        taken = response.take()
        body = observer.feed(taken) + observer.end()
        known = framing == CHUNKED or len(body) != len(taken)
        _send_whole(exchange, response, body, len(body) if known else framing)
        return True
    if shortened and framing == KEEP_LENGTH:
        framing = CHUNKED
    return await _send_stream(exchange, response, framing, observer)


def _begin(exchange: Exchange, response: Response) -> int:
    if not exchange.payload.is_eof() or exchange.connection.draining:
        exchange.close = True
    if exchange.trace is not None:
        exchange.trace.mark("relay")
    return answer_framing(response.status, response.headers, head_request=exchange.method == "HEAD")


def _send_whole(exchange: Exchange, response: Response, body: bytes, length: int) -> None:
    head = answer_head(exchange, response, length)
    exchange.status = response.status  # from here on there can be no other answer
    exchange.bytes_out = len(body)
    exchange.connection.send_last(head + body)
    exchange.outcome = Outcome.FORWARDED


async def _send_stream(exchange: Exchange, response: Response, framing: int, observer: Observer | None) -> bool:
    """Whether it came to its end."""
    connection = exchange.connection
    chunked = framing == CHUNKED and not exchange.http10
    if framing == CHUNKED and not chunked:
        framing, exchange.close = NO_BODY, True  # the end of the connection is the end of the body
    try:
        head = answer_head(exchange, response, framing)
        exchange.status = response.status
        connection.send(head)
        while chunk := await response.read():
            if observer is not None and not (chunk := observer.feed(chunk)):
                continue
            exchange.bytes_out += len(chunk)
            connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if connection.writing_paused:
                await connection.drained()
    except GatewayError as error:
        if not exchange.status:
            raise
        exchange.outcome, exchange.reason, exchange.close = Outcome.CUT, error.reason, True
        connection.cut(visibly=not chunked and framing != KEEP_LENGTH)
        return False
    if observer is not None and (chunk := observer.end()):
        exchange.bytes_out += len(chunk)
        connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
    if chunked:
        connection.send(LAST_CHUNK)
    exchange.outcome = Outcome.FORWARDED
    return True


def answer_head(exchange: Exchange, response: Response, framing: int) -> bytes:
    """``framing``: a length, or one of the framing constants."""
    add = [(b"X-Request-ID", exchange.request_id.encode()), *exchange.fields]
    if exchange.close:
        add.append((b"Connection", b"close"))
    return answer_heads(exchange).build(
        response.status, response.reason, response.headers, add=add, framing=framing, date=http_date
    )


def answer_heads(exchange: Exchange) -> ResponseHeads:
    """What makes the heads of its answers."""
    return _ANSWERS if exchange.route is None or exchange.route.cors is None else _SHARED_ANSWERS


_date = (0, b"")


def http_date() -> bytes:
    """The Date of this second (RFC 9110 §6.6.1)."""
    global _date  # noqa: PLW0603 - made once a second
    now_s = int(time.time())
    if _date[0] != now_s:
        _date = (now_s, formatdate(now_s, usegmt=True).encode())
    return _date[1]
