"""Scripted origins on real sockets: each connection goes to a coroutine that sends exact bytes, stalls or resets."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from math import inf
from typing import Any

import pytest
import uvloop

from proxy.core.headers import RawHeaders
from proxy.policy.model import HostMode, Origin, Timeouts, Upstream
from proxy.upstream.connection import Connection
from proxy.upstream.framing import NO_BODY
from proxy.upstream.head import RequestHeads
from proxy.upstream.response import Response
from proxy.upstream.upload import Body
from proxy.upstream.upstreams import Attempt, Upstreams

TIMEOUTS = Timeouts(connect_ms=15_000, first_byte_ms=15_000, idle_ms=15_000)  # none is waited for
SHORT = Timeouts(connect_ms=15_000, first_byte_ms=150, idle_ms=150)
BIG = 50 * 1024 * 1024  # bytes of a body that must not be held in memory
DEADLINE_S = 5.0  # for what must happen; reached only when it does not


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


async def eventually(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds; fail the test when it never does."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is another's state
            await asyncio.sleep(0.002)


class Peer:
    """The origin's end of one connection. ``number`` counts the connections from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()  # the gateway's end is closed, as far as was noticed by ``wait_gone``

    async def head(self) -> bytes:
        """The next request's head. Raises: IncompleteReadError when the connection ends before."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def body(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Send each piece as a segment of its own."""
        for at, piece in enumerate(pieces):
            if at:
                await asyncio.sleep(pause_s)
            self.writer.write(piece)
            await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with a RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def wait_gone(self) -> None:
        """Until the gateway's end is closed; what it still sends is thrown away."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.gone.set()


Script = Callable[[Peer], Awaitable[None]]
StartOrigin = Callable[..., Awaitable["ScriptedOrigin"]]


class ScriptedOrigin:
    """A server on loopback. ``peers``: every connection so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.host, self.port = "127.0.0.1", 0

    async def start(self, **options: Any) -> "ScriptedOrigin":
        self._server = await asyncio.start_server(self._serve, self.host, self.port, **options)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(len(self.peers) + 1, reader, writer)
        self.peers.append(peer)
        try:
            await self.script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            peer.gone.set()
        except asyncio.CancelledError:
            pass  # by stop()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def model(self) -> Origin:
        return Origin("http", self.host, self.port)


class Gate:
    """What the gateway does with the room: applies upstreams, sends, remembers the attempt."""

    def __init__(self) -> None:
        self.upstreams = Upstreams()
        self.upstream: Upstream | None = None
        self.attempt = Attempt()
        self.interims: list[tuple[int, RawHeaders]] = []
        self._heads = RequestHeads()

    async def use(self, *origins: Origin, timeouts: Timeouts = TIMEOUTS, **settings: Any) -> Upstream:
        self.upstream = upstream(*origins, timeouts=timeouts, **settings)
        await self.upstreams.apply([self.upstream])
        return self.upstream

    async def send(
        self,
        method: bytes = b"GET",
        body: Body = None,
        *,
        framing: int | None = None,
        retryable: bool = True,
        upstream: Upstream | None = None,
        timeouts: Timeouts | None = None,
    ) -> Response:
        to = upstream or self.upstream
        assert to is not None
        sized = framing if framing is not None else len(body) if isinstance(body, bytes) else NO_BODY
        self.attempt = Attempt()
        return await self.upstreams.send(
            to,
            method,
            lambda origin: self._heads.build(method, b"/", (), host=origin.authority.encode(), add=(), framing=sized),
            body,
            framing=sized,
            retryable=retryable,
            timeouts=timeouts or to.timeouts,
            attempt=self.attempt,
            on_interim=lambda status, headers: self.interims.append((status, headers)),
        )

    def connections(self) -> list[Connection]:
        """Every open connection."""
        return [c for pool in self.upstreams._pools.values() for c in pool._all]

    def stalled(self) -> bool:
        """Whether an upload waits until the upstream takes more."""
        return any(connection.stalled < inf for connection in self.connections())

    def unsent(self) -> int:
        """Bytes that the transports hold back."""
        return sum(connection._transport.get_write_buffer_size() for connection in self.connections())

    async def get(self) -> tuple[int, bytes]:
        """Status and whole body of a GET."""
        response = await self.send()
        return response.status, await whole(response)


def upstream(*origins: Origin, timeouts: Timeouts = TIMEOUTS, **settings: Any) -> Upstream:
    values: dict[str, Any] = {
        "name": "app",
        "host": HostMode.PRESERVE,
        "headers": (),
        "max_connections": 64,
        "keepalive_ms": 60_000,
        "ca_file": None,
    }
    return Upstream(primary=origins, timeouts=timeouts, **(values | settings))


async def whole(response: Response) -> bytes:
    """The body to its end."""
    parts = []
    while part := await response.read():
        parts.append(part)
    return b"".join(parts)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """A client's upload."""
    for chunk in chunks:
        yield chunk


async def endless() -> AsyncIterator[bytes]:
    """One that never ends."""
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0)


async def stuck(*first: bytes) -> AsyncIterator[bytes]:
    """One that stops half-way."""
    for chunk in first:
        yield chunk
    await asyncio.Event().wait()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.upstreams.close()
    await asyncio.sleep(0)


@pytest.fixture
async def origin() -> AsyncIterator[StartOrigin]:
    """Starts origins: ``await origin(script)``; options go to the server (``ssl`` for one)."""
    async with AsyncExitStack() as stack:

        async def start(script: Script, **options: Any) -> ScriptedOrigin:
            started = await ScriptedOrigin(script).start(**options)
            stack.push_async_callback(started.stop)
            return started

        yield start


def answering(*answers: bytes) -> Script:
    """A script that answers each request with the next of these, the last one again and again."""

    async def script(peer: Peer) -> None:
        at = 0
        while True:
            await peer.head()
            await peer.send(answers[min(at, len(answers) - 1)])
            at += 1

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
