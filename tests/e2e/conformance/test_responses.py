"""Conformance 58 to 67: how answers are delimited, and what is told when one does not come as it should."""

import asyncio
import fcntl
import select
import socket
import struct
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.conformance.wire import forwarded, request, within
from tests.e2e.gateway import Client, Gateway, bearer, get, once
from tests.e2e.origin import OK, Exchange, Origin

GET = b"GET /app/x HTTP/1.1"
POST = b"POST /app/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
STREAMED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 2**20


# --- 58, 59: what an answer is ---


@pytest.mark.parametrize(
    ("method", "answer", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", None),
        ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", "9"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n", "1234"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"),
    ],
)
async def test_58_head_204_and_304_have_no_body(
    gateway: Gateway, origin: Origin, method: str, answer: bytes, length: str | None
) -> None:
    """Content-Length is kept for HEAD and 304, where it tells of a body that is not sent; the connection goes on."""
    origin.answers["/app/x"] = answer
    async with await Client.connect(gateway) as client:
        for _ in range(3):
            await client.send(get("/app/x", method=method))
            told = await client.answer(head=method == "HEAD")
            assert told.status == int(answer[9:12])
            assert told.get("Content-Length") == length
            assert told.get("Transfer-Encoding") is None or method == "HEAD"
        await client.send(get("/app/y"))
        assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize("path", ["/private/x", "/nowhere", "/closed/x", "/posts"])
async def test_58_our_own_answers_to_head_have_no_body(gateway: Gateway, origin: Origin, path: str) -> None:
    async with await Client.connect(gateway) as client:
        await client.send(get(path, method="HEAD"))
        refusal = await client.answer(head=True)
        assert refusal.status >= 400
        assert int(refusal.get("Content-Length") or 0) > 0
        await client.send(get("/app/y"))
        assert (await client.answer()).body == b"ok"


BAD_ANSWERS = {
    "cl-and-te": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "te-and-cl": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "listed-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "length-no-number": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc",
    "negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "te-unknown": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "te-not-last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "te-in-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "bare-cr": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 3\r\n\r\nabc",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "no-http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no-status": b"HTTP/1.1 OK\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "bad-name": b"HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 3\r\n\r\nabc",
    "endless-field": b"HTTP/1.1 200 OK\r\nX: " + b"v" * 200_000 + b"\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_59_bad_upstream_framing_is_502_and_its_connection_dropped(
    gateway: Gateway, origin: Origin, answer: bytes
) -> None:
    """What is ambiguous is not passed on, and what follows on that connection answers nobody."""
    dropped = threading.Event()

    async def reply(exchange: Exchange) -> None:
        try:
            await exchange.send(answer)
            if answer:
                await exchange.reader.read(1)
        finally:
            dropped.set()
            exchange.close()

    origin.answers["/app/x"] = reply
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x"))
        told = await client.answer()
        assert told.status == 502
        assert b"abc" not in told.body
        await client.send(get("/app/y"))
        assert (await client.answer()).body == b"ok"
    await within(dropped.is_set)


