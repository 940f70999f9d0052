"""A client's connection, on aiohttp's RequestHandler and its C parser.

aiohttp's own loop makes a task, a StreamWriter and a response object for each request; this one calls the handler in
the connection's task and writes ready-made bytes, which halves the cost of the server. It leans on attributes that
aiohttp does not document, so pyproject binds the minor version, and tests/gateway/test_connection.py would tell.

What aiohttp lacks is here too: a deadline for the header section, a floor for the rate of a body, a bound on
connections, a client's leaving noticed while its upload is paused, and a drain that loses no request.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import termios
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.accept import parse_failure
from proxy.gateway.boundary import Boundary
from proxy.gateway.exchange import Exchange
from proxy.policy.model import Listen
from proxy.upstream.cork import Cork

log = logging.getLogger("sluicegate.connection")

SWEEP_S: Final = 0.25
LINGER_S: Final = 2.0
READ_BUFFER: Final = 64 * 1024  # a payload holds twice this before its client is paused
FRAMING_ALLOWANCE: Final = 64 * 1024  # bytes of chunk headers and extensions that any body may spend
FRAMING_RATIO: Final = 16  # and more of them for each byte of body: chunks of one byte spend five
TURNED_AWAY: Final = 64  # connections over the bound that may linger to hear of it
TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
SEND_STALL_S: Final = 60.0  # a client that takes not one byte of its answer for so long is cut off
_TCP_ESTABLISHED: Final = 1
DRAIN_IDLE_MS: Final = 3_000  # how long an idle connection may still begin a request while draining

Handle = Callable[[Exchange], Awaitable[None]]
Refuse = Callable[["Connection", GatewayError, float], None]


class Connection(web.RequestHandler):
    """One connection: requests in order, one at a time (RFC 9112 §9.3.2)."""

    __slots__ = (
        "_body_bytes",
        "_boundary",
        "_carried_bytes",
        "_held",
        "_last_payload",
        "_partial_bytes",
        "_partial_since",
        "_slow_sweeps",
        "_unsent_bytes",
        "_unsent_since",
        "current",
        "idle_since",
        "oversized",
        "peer",
        "served",
        "server",
    )

    def __init__(self, server: "ConnectionServer", loop: asyncio.AbstractEventLoop, listen: Listen) -> None:
        # aiohttp tells both limits apart by size alone, and so do we: never let them be equal.
        max_field = listen.max_header + (listen.max_header == listen.max_uri)
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=0,  # the sweep does it, without a timer a request
            access_log=None,  # type: ignore[arg-type]
            max_line_size=listen.max_uri,
            max_field_size=max_field,
            max_headers=listen.max_fields,
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
        )
        self.server = server
        self.current: Exchange | None = None
        self.peer = ""
        self.served = 0
        self.idle_since = loop.time()
        self.oversized = False  # a head in the queue may be larger than max_header: whoever accepts it must count
        self._last_payload: StreamReader = EMPTY_PAYLOAD
        self._partial_since = 0.0
        self._partial_bytes = 0
        self._carried_bytes = 0  # of the last read that ended a message or held a body: the next head may begin there
        self._body_bytes = 0  # read while the last payload was open
        self._unsent_bytes = 0  # of answers, as of the last sweep
        self._unsent_since = 0.0
        self._boundary = Boundary()
        self._held: bytearray | None = None  # what was read, while a recalled request is under way
        self._slow_sweeps = 0  # that found the current exchange waiting for its client's body

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        if not self.server.admit(self):
            self._manager = None
            self._close = True
            transport.write(TOO_MANY)  # type: ignore[attr-defined]
            if self.server.turn_away(self):
                # Closing on a request that is still unread would be a reset, which takes the answer away.
                transport.write_eof()  # type: ignore[attr-defined]
                self._loop.call_later(LINGER_S, transport.close)
            else:
                transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.server.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._close or self._force_close:
            return  # after an error, or while closing, nothing is a request any more
        if self._held is not None:
            self._held += data  # the answer to what came before is under way
            if len(self._held) > READ_BUFFER:
                self._pause_transport_reading()
            return
        if self._boundary.at_start and self.current is None and not self._messages:
            recall = self.server.recall
            if recall is not None and not self.server.draining and not self._paused and recall(self, data):
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        payload = self._last_payload
        body_open = not payload.is_eof()
        count = self._request_count
        super().data_received(data)
        size = len(data)
        if self.server.recall is not None:
            new = self._request_count - count
            found = self._messages[-1][0] if new and self._messages else None
            ended = found if isinstance(found, RawRequestMessage) else None
            self._boundary.passed(data, new, ended, alone=len(self._messages) == 1)
        if self._request_count != count:
            if self._carried_bytes + self._partial_bytes + size > self.max_field_size:
                self.oversized = True
            self._partial_since = 0.0
            self._partial_bytes = self._body_bytes = 0
            self._carried_bytes = size or self._carried_bytes
            message, last = self._messages[-1]
            if isinstance(message, RawRequestMessage):
                self._last_payload = last
            else:
                self._messages.pop()
                self._unparsable(message.exc, payload if body_open else EMPTY_PAYLOAD)
        elif body_open:
            # A parser that was paused still holds earlier reads; an empty one says that it goes on with them.
            held = self._carried_bytes if self._reading_paused or not size else 0
            self._carried_bytes = held + size
            self._body_bytes += size
            if self._body_bytes > FRAMING_ALLOWANCE + FRAMING_RATIO * payload.total_bytes:
                self._close = True
                detail = "the body is mostly chunk extensions"
                payload.set_exception(GatewayError(Reason.BAD_FRAMING, detail, close=True))
        elif size:
            if not self._partial_since:
                self._partial_since = self._loop.time()
            self._partial_bytes += size
            if self._partial_bytes > self.max_field_size + self.max_line_size:
                self._fail(GatewayError(Reason.FIELDS_TOO_LARGE, close=True))

    def _unparsable(self, exc: BaseException, payload: StreamReader) -> None:
        """Framing is lost: an open body never gets its end, and nothing that follows is a request."""
        if payload.is_eof():
            self._fail(parse_failure(exc, self.max_line_size))
        else:
            self._close = True
            detail = "the body is not framed as it says"
            payload.set_exception(GatewayError(Reason.BAD_FRAMING, detail, close=True))

    def _fail(self, error: GatewayError) -> None:
        """Ends the connection with this answer, in its turn: those to earlier requests come first."""
        self._close = True
        self._messages.append((error, EMPTY_PAYLOAD))  # type: ignore[arg-type]
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def start(self) -> None:
        """Requests one after the other, until one of them closes the connection."""
        loop = self._loop
        server = self.server
        handle = server.handle
        while not self._force_close:
            if not self._messages:
                if self._close:
                    break
                self.oversized = False
                self.idle_since = loop.time()
                self._waiter = loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message: Any
            message, payload = self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            if isinstance(message, GatewayError):
                server.refuse(self, message, loop.time())
                await self._end(linger=True)
                return
            self.served += 1
            self._slow_sweeps = 0
            exchange = self.current = Exchange(self, message, payload, monotonic())
            exchange.raw = self._boundary.take_whole()
            try:
                await handle(exchange)
            except Exception:
                # The handler answers whatever happens; if even that failed, no connection may stand without its task.
                log.exception("an exchange could not be ended")
                self.cut(visibly=True)
                return
            finally:
                self.current = None
            if exchange.close or not payload.is_eof():
                break
        await self._end(linger=not self._last_payload.is_eof())

    async def _end(self, *, linger: bool) -> None:
        """Closes so that what was written arrives: a reset would take it away again (RFC 9112 §9.6).

        ``linger``: the client may still be sending; that is read and dropped for a while.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self.server.cork.flush()
        self._close = True  # what still comes is dropped
        if linger and not self._force_close and transport.can_write_eof():
            if self._reading_paused or self._buffer_paused:
                transport.resume_reading()
            transport.write_eof()
            await asyncio.sleep(LINGER_S)  # ended at once by the client's FIN: connection_lost cancels this task
        if self.transport is not None:
            self.transport.close()

    # --- what is answered without being parsed ---

    def hold(self) -> None:
        """What the client sends from now on waits: a recalled request is under way."""
        self._held = bytearray()
        self.idle_since = self._loop.time()

    def go_on(self, unanswered: bytes = b"") -> None:
        """The recalled request has ended; or it is to be parsed after all, if it is given back."""
        held, self._held = self._held, None
        self.idle_since = self._loop.time()
        if held is not None and len(held) > READ_BUFFER:
            self._resume_transport_reading()
        data = unanswered + bytes(held or b"")
        if data and self.transport is not None:
            if unanswered:
                self._parse(data)
            else:
                self.data_received(data)

    def end_soon(self) -> None:
        """Closes after what was sent."""
        self._close = True
        self._held = None
        self.server.cork.flush()
        if self.transport is not None:
            self.transport.close()

    # --- the handler's side ---

    def send(self, data: bytes) -> None:
        """Raises: ConnectionResetError when the client has gone."""
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self.server.cork.flush()
        transport.write(data)

    def send_last(self, data: bytes) -> None:
        """As ``send``, for all that is left of an answer: it goes out with others of this turn of the loop."""
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self.server.cork.write(transport, data)

    async def drained(self) -> None:
        """Waits until the client has taken most of what was sent. Raises: ConnectionError."""
        if self._paused or self.transport is None:
            await self._drain_helper()

    def cut(self, *, visibly: bool) -> None:
        """Breaks the answer off. ``visibly``: with a reset, where the end of the connection would end the body."""
        transport = self.transport
        if transport is None:
            return
        self.server.cork.flush()
        if visibly:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def draining(self) -> bool:
        return self.server.draining

    # --- deadlines, looked at a few times a second ---

    def sweep(self, now_s: float, listen: Listen) -> None:
        self._sweep_unsent(now_s)
        exchange = self.current
        if exchange is not None:
            self._sweep_exchange(exchange, listen)
        elif self._partial_since:
            if (now_s - self._partial_since) * 1000 > listen.header_timeout_ms and not self._close:
                self._fail(GatewayError(Reason.HEADER_TIMEOUT, close=True))
        elif self._waiter is not None and self.transport is not None and not self._close:
            limit_ms = listen.keepalive_ms if self.served else listen.header_timeout_ms
            if self.server.draining:
                limit_ms = min(limit_ms, DRAIN_IDLE_MS)
            idle_from = max(self.idle_since, self.server.draining_since)
            if (now_s - idle_from) * 1000 > limit_ms:
                self._close = True
                self.transport.close()

    def _sweep_unsent(self, now_s: float) -> None:
        """A reader that is slow holds up its upstream; one that has stopped may not do so for ever."""
        transport = self.transport
        if transport is None or not transport.get_write_buffer_size():
            self._unsent_bytes = 0
            return
        unsent = transport.get_write_buffer_size() + _bytes_unacknowledged(transport)
        if unsent != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent, now_s
        elif now_s - self._unsent_since > SEND_STALL_S:
            transport.abort()

    def _sweep_exchange(self, exchange: Exchange, listen: Listen) -> None:
        if self._reading_paused or self._buffer_paused:
            # A paused transport does not see the client's FIN: ask the kernel.
            if self.transport is not None and _peer_left(self.transport):
                self.transport.abort()
            return
        payload = exchange.payload
        if payload.is_eof() or payload._waiter is None:
            return  # what the upstream does not take is not the client's slowness
        self._slow_sweeps += 1
        counted_s = self._slow_sweeps * SWEEP_S - listen.body_grace_ms / 1000
        if counted_s > 0 and payload.total_bytes < listen.body_min_rate * counted_s:
            payload.set_exception(GatewayError(Reason.BODY_TIMEOUT, close=True))


