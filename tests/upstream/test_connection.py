"""One connection, on a real socket: bodies that stream, ends that come early, clients that leave."""

import asyncio
import gc

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.upstream.answer import AnswerReader
from proxy.upstream.connection import Connection
from proxy.upstream.framing import CHUNKED
from proxy.upstream.response import Response
from tests.upstream.conftest import BIG, OK, SHORT, Gate, Peer, StartOrigin, answering, endless, eventually, whole

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


# --- answers -------------------------------------------------------------------------------------------------------


async def test_an_answer_in_one_segment_needs_no_further_waiting(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await gate.use(started.model)
    response = await gate.send()
    assert response.body_complete
    assert (response.status, response.reason, response.take(), await response.read()) == (200, b"OK", b"ok", b"")


async def test_53_an_interim_answer_is_relayed_before_the_final_one(gate: Gate, origin: StartOrigin) -> None:
    relayed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await relayed.wait()
        await peer.send(OK)

    await gate.use((await origin(script)).model)
    sending = asyncio.create_task(gate.send())
    await eventually(lambda: gate.interims)
    assert gate.interims == [(103, [(b"Link", b"</a>")])]
    assert not sending.done()
    relayed.set()
    assert (await sending).status == 200


async def test_54_a_101_is_a_fault_of_the_upstream(gate: Gate, origin: StartOrigin) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    await gate.use((await origin(answering(answer))).model)
    with pytest.raises(GatewayError) as caught:
        await gate.send()
    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_PROTOCOL, 502)


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 500\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_58_head_serves_on_and_on(gate: Gate, origin: StartOrigin, framing: bytes) -> None:
    """No body follows, its length is kept, and the next answer on the same connection is read aright."""
    started = await origin(answering(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", OK))
    await gate.use(started.model)
    response = await gate.send(b"HEAD")
    assert response.body_complete
    assert response.headers == [tuple(line.split(b": ")) for line in framing.split(b"\r\n") if line]
    assert await gate.get() == (200, b"ok")
    assert len(started.peers) == 1


async def test_59_bad_framing_is_502_and_the_connection_is_dropped(gate: Gate, origin: StartOrigin) -> None:
    bad = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(bad if peer.number == 1 else OK)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    with pytest.raises(GatewayError) as caught:
        await gate.send()
    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_PROTOCOL, 502)
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    assert await gate.get() == (200, b"ok")
    assert not gate.attempt.reused


@pytest.mark.parametrize("extra", [b"!", OK], ids=["a byte too many", "a second answer"])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "while idle"])
async def test_59_bytes_beyond_the_answer_end_the_connection(
    gate: Gate, origin: StartOrigin, extra: bytes, later: bool
) -> None:
    """They could be taken for the answer to the next request, of another tenant."""

    async def script(peer: Peer) -> None:
        await peer.head()
        if later:
            await peer.send(OK)
            await peer.send(extra)
        else:
            await peer.send(OK + extra)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    assert await gate.get() == (200, b"ok")
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    assert await gate.get() == (200, b"ok")
    assert len(started.peers) == 2


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"HT", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_60_gone_before_the_head_is_502(gate: Gate, origin: StartOrigin, sent: bytes, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if sent:
            await peer.send(sent)
        peer.reset() if reset else peer.close()

    await gate.use((await origin(script)).model)
    with pytest.raises(GatewayError) as caught:
        await gate.send()
    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_RESET, 502)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "head", [CHUNKED_HEAD + b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]
)
async def test_60_gone_in_the_body_is_an_error_for_its_reader(
    gate: Gate, origin: StartOrigin, head: bytes, reset: bool
) -> None:
    """What came is delivered, then the reader is told: the body never looks complete."""
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(head)
        await heard.wait()
        peer.reset() if reset else peer.close()

    await gate.use((await origin(script)).model)
    response = await gate.send()
    assert await response.read() == b"hello"
    heard.set()
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            await response.read()
        assert caught.value.reason is Reason.UPSTREAM_RESET
    assert not response.body_complete