@pytest.mark.parametrize(
    "surplus", [b"X", OK, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"], ids=["byte", "answer", "poison"]
)
async def test_59_what_follows_an_answer_is_never_the_next_one(
    gateway: Gateway, origin: Origin, surplus: bytes
) -> None:
    """Surplus bytes would be given to whoever asks next."""
    origin.answers["/app/x"] = OK + surplus
    async with await Client.connect(gateway) as client:
        for _ in range(3):
            await client.send(get("/app/x"))
            assert (await client.answer()).body == b"ok"
            await client.send(get("/app/y"))
            assert (await client.answer()).body == b"ok"


# --- 60, 64: what is cut looks cut ---

CUTS = {
    "chunked": STREAMED + b"5\r\nhello\r\n",
    "in-a-chunk": STREAMED + b"9\r\nhello",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
}


@pytest.mark.parametrize("start", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("ends", ["close", "reset"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["1.1", "1.0"])
async def test_60_an_upstream_gone_in_a_body_is_visibly_cut(
    gateway: Gateway, origin: Origin, start: bytes, ends: str, version: bytes
) -> None:
    """For chunks by the missing last one, for a length by its being short, and where the end of the connection is the
    body's end (HTTP/1.0) by a reset."""

    async def cut(exchange: Exchange) -> None:
        await exchange.send(start)
        await asyncio.sleep(0.05)  # so that its head has gone on to the client
        exchange.close() if ends == "close" else exchange.reset()

    origin.answers["/app/x"] = cut
    answer = await once(gateway, request(b"GET /app/x " + version))
    assert answer.status == 200
    assert not answer.whole
    assert answer.body in (b"hello", b"")  # a reset may overtake what was sent before it
    assert gateway.request_line(answer.get("X-Request-ID") or "")["outcome"] == "cut"


async def test_60_a_stream_that_falls_silent_is_cut(gateway: Gateway, origin: Origin) -> None:
    """The route's idle time is up: the client learns that there is no more to come."""

    async def fall_silent(exchange: Exchange) -> None:
        await exchange.send(STREAMED + b"5\r\nhello\r\n")
        await exchange.reader.read(1)
        exchange.close()

    origin.answers["/impatient/x"] = fall_silent
    answer = await once(gateway, get("/impatient/x"))
    assert (answer.status, answer.whole) == (200, False)


async def test_64_a_close_delimited_body_that_ends_in_order_is_whole(gateway: Gateway, origin: Origin) -> None:
    """As HTTP/1.0 servers delimit it: passed on in chunks, so that its end is seen."""

    async def stream(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.05)
        await exchange.send(b" world")
        exchange.close()

    origin.answers["/app/x"] = stream
    answer = await once(gateway, get("/app/x"))
    assert (answer.body, answer.whole) == (b"hello world", True)


async def test_64_a_close_delimited_body_that_ends_in_a_reset_is_an_error(gateway: Gateway, origin: Origin) -> None:
    """Nobody can know whether that was all."""

    async def stream(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.05)
        exchange.reset()

    origin.answers["/app/x"] = stream
    assert not (await once(gateway, get("/app/x"))).whole


# --- 61: no answer at all ---


async def test_61_a_refused_connection_is_502(gateway: Gateway, origin: Origin) -> None:
    answer = await once(gateway, get("/closed/x"))
    assert (answer.status, answer.json()["reason"]) == (502, "upstream_refused")


async def test_61_failed_tls_is_502(gateway: Gateway, origin: Origin) -> None:
    """The origin speaks none."""
    answer = await once(gateway, get("/secure/x"))
    assert (answer.status, answer.json()["reason"]) == (502, "upstream_tls")


async def test_61_too_late_is_504(gateway: Gateway, origin: Origin) -> None:
    """The route's time for the first byte is 150 ms."""

    async def wait(exchange: Exchange) -> None:
        await exchange.reader.read(1)
        exchange.close()

    origin.answers["/impatient/x"] = wait
    answer = await once(gateway, get("/impatient/x"))
    assert (answer.status, answer.json()["reason"]) == (504, "upstream_timeout")


# --- 62: the client has gone ---


async def test_62_client_gone_cancels_an_upstream_that_has_not_answered(gateway: Gateway, origin: Origin) -> None:
    gone = waits_for_end(origin, "/app/x", b"")
    await leave_and_time(gateway, origin, get("/app/x"), gone)


async def test_62_client_gone_cancels_a_streaming_answer(gateway: Gateway, origin: Origin) -> None:
    gone = waits_for_end(origin, "/app/x", STREAMED + b"5\r\nhello\r\n")
    await leave_and_time(gateway, origin, get("/app/x"), gone)


async def test_62_client_gone_cancels_during_an_upload(gateway: Gateway, origin: Origin) -> None:
    gone = waits_for_end(origin, "/app/x", b"")
    await leave_and_time(gateway, origin, request(POST, b"Content-Length: 1000", body=b"x" * 10), gone)


@pytest.mark.parametrize("ends", ["fin", "reset"])
async def test_62_client_gone_cancels_an_upload_paused_by_backpressure(
    gateway: Gateway, origin: Origin, ends: str
) -> None:
    """The origin does not read, so nothing is read from the client either, its FIN included: the kernel is asked.

    A client that closes before the gateway's kernel has taken all it wrote sends no FIN: of that nobody can know.
    """
    gone = threading.Event()

    def wait_for_reset(exchange: Exchange) -> None:
        poll = select.poll()
        poll.register(exchange.writer.get_extra_info("socket").fileno(), 0)  # errors and hang-ups alone
        if poll.poll(10_000):
            gone.set()

    async def do_not_read(exchange: Exchange) -> None:
        exchange.writer.transport.pause_reading()
        await asyncio.to_thread(wait_for_reset, exchange)
        exchange.close()

    origin.answers["/large/x"] = do_not_read
    client = await Client.connect(gateway)
    await client.send(request(b"POST /large/x HTTP/1.1", b"Content-Length: %d" % (512 * MIB)))
    await fill_until_unread(gateway, client)
    assert not gone.is_set()
    started = time.monotonic()
    if ends == "reset":
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    await within(gone.is_set)
    assert time.monotonic() - started < 1


def bytes_unread(port: int, peer_port: int) -> int:
    """What lies in the kernel for the socket at this port to read."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if local.endswith(f":{port:04X}") and remote.endswith(f":{peer_port:04X}"):
            return int(queues.split(":")[1], 16)
    return 0


async def fill_until_unread(gateway: Gateway, client: Client) -> None:
    """Sends until the gateway does not read any more, all that was sent being in its kernel."""
    sock = client.writer.get_extra_info("socket")
    still = 0
    while still < 20:
        unread = bytes_unread(gateway.port, sock.getsockname()[1])
        (unsent,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
        if unread:
            still += 1
        elif not unsent:
            still = 0
            await client.send(b"x" * 131_072)
        await asyncio.sleep(0.002)


async def test_62_client_gone_releases_the_lease(gateway: Gateway, origin: Origin) -> None:
    """One at a time on this route: the next is let in as soon as the one before has left, by whichever door."""
    for _ in range(3):
        gone = waits_for_end(origin, "/alone/x", STREAMED + b"5\r\nhello\r\n")
        async with await Client.connect(gateway) as client:
            await client.send(get("/alone/x"))
            await client.answer_head()
            refusal = await once(gateway, get("/alone/x"))
            assert refusal.status == 429
        await within(gone.is_set)
        origin.answers["/alone/x"] = OK
        deadline = time.monotonic() + 1
        while (await once(gateway, get("/alone/x"))).status == 429:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_62_client_gone_settles_the_books(gateway: Gateway, origin: Origin) -> None:
    """One log line that says so, and the gauge of requests under way is back where it was."""
    gone = waits_for_end(origin, "/app/left", STREAMED + b"5\r\nhello\r\n")
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/left"))
        request_id = (await client.answer_head()).get("X-Request-ID") or ""
    await within(gone.is_set)
    line = gateway.request_line(request_id)
    assert (line["outcome"], line["status"]) == ("client_gone", 200)
    await within(lambda: gateway.metric("sluicegate_requests_in_flight$") == 0)


def waits_for_end(origin: Origin, path: str, answer: bytes) -> threading.Event:
    """Makes the origin send this at the path, and tells when the gateway has dropped the connection."""
    gone = threading.Event()

    async def serve(exchange: Exchange) -> None:
        if answer:
            await exchange.send(answer)
        await exchange.rest()
        gone.set()

    origin.answers[path] = serve
    return gone


async def leave_and_time(gateway: Gateway, origin: Origin, data: bytes, gone: threading.Event) -> None:
    client = await Client.connect(gateway)
    await client.send(data)
    await within(lambda: origin.seen)
    await asyncio.sleep(0.05)
    assert not gone.is_set()
    started = time.monotonic()
    client.writer.close()
    await within(gone.is_set)
    assert time.monotonic() - started < 1


# --- 63, 65, 66 ---


async def test_63_an_early_answer_during_an_upload_is_relayed(gateway: Gateway, origin: Origin) -> None:
    """It comes at once, and neither connection serves again: the rest of the body stands in both."""
    ended = threading.Event()

    async def refuse(exchange: Exchange) -> None:
        await exchange.reader.readexactly(10)
        await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await exchange.rest()
        ended.set()

    origin.answers["/app/x"] = refuse
    async with await Client.connect(gateway) as client:
        await client.send(request(POST, b"Content-Length: 100000", body=b"x" * 10))
        answer = await client.answer()
        assert (answer.status, answer.body, answer.get("Connection")) == (403, b"no", "close")
        await client.send(b"x" * 1000)
        assert await client.closed()
    await within(ended.is_set)


async def test_63_an_answer_that_streams_beside_its_upload(gateway: Gateway, origin: Origin) -> None:
    """Both directions at once: each piece comes back before the next is sent."""

    async def echo(exchange: Exchange) -> None:
        await exchange.send(STREAMED)
        for _ in range(5):
            await exchange.send(b"3\r\n" + await exchange.reader.readexactly(3) + b"\r\n")
        await exchange.send(b"0\r\n\r\n")

    origin.answers["/app/x"] = echo
    async with await Client.connect(gateway) as client:
        await client.send(request(POST, b"Content-Length: 15"))
        assert (await client.answer_head()).status == 200
        for number in range(5):
            await client.send(b"ab%d" % number)
            assert await asyncio.wait_for(client.reader.readexactly(8), 5) == b"3\r\nab%d\r\n" % number
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_65_server_sent_events_are_flushed_one_by_one(gateway: Gateway, origin: Origin, framing: str) -> None:
    """The origin sends the next only when the client has the one before: whoever held one back would wait for ever."""
    events = [b"data: %d\n\n" % number for number in range(20)]
    arrived = threading.Semaphore(0)

    async def stream(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        await exchange.send(head + (b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunked" else b"\r\n"))
        for event in events:
            await exchange.send(b"%x\r\n%b\r\n" % (len(event), event) if framing == "chunked" else event)
            assert await asyncio.to_thread(arrived.acquire, timeout=5)
        if framing == "chunked":
            await exchange.send(b"0\r\n\r\n")
        else:
            exchange.close()

    origin.answers["/app/x"] = stream
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x"))
        head = await client.answer_head()
        assert head.get("Content-Type") == "text/event-stream"
        for event in events:
            chunk = b"%x\r\n%b\r\n" % (len(event), event)
            assert await asyncio.wait_for(client.reader.readexactly(len(chunk)), 5) == chunk
            arrived.release()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


async def test_66_upstream_trailers_are_dropped(gateway: Gateway, origin: Origin) -> None:
    """The rule: trailers end at the gateway (RFC 9110 §6.5.1 allows it), also where the client says TE: trailers."""

    async def stream(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.03)
        await exchange.send(b"0\r\nX-End: 1\r\nSet-Cookie: a=b\r\n\r\n")

    origin.answers["/app/x"] = stream
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x", "TE: trailers", "Connection: TE"))
        head = await client.answer_head()
        assert head.get("Trailer") is None
        assert await client.reader.readuntil(b"0\r\n") == b"5\r\nhello\r\n0\r\n"
        assert await client.reader.readexactly(2) == b"\r\n"
        await client.send(get("/app/y"))
        assert (await client.answer()).status == 200


# --- 67: when to come again ---


def assert_retry_after(headers: list[str]) -> None:
    (value,) = headers
    assert value.isdigit()
    assert int(value) >= 1


async def test_67_a_429_says_when_to_come_again(gateway: Gateway, origin: Origin) -> None:
    """In whole seconds, not earlier than the limit's own field says."""
    field = bearer(user="u67")
    assert (await once(gateway, get("/once/x", field))).status == 200
    refusal = await once(gateway, get("/once/x", field))
    assert refusal.status == 429
    assert_retry_after(refusal.all("Retry-After"))
    assert int(refusal.get("Retry-After") or 0) <= 3600
    assert refusal.json()["violated-policies"] == ["one"]


async def test_67_a_429_for_too_many_at_once_says_when_to_come_again(gateway: Gateway, origin: Origin) -> None:
    gone = waits_for_end(origin, "/alone/x", STREAMED + b"5\r\nhello\r\n")
    async with await Client.connect(gateway) as client:
        await client.send(get("/alone/x"))
        await client.answer_head()
        refusal = await once(gateway, get("/alone/x"))
    assert refusal.status == 429
    assert_retry_after(refusal.all("Retry-After"))
    await within(gone.is_set)


async def test_67_a_503_for_want_of_upstream_connections_says_when_to_come_again(
    gateway: Gateway, origin: Origin
) -> None:
    """That upstream has one connection, and it is taken."""
    gone = waits_for_end(origin, "/narrow/x", STREAMED + b"5\r\nhello\r\n")
    async with await Client.connect(gateway) as client:
        await client.send(get("/narrow/x"))
        await client.answer_head()
        refusal = await once(gateway, get("/narrow/y"))
    assert refusal.status == 503
    assert_retry_after(refusal.all("Retry-After"))
    await within(gone.is_set)


async def test_67_an_upstreams_own_503_passes_untouched(gateway: Gateway, origin: Origin) -> None:
    origin.answers["/app/x"] = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    answer, _ = await forwarded(gateway, origin, get("/app/x"))
    assert (answer.status, answer.reason, answer.body) == (503, "Busy", b"busy")
    assert answer.all("Retry-After") == ["7"]


async def test_answers_keep_what_the_upstream_said(gateway: Gateway, origin: Origin) -> None:
    """Status, phrase, fields in their case and order, Date and Server too."""
    fields = 'Server: app/1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nx-lower: 1\r\nX-UPPER: 2\r\nETag: "x"\r\n'
    origin.answers["/app/x"] = f"HTTP/1.1 299 Fine Indeed\r\n{fields}Content-Length: 2\r\n\r\nok".encode()
    answer, _ = await forwarded(gateway, origin, get("/app/x"))
    assert (answer.status, answer.reason) == (299, "Fine Indeed")
    told = [f"{name}: {value}" for name, value in answer.headers]
    assert told[:5] == fields.split("\r\n")[:-1]


async def test_a_refusal_is_a_problem_document(gateway: Gateway, origin: Origin) -> None:
    """RFC 9457, with the request's id and no word of how the gateway is built."""
    answer = await once(gateway, get("/nowhere"))
    assert answer.get("Content-Type") == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["reason"], body["request_id"]) == (404, "no_route", answer.get("X-Request-ID"))
