"""Bodies on their way up: framing, backpressure, and not a byte more than was declared."""

from collections.abc import AsyncIterator

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.upstream.framing import CHUNKED
from proxy.upstream.upload import SLICE, send_body, slices


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


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_chunks_are_framed_and_the_last_one_is_empty() -> None:
    """An empty piece in the middle would end the body, and is left out."""
    sink = FakeSink()
    await send_body(sink, pieces(b"a" * 17, b"", b"b"), CHUNKED)
    assert b"".join(sink.written) == b"11\r\n" + b"a" * 17 + b"\r\n1\r\nb\r\n0\r\n\r\n"


async def test_a_length_is_sent_raw() -> None:
    sink = FakeSink()
    await send_body(sink, pieces(b"ab", b"c"), 3)
    assert b"".join(sink.written) == b"abc"


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