def _bytes_unacknowledged(transport: asyncio.Transport) -> int:
    """Of what the kernel has taken from us, what the client's has not."""
    sock = transport.get_extra_info("socket")
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return 0
    return int(count)


def _peer_left(transport: asyncio.Transport) -> bool:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    except OSError:
        return True
    (state,) = struct.unpack_from("B", info)
    return bool(state != _TCP_ESTABLISHED)


Recall = Callable[[Connection, bytes], bool]  # answers a read that is one whole request, if it was seen before


class ConnectionServer(web.Server):
    """Makes connections for a listening socket, bounds their number, sweeps their deadlines, drains them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listen: Callable[[], Listen],
        handle: Handle,
        refuse: Refuse,
        on_count: Callable[[int, bool], None],
    ) -> None:
        super().__init__(_unused, loop=loop, handler_cancellation=True)
        self._loop = loop
        self._listen = listen
        self.handle = handle
        self.refuse = refuse
        self._on_count = on_count
        self.recall: Recall | None = None
        self.open: set[Connection] = set()
        self._turned_away: set[Connection] = set()
        self.cork = Cork(loop)
        self.draining = False
        self.draining_since = 0.0
        self._emptied = asyncio.Event()
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    def __call__(self) -> Connection:
        return Connection(self, self._loop, self._listen())

    def admit(self, connection: Connection) -> bool:
        if len(self.open) >= self._listen().max_connections:
            self._on_count(len(self.open), True)
            return False
        self.open.add(connection)
        self._on_count(len(self.open), False)
        return True

    def turn_away(self, connection: Connection) -> bool:
        """Whether one that was not admitted may stay for as long as its answer takes to arrive."""
        if len(self._turned_away) >= TURNED_AWAY:
            return False
        self._turned_away.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self._turned_away.discard(connection)
        self.open.discard(connection)
        self._on_count(len(self.open), False)
        if not self.open:
            self._emptied.set()

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now_s, listen = self._loop.time(), self._listen()
        for connection in tuple(self.open):
            connection.sweep(now_s, listen)

    async def drain(self, deadline_s: float) -> int:
        """From now on every answer closes its connection; returns how many had to be cut at the deadline."""
        self.draining = True
        self.draining_since = self._loop.time()
        try:
            async with asyncio.timeout_at(deadline_s):
                while self.open:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            pass
        left = tuple(self.open)
        for connection in left:
            connection.force_close()
        self._sweeper.cancel()
        return len(left)


async def _unused(_: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("Connection.start answers requests")
