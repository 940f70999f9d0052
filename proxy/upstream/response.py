"""An upstream's final answer: its head, and its body as it arrives.

The connection puts parts in as it parses them; the reader takes out all that has come, so that each server-sent event
goes on at once. When more than ``HIGH_WATER`` bytes wait, the connection stops reading until they have been taken.
"""

import asyncio
from typing import Final, Protocol

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders

HIGH_WATER: Final = 256 * 1024  # bytes of body that wait for the reader before the socket is left alone


class Source(Protocol):
    """The connection a body comes from, until it has ended."""

    def reader_waits(self) -> None: ...
    def reader_took(self) -> None: ...
    def abort(self) -> None: ...


class Response:
    """One answer. ``headers`` are raw: original case and order; trailers are dropped (RFC 9110 §6.5.1 allows it).

    Whoever got it must read it to its end or ``close()`` it; until then it holds a connection.
    """

    __slots__ = ("_done", "_error", "_source", "_waiter", "buffered", "headers", "parts", "reason", "status")

    def __init__(self, status: int, reason: bytes, headers: RawHeaders, source: Source) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.parts: list[bytes] = []
        self.buffered = 0  # bytes in parts
        self._source: Source | None = source
        self._done = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether a reader waits for more."""
        return self._waiter is not None

    @property
    def body_complete(self) -> bool:
        """Whether the whole rest of the body is here: ``take()`` it, nothing needs awaiting."""
        return self._done

    def take(self) -> bytes:
        """All of the body that has arrived and was not taken yet; never waits. b"" when there is none."""
        parts = self.parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered = 0
        if self._source is not None:
            self._source.reader_took()
        return data

    async def read(self) -> bytes:
        """The next bytes of the body as soon as there are any; b"" at its end. One reader at a time.

        Cancelled while waiting, it closes the connection. Raises: GatewayError UPSTREAM_RESET when the upstream went
        away before the end, UPSTREAM_TIMEOUT when nothing came for the idle time, UPSTREAM_PROTOCOL for bad framing.
        What came before the error is delivered first.
        """
        while not self.parts:
            if self._error is not None:
                raise self._error
            source = self._source
            if source is None:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            source.reader_waits()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._waiter = None
        return self.take()

    def close(self) -> None:
        """Give up the rest: the connection is dropped at once unless the body has ended. Idempotent.

        A read afterwards raises CLIENT_GONE, so that what was given up can't pass for a whole body.
        """
        source = self._source
        if source is not None:
            self.fail(GatewayError(Reason.CLIENT_GONE))
            source.abort()

    # --- the connection's side ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell the reader that parts, the end or an error are there."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def finish(self) -> None:
        """The body has ended as it should."""
        self._done = True
        self._source = None
        self.wake()

    def fail(self, error: BaseException) -> None:
        """The body will never be whole."""
        self._error = error
        self._source = None
        self.wake()
