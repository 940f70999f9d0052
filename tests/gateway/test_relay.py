"""How bodies are framed in both directions. Streams and cuts, from outside: tests/e2e/conformance/test_responses.py."""

import pytest

from proxy.gateway.relay import answer_head, body_length, send_answer, send_interim, whole_body
from proxy.upstream.framing import CHUNKED, KEEP_LENGTH, NO_BODY
from proxy.upstream.response import Response
from tests.gateway.conftest import exchange_of


class Upstream:
    """A connection that an answer comes from, which has said all it had to say."""

    def reader_waits(self) -> None: ...
    def reader_took(self) -> None: ...
    def abort(self) -> None: ...


def answer_of(*fields: tuple[bytes, bytes], body: bytes = b"") -> Response:
    response = Response(200, b"OK", list(fields), Upstream())
    if body:
        response.parts.append(body)
    response.finish()
    return response


@pytest.mark.parametrize(
    ("request_bytes", "length"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", NO_BODY),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 3),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    ],
)
def test_how_a_requests_body_is_delimited(request_bytes: bytes, length: int) -> None:
    assert body_length(exchange_of(request_bytes)) == length


def test_a_body_is_whole_when_all_of_it_is_here() -> None:
    """Then it can be sent again; what is on its way can't."""
    whole = exchange_of(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert whole_body(whole) == b"abc"
    assert whole.bytes_in == 3
    assert whole_body(exchange_of(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")) is None


@pytest.mark.parametrize(("version", "sent"), [("1.1", True), ("1.0", False)])
def test_an_interim_answer_is_for_1_1_alone(version: str, sent: bool) -> None:
    """RFC 9110 §15.2. A 100 is never relayed: the gateway asks for bodies itself."""
    exchange = exchange_of(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    exchange.connection.transport = object()
    send_interim(exchange, 100, [])
    assert exchange.connection.sent == b""
    send_interim(exchange, 103, [(b"Link", b"</a>")])
    assert exchange.connection.sent == (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if sent else b"")


@pytest.mark.parametrize(
    ("framing", "expected"),
    [(5, b"Content-Length: 5"), (CHUNKED, b"Transfer-Encoding: chunked"), (KEEP_LENGTH, b"Content-Length: 9")],
)
def test_an_answers_head(framing: int, expected: bytes) -> None:
    """Ours is the request id; the upstream's is told beside it."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    exchange.request_id, exchange.close = "ours", True
    head = answer_head(exchange, answer_of((b"X-Request-Id", b"theirs"), (b"Content-Length", b"9")), framing)
    assert b"\r\nX-Request-ID: ours\r\n" in head
    assert b"\r\nX-Upstream-Request-ID: theirs\r\n" in head
    assert b"\r\nConnection: close\r\n" in head
    assert b"\r\nDate: " in head
    assert b"\r\n" + expected + b"\r\n" in head
    assert head.lower().count(b"content-length") + head.count(b"chunked") == 1


async def test_an_answer_that_cannot_be_written_leaves_room_for_another() -> None:
    """Nothing has been sent, so the status is not set: the client is told 502 instead of being cut."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(Exception, match="upstream_protocol"):
        await send_answer(exchange, answer_of((b"X", b"a\r\nSet-Cookie: evil"), body=b"hello"))
    assert exchange.status == 0
    assert exchange.connection.sent == b""
