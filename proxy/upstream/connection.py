"""One HTTP/1.1 connection to an upstream: writes a request, hands out its answer, says whether it may serve again.

One exchange at a time, no pipelining. A connection on which anything unexpected happened (bytes while idle or beyond
the body's end, a parse error, an answer before the upload's end) never serves again. There are no timers: ``deadline``
(for the upstream to send) and ``stalled`` (for it to take) are stamps on the loop's clock that the pool's sweep
compares.
"""

import asyncio
import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from math import inf
from typing import Protocol, cast

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import RawHeaders
from proxy.upstream.answer import BODY, BROKEN, DONE, AnswerReader, OnInterim
from proxy.upstream.cork import Cork
from proxy.upstream.response import HIGH_WATER, Response
from proxy.upstream.upload import send_body

_RESET = struct.pack("ii", 1, 0)  # linger for no time: the connection ends with a RST


class Owner(Protocol):
    """The pool, which hears when a connection is free or gone. ``cork``: its requests of one turn go out together."""

    cork: Cork

    def released(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """See the module. ``served``: exchanges that ended well on it; ``answer_headers``: of the last of them."""

    __slots__ = (
        "_busy",
        "_cork",
        "_drain",
        "_first_byte_s",
        "_idle_s",
        "_loop",
        "_owner",
        "_poll",
        "_reader",
        "_reading_paused",
        "_response",
        "_transport",
        "_unsent",
        "_upload",
        "_waiter",
        "_write_paused",
        "answer_headers",
        "closed",
        "deadline",
        "keep_s",
        "served",
        "stalled",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._cork = owner.cork
        self._loop = loop
        self._reader = AnswerReader(self)
        self._busy = False  # from start() until the answer has ended
        self._waiter: asyncio.Future[Response] | None = None
        self._response: Response | None = None  # once its head is handed out, until its end
        self._upload: asyncio.Task[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._unsent = False  # a part of the request's body has not been written: the connection can't serve again
        self._write_paused = False
        self._reading_paused = False
        self.closed = False
        self.deadline = inf
        self.stalled = inf
        self.served = 0
        self.keep_s = 0.0  # how long it may idle; the pool's
        self.answer_headers: RawHeaders = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLHUP)

    @property
    def heard(self) -> bool:
        """Whether any byte of the current answer came: then the request is never sent again."""
        return self._reader.heard

    def readable(self) -> bool:
        """Whether the kernel has bytes or an end of which the loop has not told: then it is of no use when idle."""
        return bool(self._poll.poll(0))

    # --- the request -------------------------------------------------------------------------------------------

    def start(
        self, data: bytes, *, head_request: bool, first_byte_s: float, idle_s: float, on_interim: OnInterim | None
    ) -> asyncio.Future[Response]:
        """Write a request (its head, and its body if that is short) and return the future of its answer.

        The future raises GatewayError UPSTREAM_RESET, UPSTREAM_TIMEOUT or UPSTREAM_PROTOCOL. Whoever stops waiting for
        it must ``abort()``.
        """
        self._reader.begin(head_request=head_request, on_interim=on_interim)
        self._busy = True
        self._first_byte_s = first_byte_s
        self._idle_s = idle_s
        self.deadline = self._loop.time() + first_byte_s
        self._cork.write(self._transport, data)
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        return waiter

    def start_upload(self, body: AsyncIterator[bytes], framing: int) -> None:
        """Send the body beside waiting for the answer. The first-byte time runs from the end of the upload.

        An answer that ends before the upload does stops it. What the body's iterator raises ends the exchange, and is
        raised from the answer's future or from its body.
        """
        self._unsent = True
        self.deadline = inf  # a slow client is the gateway's concern; a stalled upstream is seen in drain()
        self._upload = self._loop.create_task(self._send(body, framing))
        self._upload.add_done_callback(self._upload_ended)

    async def _send(self, body: AsyncIterator[bytes], framing: int) -> None:
        await send_body(self, body, framing)
        self._unsent = False
        if self._waiter is not None:
            self.deadline = self._loop.time() + self._first_byte_s
        elif self._response is not None and self._response.awaited:
            self.deadline = self._loop.time() + self._idle_s

    def _upload_ended(self, upload: asyncio.Task[None]) -> None:
        if not upload.cancelled() and (error := upload.exception()) is not None:
            self.fail(error)

    async def stop_upload(self) -> None:
        """End the upload, if one still runs, and wait until it no longer touches the body's iterator."""
        upload = self._upload
        if upload is not None and not upload.done():
            upload.cancel()
            await asyncio.wait([upload])

    def write(self, data: bytes) -> None:
        self._cork.flush()  # the head goes first
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the transport takes more; for longer than the idle time: UPSTREAM_TIMEOUT from the sweep."""
        if self._write_paused and not self.closed:
            self._drain = self._loop.create_future()
            self.stalled = self._loop.time() + self._idle_s
            try:
                await self._drain
            finally:
                self._drain = None
                self.stalled = inf

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # --- the answer --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self.abort()  # bytes that answer no request
            return
        reader = self._reader
        state = reader.feed(data)
        if state == DONE:
            self._finish()
        elif state == BODY:
            self._stream()
        elif state == BROKEN and reader.fault is not None:
            self.fail(reader.fault)

    def _stream(self) -> None:
        """Hand on what came of a body that has not ended."""
        response = self._reader.response
        assert response is not None
        if self._waiter is not None:
            self._response = response
            self._deliver(response)
        elif response.parts:
            self.deadline = inf
            response.wake()
        if response.buffered > HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _deliver(self, response: Response) -> None:
        waiter, self._waiter = self._waiter, None
        self.deadline = inf
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _finish(self) -> None:
        """The answer has ended: pass it on, and keep the connection if all went by the book."""
        response = self._reader.response
        assert response is not None
        response.finish()
        self._deliver(response)
        self._busy = False
        self._response = None
        if self._reader.reusable and not self._unsent:
            self._upload = None
            self.served += 1
            self.answer_headers = response.headers
            self.reader_took()
            self._owner.released(self)
        else:
            self.abort()

    def reader_waits(self) -> None:
        if self._upload is None or self._upload.done():  # else the upstream may be silent: it waits for the client
            self.deadline = self._loop.time() + self._idle_s

    def reader_took(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # --- the end -----------------------------------------------------------------------------------------------

    def eof_received(self) -> None:
        if self._busy and self._reader.end() == DONE:
            self._finish()
        else:
            self.fail(GatewayError(Reason.UPSTREAM_RESET))

    def connection_lost(self, exc: Exception | None) -> None:
        error = GatewayError(Reason.UPSTREAM_RESET)
        error.__cause__ = exc
        self.fail(error)

    def expire(self) -> None:
        """The deadline has passed: an idle connection closes in silence, a busy one fails with UPSTREAM_TIMEOUT."""
        self.fail(GatewayError(Reason.UPSTREAM_TIMEOUT))

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits, and drop the connection."""
        waiter, self._waiter = self._waiter, None
        response, self._response = self._response, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if response is not None:
            response.fail(error)

    def abort(self) -> None:
        """Drop the connection at once, its upload with it. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._busy = False
        self._response = None
        self.deadline = inf
        if self._upload is not None:
            self._upload.cancel()
        self._reader.release()
        if self._unsent:
            # Behind what it has not read an upstream would not see our FIN: only a reset tells it within a second.
            sock = self._transport.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        self._owner.lost(self)
