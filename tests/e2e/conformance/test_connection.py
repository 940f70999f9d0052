"""Conformance 31 to 38: pipelining, deadlines, half-closed clients, keep-alive and its races (RFC 9112 §9)."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance.conftest import gateway_for
from tests.e2e.conformance.test_framing import cases
from tests.e2e.conformance.wire import HOST, SMUGGLED, reached, request, talk, within
from tests.e2e.gateway import Client, Gateway, get, once
from tests.e2e.origin import OK, Exchange, Origin, read_body

GET = b"GET /app/x HTTP/1.1"
POST = b"POST /app/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
MIB = 2**20
MAX_CONNECTIONS = 6
TIGHT = f"""
  header_timeout: 400ms
  body_min_rate: 20KiB
  body_grace: 500ms
  keepalive: 600ms
  max_connections: {MAX_CONNECTIONS}
"""


@pytest.fixture(scope="module")
def tight_gateway(session_origin: Origin) -> Iterator[Gateway]:
    """A gateway whose patience a test can wait out."""
    with gateway_for(session_origin, TIGHT) as gateway:
        yield gateway


@pytest.fixture
def tight(tight_gateway: Gateway, origin: Origin) -> Gateway:
    return tight_gateway


def resident_mib(gateway: Gateway) -> float:
    (pid,) = gateway.worker_pids()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / MIB


# --- 31: pipelining ---


async def test_31_pipelined_answers_come_in_order(gateway: Gateway, origin: Origin) -> None:
    """The first is slow, the others would be ready: each waits for its turn (§9.3.2)."""
    origin.answers["/app/0"] = lambda exchange: exchange.pause_then_ok(0.2)
    async with await Client.connect(gateway) as client:
        await client.send(b"".join(get(f"/app/{n}") for n in range(8)))
        for _ in range(8):
            assert (await client.answer()).status == 200
    assert [seen.request_line for seen in origin.seen] == [f"GET /app/{n} HTTP/1.1" for n in range(8)]


async def test_31_the_queue_is_bounded(gateway: Gateway, origin: Origin) -> None:
    """Who pipelines without end is held up by TCP, not held in memory."""
    released = threading.Event()  # the origin has a loop of its own

    async def wait(exchange: Exchange) -> None:
        await asyncio.to_thread(released.wait, 10)
        await exchange.send(OK)

    origin.answers["/app/slow"] = wait
    before = resident_mib(gateway)
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/slow"))
        many = get("/app/x", "X-Filler: " + "v" * 2000) * 100
        sent = 0
        try:
            async with asyncio.timeout(3):
                while sent < 64 * MIB:
                    async with asyncio.timeout(0.5):
                        await client.send(many)
                    sent += len(many)
        except TimeoutError:
            pass
        assert sent < 32 * MIB  # what the kernel's buffers take
        assert resident_mib(gateway) - before < 8
        assert [seen.request_line for seen in origin.seen] == ["GET /app/slow HTTP/1.1"]
        released.set()
        for _ in range(100):
            assert (await client.answer()).status == 200
        client.writer.transport.abort()
    await within(lambda: gateway.metric("sluicegate_client_connections$") == 0)


async def test_31_an_error_closes_in_its_turn(gateway: Gateway, origin: Origin) -> None:
    """What came before is answered, what comes behind is no request."""
    origin.answers["/app/slow"] = lambda exchange: exchange.pause_then_ok(0.2)
    malformed = b"GET /app/bad HTTP/1.1\r\nHost : app.test\r\n\r\n"
    told = await talk(gateway, get("/app/slow"), malformed, SMUGGLED, gap_s=0.03)
    assert told.statuses == [200, 400]
    assert len(await reached(gateway, origin)) == 1


async def test_31_a_client_that_leaves_behind_a_full_pipeline_is_noticed(gateway: Gateway, origin: Origin) -> None:
    """Its queue is full, so nobody reads; its answer is a stream that has nothing to say. 62 holds all the same."""
    gone = stream_until_dropped(origin, "/app/stream")
    client = await Client.connect(gateway)
    await client.send(get("/app/stream"))
    await client.answer_head()
    client.writer.write(get("/app/x") * 2000)
    # Its end may come before or behind the moment at which nobody reads: most often behind, and either must be noticed.
    await asyncio.sleep(0.2)
    client.writer.close()
    started = time.monotonic()
    await within(gone.is_set)
    assert time.monotonic() - started < 1


def stream_until_dropped(origin: Origin, path: str) -> threading.Event:
    """Makes the origin begin an answer at this path, and tells when its connection has been dropped."""
    gone = threading.Event()

    async def stream(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await exchange.rest()
        gone.set()

    origin.answers[path] = stream
    return gone


# --- 32, 33: deadlines ---


@pytest.mark.parametrize("start", [b"G", b"GET /app/x HTTP/1.1\r\n", b"GET /app/x HTTP/1.1\r\nHost: app.test\r\nX: "])
async def test_32_a_header_that_does_not_arrive_in_time_is_408(tight: Gateway, origin: Origin, start: bytes) -> None:
    """From its first byte, however steadily it trickles."""
    started = time.monotonic()
    told = await talk(tight, start, *[b"x"] * 14, gap_s=0.05)
    assert told.statuses in ([408], [400])
    assert told.statuses == [408] or start == b"G"
    assert time.monotonic() - started < 4
    assert await reached(tight, origin) == []


async def test_32_the_deadline_holds_for_later_requests_too(tight: Gateway, origin: Origin) -> None:
    told = await talk(tight, get("/app/x"), b"GET /app/y HTTP/1.1\r\n", gap_s=0.05)
    assert told.statuses == [200, 408]


async def test_32_a_connection_that_says_nothing_is_closed_in_silence(tight: Gateway) -> None:
    """No answer to what nobody asked: it could be taken for that to a request on its way."""
    told = await talk(tight, within_s=3)
    assert (told.statuses, told.rest) == ([], b"")


async def test_32_an_idle_connection_is_closed_in_silence(tight: Gateway) -> None:
    told = await talk(tight, get("/app/x"), within_s=3)
    assert told.statuses == [200]


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", CHUNKED], ids=["length", "chunked"])
async def test_33_a_body_below_the_minimum_rate_is_408(tight: Gateway, origin: Origin, framing: bytes) -> None:
    """A byte now and then keeps no connection of the upstream's busy; its own is dropped."""
    dropped = threading.Event()

    async def read(exchange: Exchange) -> None:
        if not (await exchange.rest()).endswith(b"0\r\n\r\n"):
            dropped.set()

    origin.answers["/app/x"] = read
    piece = b"1\r\nx\r\n" if framing == CHUNKED else b"x"
    told = await talk(tight, request(POST, framing), *[piece] * 30, gap_s=0.05)
    assert told.statuses == [408]
    await within(dropped.is_set)


