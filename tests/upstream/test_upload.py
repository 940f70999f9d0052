"""Bodies on their way up: framing, backpressure, and not a byte more than was declared."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.upstream.framing import CHUNKED, NO_BODY
from proxy.upstream.upload import SLICE, send_body, slices
from tests.upstream.conftest import BIG, OK, SHORT, Gate, Peer, StartOrigin, endless, eventually, pieces, stuck, whole


class FakeSink:
    """Notes writes; closes itself after ``closes_after`` of them."""

    def __init__(self, closes_after: int = 1 << 30) -> None:
        self.written: list[bytes] = []
        self.drained = 0
        self._closes_after = closes_after

    @property
    def closed(self) -> bool:
        return len(self.written) >= self._closes_after

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None:
        self.drained += 1


async def test_chunks_are_framed_and_the_last_one_is_empty() -> None:
    """An empty piece in the middle would end the body, and is left out."""
    sink = FakeSink()
    await send_body(sink, pieces(b"a" * 17, b"", b"b"), CHUNKED)
    assert b"".join(sink.written) == b"11\r\n" + b"a" * 17 + b"\r\n1\r\nb\r\n0\r\n\r\n"


async def test_a_length_is_sent_raw() -> None:
    sink = FakeSink()
    await send_body(sink, pieces(b"ab", b"c"), 3)
    assert b"".join(sink.written) == b"abc"


async def test_no_body_is_no_body() -> None:
    sink = FakeSink()
    await send_body(sink, pieces(b""), NO_BODY)
    assert sink.written == []
    with pytest.raises(GatewayError, match="bad_framing"):
        await send_body(sink, pieces(b"a"), NO_BODY)


async def test_every_piece_waits_for_room() -> None:
    sink = FakeSink()
    await send_body(sink, pieces(b"a", b"b", b"c"), 3)
    assert sink.drained == 3


@pytest.mark.parametrize(("chunks", "sent"), [((b"ab", b"cd"), b"ab"), ((b"ab",), b"ab"), ((), b"")])
async def test_a_body_of_another_length_is_refused(chunks: tuple[bytes, ...], sent: bytes) -> None:
    sink = FakeSink()
    with pytest.raises(GatewayError) as caught:
        await send_body(sink, pieces(*chunks), 3)
    assert caught.value.reason is Reason.BAD_FRAMING
    assert b"".join(sink.written) == sent


@pytest.mark.parametrize("framing", [CHUNKED, 3])
async def test_nothing_is_sent_to_a_closed_connection(framing: int) -> None:
    """And that is no error here: whoever waits for the answer hears why."""
    sink = FakeSink(closes_after=1)
    await send_body(sink, pieces(b"a", b"b", b"c"), framing)
    assert len(sink.written) == 1


async def test_a_body_in_memory_goes_in_slices() -> None:
    body = bytes(range(256)) * 1024
    got = [piece async for piece in slices(body)]
    assert b"".join(got) == body
    assert {len(piece) for piece in got} == {SLICE}


# --- on a real socket ------------------------------------------------------------------------------------------------


async def test_an_upload_is_framed_as_its_head_says(gate: Gate, origin: StartOrigin) -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        for size in (len(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), 5, 5):
            got.append(await peer.head())
            got.append(await peer.body(size))
            await peer.send(OK)

    started = await origin(script)
    await gate.use(started.model)
    for body, framing in ((pieces(b"abc", b"", b"de"), CHUNKED), (pieces(b"abc", b"de"), 5), (b"abcde", 5)):
        assert (await gate.send(b"POST", body, framing=framing)).status == 200
    assert got[1::2] == [b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", b"abcde"]
    assert len(started.peers) == 1


@pytest.mark.parametrize("chunks", [(b"abc",), (b"abc", b"defg")], ids=["shorter", "longer"])
async def test_an_upload_is_held_to_its_length(gate: Gate, origin: StartOrigin, chunks: tuple[bytes, ...]) -> None:
    """What is more would be read as the next request."""
    got = bytearray()

    async def script(peer: Peer) -> None:
        await peer.head()
        while data := await peer.reader.read(65536):
            got.extend(data)

    started = await origin(script)
    await gate.use(started.model)
    with pytest.raises(GatewayError) as caught:
        await gate.send(b"POST", pieces(*chunks), framing=5)
    assert caught.value.reason is Reason.BAD_FRAMING
    await eventually(lambda: not gate.connections())
    assert len(got) <= 5


async def test_what_the_bodys_source_raises_comes_out(gate: Gate, origin: StartOrigin) -> None:
    """And the upstream never takes the upload for complete."""
    got = bytearray()

    async def script(peer: Peer) -> None:
        await peer.head()
        try:
            while data := await peer.reader.read(65536):
                got.extend(data)
        finally:
            peer.gone.set()

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        raise GatewayError(Reason.BODY_TIMEOUT)

    started = await origin(script)
    await gate.use(started.model)
    with pytest.raises(GatewayError) as caught:
        await gate.send(b"POST", body(), framing=CHUNKED)
    assert caught.value.reason is Reason.BODY_TIMEOUT
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    assert not got.endswith(b"0\r\n\r\n")


async def test_63_an_early_refusal_is_relayed_and_stops_the_upload(gate: Gate, origin: StartOrigin) -> None:
    """The connection is not used again: the rest of the upload would be read as a request."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.body(3)
        await peer.send(refusal)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model)
    response = await asyncio.wait_for(gate.send(b"POST", stuck(b"abc"), framing=100), 1)
    assert (response.status, await whole(response)) == (413, b"no")
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)
    assert not gate.connections()