async def test_64_a_body_that_ends_with_its_connection_is_complete(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        peer.close()

    await gate.use((await origin(script)).model)
    response = await gate.send()
    assert await whole(response) == b"hello"
    assert response.body_complete


async def test_64_a_body_that_ends_in_a_reset_is_not(gate: Gate, origin: StartOrigin) -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await heard.wait()
        peer.reset()

    await gate.use((await origin(script)).model)
    response = await gate.send()
    assert await response.read() == b"hello"
    heard.set()
    with pytest.raises(GatewayError) as caught:
        await response.read()
    assert caught.value.reason is Reason.UPSTREAM_RESET


async def test_65_server_sent_events_come_one_by_one(gate: Gate, origin: StartOrigin) -> None:
    """Each is read before the next is sent."""
    taken = asyncio.Semaphore(0)
    events = [b"data: %d\n\n" % number for number in range(5)]

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED_HEAD)
        for event in events:
            await peer.send(b"%x\r\n%b\r\n" % (len(event), event))
            await taken.acquire()
        await peer.send(b"0\r\n\r\n")

    await gate.use((await origin(script)).model)
    response = await gate.send()
    for event in events:
        assert await asyncio.wait_for(response.read(), 1) == event
        taken.release()
    assert await response.read() == b""


async def test_http_1_0_upstreams_close_after_each_answer(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold")
        peer.close()

    started = await origin(script)
    await gate.use(started.model)
    assert [await gate.get(), await gate.get()] == [(200, b"old"), (200, b"old")]
    assert len(started.peers) == 2


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_61_an_answer_that_comes_too_late_is_504(gate: Gate, origin: StartOrigin, sent: bytes) -> None:
    """The beginning of a head, or an interim answer, is not yet an answer."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(sent)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model, timeouts=SHORT)
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(gate.send(), 2)
    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_TIMEOUT, 504)
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)


async def test_61_a_body_that_pauses_too_long_is_an_error_for_its_reader(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model, timeouts=SHORT)
    response = await gate.send()
    assert await response.read() == b"hello"
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(response.read(), 2)
    assert caught.value.reason is Reason.UPSTREAM_TIMEOUT
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)


async def test_a_reader_that_dawdles_is_not_the_upstreams_fault(gate: Gate, origin: StartOrigin) -> None:
    """The idle time runs only while someone waits."""
    rest = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED_HEAD + b"5\r\nhello\r\n")
        await rest.wait()
        await peer.send(b"0\r\n\r\n")

    await gate.use((await origin(script)).model, timeouts=SHORT)
    response = await gate.send()
    await asyncio.sleep(0.4)  # time is what is tested: longer than the idle time and a sweep
    rest.set()
    assert await whole(response) == b"hello"


# --- the client leaves ---------------------------------------------------------------------------------------------


async def test_62_whoever_stops_waiting_drops_the_connection_at_once(gate: Gate, origin: StartOrigin) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        asked.set()
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    sending = asyncio.create_task(gate.send())
    await asked.wait()
    sending.cancel()
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_62_also_while_its_upload_is_held_up(gate: Gate, origin: StartOrigin) -> None:
    """The upstream does not read: the upload waits for backpressure when the client leaves."""
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await left.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    sending = asyncio.create_task(gate.send(b"POST", endless(), framing=CHUNKED))
    await eventually(gate.stalled)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not gate.connections()
    left.set()
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)


async def test_62_a_reader_that_is_cancelled_drops_the_connection(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED_HEAD)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    response = await gate.send()
    reading = asyncio.create_task(response.read())
    await eventually(lambda: response.awaited)
    reading.cancel()
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    with pytest.raises(GatewayError) as caught:
        await response.read()
    assert caught.value.reason is Reason.CLIENT_GONE


# --- flat memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!",
    ],
)
async def test_a_closed_connection_is_freed_at_once(gate: Gate, origin: StartOrigin, answer: bytes) -> None:
    """It is in no circle that only the garbage collector could break."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer)
        await peer.wait_gone()

    await gate.use((await origin(script)).model)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert await gate.get() == (200, b"ok")
        for _ in range(3):
            await asyncio.sleep(0)
        left = [thing for thing in gc.get_objects() if isinstance(thing, Connection | AnswerReader | Response)]
    finally:
        gc.enable()
    assert left == []


async def test_a_big_answer_to_a_slow_reader_stays_in_the_origin(gate: Gate, origin: StartOrigin) -> None:
    """50 MB, and never more than half a MiB of it waits here."""
    block = b"x" * 65536

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        for _ in range(BIG // len(block)):
            await peer.send(block)
        await peer.wait_gone()

    await gate.use((await origin(script)).model)
    response = await gate.send()
    total = most = turns = 0
    while part := await response.read():
        total += len(part)
        most = max(most, len(part))
        turns += 1
        await asyncio.sleep(0.002 if turns % 8 == 0 else 0)
    assert total == BIG
    assert most <= 512 * 1024
    assert [connection.served for connection in gate.connections()] == [1]