async def test_33_a_body_above_the_minimum_rate_may_take_its_time(tight: Gateway, origin: Origin) -> None:
    async with await Client.connect(tight) as client:
        await client.send(request(POST, b"Content-Length: 60000"))
        for _ in range(20):
            await client.send(b"x" * 3000)
            await asyncio.sleep(0.06)  # time is what is tested: 50 kB/s
        assert (await client.answer()).status == 200
    assert len(origin.last().body) == 60_000


async def test_33_a_slow_upstream_is_not_the_clients_slowness(tight: Gateway, origin: Origin) -> None:
    """Time in which the upstream did not read counts against nobody's rate."""
    size = 16 * MIB

    async def read_late(exchange: Exchange) -> None:
        await asyncio.sleep(1.2)  # time is what is tested: longer than the grace of a slow body
        exchange.seen.body = await read_body(exchange.seen, exchange.reader)
        await exchange.send(OK)

    origin.answers["/app/x"] = read_late
    big = request(b"POST /large/x HTTP/1.1", b"Content-Length: %d" % size)
    origin.answers["/large/x"] = read_late
    async with await Client.connect(tight) as client:
        await client.send(big)
        await client.send(b"x" * size)
        assert (await client.answer()).status == 200
    assert len(origin.last().body) == size


async def test_33_a_slow_reader_is_bounded_by_backpressure(gateway: Gateway, origin: Origin) -> None:
    """The upstream is held up as the client holds up the gateway, whose memory stays flat."""
    sent = 0

    async def pour(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        while sent < 256 * MIB:
            await exchange.send(b"x" * 65536)
            sent += 65536

    origin.answers["/app/x"] = pour
    before = resident_mib(gateway)
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x"))
        await within(lambda: sent)
        held_at = -1
        while held_at != sent:
            held_at = sent
            await asyncio.sleep(0.3)  # time is what is tested: nothing more comes through
        assert 0 < sent < 64 * MIB  # what the kernel's buffers take
        assert resident_mib(gateway) - before < 8
        assert (await client.reader.read(100)).startswith(b"HTTP/1.1 200 OK\r\n")
        client.writer.transport.abort()


# --- 34, 35: the ends of a connection ---


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_34_a_half_closed_client_is_refused(gateway: Gateway, origin: Origin, method: str) -> None:
    """A FIN is taken for the client's leaving, and what it asked for is cancelled.

    TCP lets a client send FIN and still read the answer (``printf … | nc``). A gateway can't tell it from one that has
    left, and 62 (the upstream is cancelled within a second) is worth more: so half-closed clients are not served.
    """
    gone = threading.Event()

    async def wait(exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)
        await exchange.rest()
        gone.set()

    origin.answers["/app/x"] = wait
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x", method=method, body=b"abc" if method == "POST" else b""))
        await within(lambda: origin.seen)
        client.writer.write_eof()
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer(within_s=2)
    await within(gone.is_set)


HIDDEN = SMUGGLED * 200  # a body that would be requests


@cases(
    {
        "401": request(b"POST /private/x HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
        "404": request(b"POST /nowhere HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
        "405": request(b"DELETE /posts HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
        "413": request(b"POST /small/x HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
        "413-later": request(b"POST /app/x HTTP/1.1", b"Content-Length: 5000000"),
        "417": request(POST, b"Content-Length: %d" % len(HIDDEN), b"Expect: something"),
        "501": request(POST, b"Content-Length: %d" % len(HIDDEN), b"Connection: Upgrade", b"Upgrade: websocket"),
        "502": request(b"POST /closed/x HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
        "chunked-401": request(b"POST /private/x HTTP/1.1", CHUNKED, body=b"%x\r\n" % len(HIDDEN)),
        "preflight": request(
            b"OPTIONS /app/x HTTP/1.1",
            b"Origin: https://app.example.com",
            b"Access-Control-Request-Method: PUT",
            b"Content-Length: %d" % len(HIDDEN),
        ),
        "early-answer": request(b"POST /app/early HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)),
    }
)
async def test_35_after_an_error_unread_body_cannot_become_a_request(
    gateway: Gateway, origin: Origin, data: bytes
) -> None:
    """One answer, and the connection ends, however much of the body has come."""

    async def answer_early(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await exchange.rest()  # what still comes is body

    origin.answers["/app/early"] = answer_early
    for cut in (0, 10, len(SMUGGLED) * 7, len(HIDDEN) - 1):
        async with await Client.connect(gateway) as client:
            await client.send(data + HIDDEN[:cut])
            answer = await client.answer()
            assert answer.status >= 400 or answer.status == 204
            assert answer.get("Connection") == "close"
            client.writer.write(HIDDEN[cut:] + SMUGGLED)
            assert await client.reader.read() == b""
    assert not [seen for seen in await reached(gateway, origin) if "smuggled" in seen.request_line]


async def test_35_an_answer_arrives_although_its_request_is_still_being_sent(gateway: Gateway, origin: Origin) -> None:
    """The gateway reads on for a while before it closes: a reset would take the answer away (§9.6)."""
    async with await Client.connect(gateway) as client:
        await client.send(request(b"POST /private/x HTTP/1.1", b"Content-Length: 1000000"))
        for _ in range(100):
            client.writer.write(b"x" * 10_000)
            await asyncio.sleep(0)
        answer = await client.answer()
    assert (answer.status, answer.whole) == (401, True)


# --- 36, 37: the upstream's keep-alive ---


def closes_reused(origin: Origin, path: str, *, first: bytes = b"") -> list[str]:
    """Makes the origin drop a connection that has served before, when a request for this path comes on it."""
    served: set[asyncio.StreamWriter] = set()
    seen: list[str] = []

    async def answer(exchange: Exchange) -> None:
        seen.append(exchange.seen.request_line)
        await read_body(exchange.seen, exchange.reader)
        if exchange.writer in served and exchange.seen.get("X-Race"):
            if first:
                await exchange.send(first)
            exchange.reset()
            return
        served.add(exchange.writer)
        await exchange.send(OK)

    origin.answers[path] = answer
    return seen


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_36_an_idempotent_request_that_meets_a_closing_connection_is_sent_again(
    gateway: Gateway, origin: Origin, method: str
) -> None:
    """The upstream closed while the request was on its way (§9.3.1): once more, on a fresh connection."""
    seen = closes_reused(origin, "/app/race")
    await once(gateway, get("/app/race"))
    body = b"abc" if method == "PUT" else b""
    answer = await once(gateway, get("/app/race", "X-Race: 1", method=method, body=body), head=method == "HEAD")
    assert answer.status == 200
    assert seen[1:] == [f"{method} /app/race HTTP/1.1"] * 2


async def test_36_a_post_that_meets_a_closing_connection_is_502(gateway: Gateway, origin: Origin) -> None:
    """It may have been carried out."""
    seen = closes_reused(origin, "/app/race")
    await once(gateway, get("/app/race"))
    answer = await once(gateway, get("/app/race", "X-Race: 1", method="POST", body=b"abc"))
    assert answer.status == 502
    assert seen[1:] == ["POST /app/race HTTP/1.1"]


async def test_37_what_has_begun_to_be_answered_is_not_sent_again(gateway: Gateway, origin: Origin) -> None:
    """Not even a part of a status line is ignored (RFC 9110 §9.2.2)."""
    seen = closes_reused(origin, "/app/race", first=b"HTTP/1.1 2")
    await once(gateway, get("/app/race"))
    assert (await once(gateway, get("/app/race", "X-Race: 1"))).status == 502
    assert len(seen) == 2


async def test_37_a_body_that_streams_is_not_sent_again(gateway: Gateway, origin: Origin) -> None:
    """Half of it is gone already."""
    seen = closes_reused(origin, "/app/race")
    await once(gateway, get("/app/race"))
    async with await Client.connect(gateway) as client:
        await client.send(request(b"PUT /app/race HTTP/1.1", b"X-Race: 1", b"Content-Length: 6", body=b"abc"))
        await within(lambda: len(seen) == 2)
        await client.send(b"def")
        assert (await client.answer()).status == 502
    assert len(seen) == 2


async def test_37_a_fresh_connection_that_breaks_is_not_tried_again(gateway: Gateway, origin: Origin) -> None:
    """Only a connection that had served before can have been closing."""

    async def reset(exchange: Exchange) -> None:
        exchange.reset()

    origin.answers["/own-name/x"] = reset
    assert (await once(gateway, get("/own-name/x"))).status == 502
    assert [seen.request_line for seen in origin.seen] == ["GET /own-name/x HTTP/1.1"]


# --- 38 and how connections end ---

STREAMED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",)], ids=["plain", "keep-alive"])
@pytest.mark.parametrize("pause", [False, True], ids=["at-once", "streamed"])
async def test_38_an_http_1_0_client_never_gets_chunked(
    gateway: Gateway, origin: Origin, fields: tuple[str, ...], pause: bool
) -> None:
    """Its body is as long as it says, or as the connection lasts (RFC 9112 §6.3)."""

    async def stream(exchange: Exchange) -> None:
        await exchange.send(STREAMED + b"5\r\nhello\r\n")
        if pause:
            await asyncio.sleep(0.05)
        await exchange.send(b"6\r\n world\r\n0\r\n\r\n")

    origin.answers["/app/x"] = stream
    async with await Client.connect(gateway) as client:
        await client.send(b"GET /app/x HTTP/1.0\r\n" + HOST + "".join(f + "\r\n" for f in fields).encode() + b"\r\n")
        answer = await client.answer()
        assert await client.closed()
    assert answer.body == b"hello world"
    assert answer.get("Transfer-Encoding") is None
    assert answer.get("Connection") == "close"


@cases(
    {
        "http-1.0": b"GET /app/x HTTP/1.0\r\n" + HOST + b"\r\n",
        "http-1.0-keep-alive": b"GET /app/x HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n",
        "close": get("/app/x", "Connection: close"),
        "close-among-others": get("/app/x", "Connection: x-hop, CLOSE"),
        "close-of-two": get("/app/x", "Connection: keep-alive", "Connection: close"),
        "own-answer": get("/private/x", "Connection: close"),
        "head": get("/app/x", "Connection: close", method="HEAD"),
    }
)
async def test_38_connections_end_where_they_should(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """After Connection: close, and always for HTTP/1.0, whose keep-alive no intermediary understands (§C.2.2)."""
    told = await talk(gateway, data, heads=data.startswith(b"HEAD"))
    assert len(told.statuses) == 1
    assert told.answers[0].get("Connection") == "close"


async def test_38_a_connection_serves_many_requests_of_all_kinds(gateway: Gateway, origin: Origin) -> None:
    """Whole bodies, answers without a body and refusals all keep it."""
    origin.answers["/app/none"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    origin.answers["/app/same"] = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
    steps = [
        (get("/app/x"), 200),
        (get("/app/x", method="HEAD"), 200),
        (get("/app/x", method="POST", body=b"abc"), 200),
        (request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), 200),
        (get("/app/none"), 204),
        (get("/app/same"), 304),
        (get("/private/x"), 401),
        (get("/private/x", method="HEAD"), 401),
        (get("/nowhere", method="POST", body=b"abc"), 404),
        (get("/posts"), 405),
        (get("/closed/x"), 502),
        (get("/app/x"), 200),
    ]
    async with await Client.connect(gateway) as client:
        for data, status in steps:
            await client.send(data)
            answer = await client.answer(head=data.startswith(b"HEAD"))
            assert answer.status == status
            assert answer.get("Connection") is None


async def test_connections_over_the_limit_are_told_503_and_closed(tight: Gateway, origin: Origin) -> None:
    """With Retry-After; those that stand are not disturbed, and room that comes free is used."""
    clients = []
    for _ in range(MAX_CONNECTIONS):
        client = await Client.connect(tight)
        clients.append(client)
        await client.send(get("/app/x"))
        assert (await client.answer()).status == 200
    told = await talk(tight, get("/app/x"), gap_s=0.05)
    assert told.statuses == [503]
    assert int(told.answers[0].get("Retry-After") or 0) >= 1
    await clients[0].send(get("/app/x"))
    assert (await clients[0].answer()).status == 200
    for client in clients:
        client.writer.close()
    async with asyncio.timeout(5):  # until the gateway has seen them close
        while (await once(tight, get("/app/x"))).status != 200:
            pass