async def test_63_also_when_the_upstream_no_longer_reads_and_closes(gate: Gate, origin: StartOrigin) -> None:
    """As servers do that refuse a body: they answer, and close with it unread."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(refusal)
        peer.close()

    await gate.use((await origin(script)).model)
    response = await asyncio.wait_for(gate.send(b"POST", endless(), framing=CHUNKED), 2)
    assert (response.status, await whole(response)) == (401, b"no")


async def test_63_a_refusal_that_streams_stops_the_upload_and_is_read_to_its_end(
    gate: Gate, origin: StartOrigin
) -> None:
    rest = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nno")
        await rest.wait()
        await peer.send(b", ")
        await peer.wait_gone()

    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in stuck(b"abc"):
                yield chunk
        finally:
            ended.set()

    started = await origin(script)
    await gate.use(started.model)
    response = await asyncio.wait_for(gate.send(b"POST", body(), framing=CHUNKED), 1)
    assert ended.is_set()
    rest.set()
    assert await whole(response) == b"no, "
    await asyncio.wait_for(started.peers[0].gone.wait(), 1)


async def test_an_echo_answers_while_the_upload_goes_on(gate: Gate, origin: StartOrigin) -> None:
    """``request.pipe(response)``: a 2xx that streams does not stop the upload; both ends come."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(3):
            await peer.send(await peer.body(2))
        await peer.wait_gone()

    echoed: list[bytes] = []
    turn = asyncio.Semaphore(1)

    async def body() -> AsyncIterator[bytes]:
        for chunk in (b"ab", b"cd", b"ef"):
            await turn.acquire()
            yield chunk

    await gate.use((await origin(script)).model)
    response = await gate.send(b"POST", body(), framing=6)
    while part := await response.read():
        echoed.append(part)
        turn.release()
    assert echoed == [b"ab", b"cd", b"ef"]


async def test_61_an_upstream_that_takes_no_more_is_504(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    await gate.use((await origin(script)).model, timeouts=SHORT)
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(gate.send(b"POST", endless(), framing=CHUNKED), 3)
    assert caught.value.reason is Reason.UPSTREAM_TIMEOUT


async def test_the_first_byte_time_begins_when_the_upload_has_ended(gate: Gate, origin: StartOrigin) -> None:
    """A slow client is not the upstream's fault."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.body(2)
        await peer.send(OK)

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.4)  # time is what is tested: longer than the first-byte time and a sweep
        yield b"b"

    await gate.use((await origin(script)).model, timeouts=SHORT)
    assert (await gate.send(b"POST", slow(), framing=2)).status == 200


async def test_a_big_upload_to_a_slow_origin_stays_with_the_client(gate: Gate, origin: StartOrigin) -> None:
    """50 MB, and the source is asked for more only as fast as the origin takes it."""
    block = b"x" * 65536
    taken = given = most = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given, most
        for _ in range(BIG // len(block)):
            given += len(block)
            most = max(most, gate.unsent())
            yield block

    async def script(peer: Peer) -> None:
        nonlocal taken
        await peer.head()
        while taken < BIG:
            data = await peer.reader.read(262144)
            taken += len(data)
            await asyncio.sleep(0.001 if taken % 7 == 0 else 0)
        await peer.send(OK)

    await gate.use((await origin(script)).model)
    response = await gate.send(b"PUT", body(), framing=BIG)
    assert (response.status, given, taken) == (200, BIG, BIG)
    assert most <= 512 * 1024
