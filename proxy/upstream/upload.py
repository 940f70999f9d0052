"""Sends a request body that doesn't fit in one write: framing, backpressure, never a byte more than was declared."""

from collections.abc import AsyncIterator
from typing import Final, Protocol

from proxy.core.errors import GatewayError, Reason
from proxy.upstream.framing import CHUNKED

Body = None | bytes | AsyncIterator[bytes]

SLICE: Final = 64 * 1024  # bodies in memory up to this go out with their head in one write


class Sink(Protocol):
    """The connection's writing side."""

    closed: bool

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...


async def slices(body: bytes) -> AsyncIterator[bytes]:
    """A body in memory, in pieces, so that an early answer can stop it half-way."""
    for start in range(0, len(body), SLICE):
        yield body[start : start + SLICE]


async def send_body(sink: Sink, body: AsyncIterator[bytes], framing: int) -> None:
    """Send the body as ``framing`` says: CHUNKED, or a length in bytes.

    Returns early, without an error, when the connection is closed meanwhile: whoever waits for the answer hears why.
    Raises: GatewayError BAD_FRAMING when the body is longer or shorter than declared (nothing beyond the declared
    length is ever sent: it would be read as the next request); and what the body's iterator raises.
    """
    left = max(framing, 0)
    async for chunk in body:
        if sink.closed:
            return
        size = len(chunk)
        if size == 0:
            continue  # an empty chunk would end the body
        if framing == CHUNKED:
            sink.write(b"%x\r\n%b\r\n" % (size, chunk))
        else:
            left -= size
            if left < 0:
                raise GatewayError(Reason.BAD_FRAMING, "The body is longer than its Content-Length")
            sink.write(chunk)
        await sink.drain()
    if framing == CHUNKED:
        if not sink.closed:
            sink.write(b"0\r\n\r\n")
    elif left:
        raise GatewayError(Reason.BAD_FRAMING, "The body is shorter than its Content-Length")
