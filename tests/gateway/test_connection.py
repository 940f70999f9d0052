"""A client's connection over a real socket: turns, bounds, deadlines. From outside: tests/e2e/conformance."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from proxy.core.errors import GatewayError
from proxy.gateway.connection import SEND_STALL_S, Connection, ConnectionServer, _bytes_unacknowledged
from proxy.gateway.exchange import Exchange
from proxy.policy.model import Listen, Policy

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Served:
    """A server whose handler says ``answer``, and what happened there."""

    server: ConnectionServer
    port: int
    listen: Listen
    refused: list[str] = field(default_factory=list)
    counts: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        (connection,) = self.server.open
        return connection

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


async def until(condition: Callable[[], object]) -> None:
    """Fails after five seconds."""
    deadline = time.monotonic() + 5
    while not (_ := condition()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(policy: Policy, handle: Callable, **bounds: int) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    listen = replace(policy.listen, **bounds)

    def refuse(connection: Connection, error: GatewayError, _now_s: float) -> None:
        served.refused.append(error.reason.value)
        connection.send(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % error.status)

    def count(open_now: int, refused: bool) -> None:
        served.counts.append((open_now, refused))

    server = ConnectionServer(loop, lambda: listen, handle, refuse, count)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    served = Served(server, listener.sockets[0].getsockname()[1], listen)
    yield served
    listener.close()
    await server.drain(loop.time())
    await until(lambda: not server.open)


async def answer_ok(exchange: Exchange) -> None:
    exchange.connection.send(OK)


async def test_an_error_waits_for_the_answers_before_it(policy: Policy) -> None:
    """It would be taken for the answer to the first request."""
    go = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await go.wait()
        exchange.connection.send(OK)

    async with serving(policy, wait, max_header=1024, max_uri=1024) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        await until(lambda: served.server.open and served.connection.current)
        writer.write(b"GET / HTTP/1.1\r\nX-" + b"y" * 900)
        writer.write(b"\r\nX: " * 400)
        await asyncio.sleep(0.05)
        assert served.refused == []
        go.set()
        answers = await reader.read()
        assert answers.startswith(OK + b"HTTP/1.1 4")
        assert len(served.refused) == 1
        writer.close()


@pytest.mark.parametrize("given_back", [True, False])
async def test_while_a_recalled_request_waits_only_so_much_is_read(policy: Policy, given_back: bool) -> None:
    """The rest stays with its client, and is read once the answer is there."""
    bodies: list[int] = []
    recalled: list[bytes] = []

    async def take(exchange: Exchange) -> None:
        size = 0
        while chunk := await exchange.payload.readany():
            size += len(chunk)
        bodies.append(size)
        exchange.connection.send(OK)

    def recall(connection: Connection, data: bytes) -> bool:
        if data != GET or recalled:
            return False
        recalled.append(data)
        connection.hold()
        return True

    size = 16 << 20
    async with serving(policy, take, max_header=1024, max_uri=1024) as served:
        served.server.recall = recall
        reader, writer = await served.connect()
        writer.write(GET)
        await until(lambda: recalled)
        connection = served.connection
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await until(lambda: connection._held)
        held = -1
        while held != len(connection._held or b""):  # until no more comes
            held = len(connection._held or b"")
            await asyncio.sleep(0.1)
        assert held < 1 << 20
        assert writer.transport.get_write_buffer_size() > 1 << 20
        if given_back:
            connection.go_on(GET)
        else:
            connection.send(OK)
            connection.go_on()
        async with asyncio.timeout(10):
            assert await reader.readexactly(2 * len(OK)) == 2 * OK
        assert bodies == ([0, size] if given_back else [size])
        writer.close()


async def test_a_handler_that_fails_leaves_no_connection_behind(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """Its task has ended, so nobody would ever close it."""

    async def fail(_: Exchange) -> None:
        raise RuntimeError("report")

    async with serving(policy, fail) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        with pytest.raises(ConnectionError):
            assert await reader.read() != b""
        await until(lambda: not served.server.open)
        writer.close()
    assert "an exchange could not be ended" in caplog.text


async def test_connections_over_the_bound_are_told(policy: Policy) -> None:
    async with serving(policy, answer_ok, max_connections=1) as served:
        first = await served.connect()
        await until(lambda: served.server.open)
        reader, writer = await served.connect()
        writer.write(GET)
        assert b" 503 " in await reader.readline()
        assert served.counts[-1] == (1, True)
        writer.close()
        first[1].close()


async def stable(value: Callable[[], int], looks: int = 10) -> None:
    """Returns once the value has been the same for so many looks: the kernels have taken all that they take."""
    async with asyncio.timeout(10):
        last, same = value(), 0
        while same < looks:
            await asyncio.sleep(0.01)
            now = value()
            last, same = now, same + 1 if now == last else 0


async def test_a_reader_that_has_stopped_is_cut_off_in_time(policy: Policy) -> None:
    """Not before, and not while it takes anything at all; time is the sweep's argument."""

    async def pour(exchange: Exchange) -> None:
        while True:
            exchange.connection.send(b"x" * 65536)
            await exchange.connection.drained()

    async with serving(policy, pour) as served:
        reader, writer = await served.connect()
        writer.transport.pause_reading()
        writer.write(GET)
        await until(lambda: served.server.open and served.connection.writing_paused)
        connection = served.connection
        served.server._sweeper.cancel()  # time is the test's own
        await stable(lambda: connection.transport.get_write_buffer_size() + _bytes_unacknowledged(connection.transport))
        start_s = 1_000_000.0
        connection.sweep(start_s, served.listen)
        connection.sweep(start_s + SEND_STALL_S - 1, served.listen)
        assert connection.transport is not None
        assert not connection.transport.is_closing()
        connection.sweep(start_s + SEND_STALL_S + 1, served.listen)
        await until(lambda: not served.server.open)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        del reader


async def test_a_drain_closes_idle_connections_and_counts_those_it_cuts(policy: Policy) -> None:
    """What is under way at the deadline is cut."""
    loop = asyncio.get_running_loop()

    async def wait(_: Exchange) -> None:
        await asyncio.sleep(60)

    async with serving(policy, wait) as served:
        _, writer = await served.connect()
        writer.write(GET)
        await until(lambda: served.server.open and served.connection.current)
        assert await served.server.drain(loop.time() + 0.05) == 1
        assert served.server.draining
        writer.close()
