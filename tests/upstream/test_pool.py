"""Connections to one origin: reuse, the bound, the line, idle time."""

import asyncio
import os
import socket

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Timeouts
from tests.upstream.conftest import OK, Gate, Peer, StartOrigin, answering, eventually, whole


async def holding(peer: Peer) -> None:
    """Never answers."""
    await peer.head()
    await peer.wait_gone()


async def test_the_connection_used_last_is_used_first(gate: Gate, origin: StartOrigin) -> None:
    """So that the others can grow idle and close."""
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            if not release.is_set():
                await release.wait()
                await asyncio.sleep(0.02 * peer.number)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % peer.number)

    started = await origin(script)
    await gate.use(started.model)
    both = [asyncio.create_task(gate.get()) for _ in range(2)]
    await eventually(lambda: len(started.peers) == 2)
    release.set()
    await asyncio.gather(*both)
    assert [await gate.get() for _ in range(3)] == [(200, b"2")] * 3


async def test_never_more_connections_than_allowed_and_the_line_is_served_in_order(
    gate: Gate, origin: StartOrigin
) -> None:
    busy = most = 0
    served: list[int] = []

    async def script(peer: Peer) -> None:
        nonlocal busy, most
        while True:
            await peer.head()
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.002)
            busy -= 1
            await peer.send(OK)

    async def one(number: int) -> None:
        assert await gate.get() == (200, b"ok")
        served.append(number)

    started = await origin(script)
    await gate.use(started.model, max_connections=4)
    await asyncio.gather(*(one(number) for number in range(60)))
    assert len(started.peers) == 4
    assert most == 4
    assert [number // 4 for number in served] == [number // 4 for number in range(60)]


async def test_a_line_that_does_not_move_is_overload(gate: Gate, origin: StartOrigin) -> None:
    await gate.use((await origin(holding)).model, max_connections=1, timeouts=Timeouts(150, 5000, 5000))
    first = asyncio.create_task(gate.send())
    await eventually(gate.connections)
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(gate.send(), 2)
    assert (caught.value.reason, caught.value.retry_after_ms) == (Reason.OVERLOADED, 1000)
    first.cancel()


async def test_whoever_leaves_the_line_costs_nobody_a_turn(gate: Gate, origin: StartOrigin) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await release.wait()
            await peer.send(OK)

    started = await origin(script)
    await gate.use(started.model, max_connections=1)
    first = asyncio.create_task(gate.get())
    await eventually(gate.connections)
    line = [asyncio.create_task(gate.get()) for _ in range(3)]
    await asyncio.sleep(0)
    line[0].cancel()
    release.set()
    assert await asyncio.gather(first, *line[1:]) == [(200, b"ok")] * 3
    assert len(started.peers) == 1


async def test_a_turn_given_to_someone_who_leaves_is_passed_on(gate: Gate, origin: StartOrigin) -> None:
    """Cancelled between the hand-over of a connection and waking up."""
    started = await origin(answering(OK))
    await gate.use(started.model, max_connections=1)
    assert await gate.get() == (200, b"ok")
    (pool,) = gate.upstreams._pools.values()
    connection = pool.take(probe=False)
    assert connection is not None
    first, second = (asyncio.create_task(pool.acquire(1000)) for _ in range(2))
    await asyncio.sleep(0)
    pool.released(connection)
    first.cancel()
    assert await asyncio.wait_for(second, 1) is connection


async def test_a_closed_connection_gives_its_place_to_the_line(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        peer.close()

    started = await origin(script)
    await gate.use(started.model, max_connections=2)
    assert await asyncio.gather(*(gate.get() for _ in range(12))) == [(200, b"ok")] * 12
    assert len(started.peers) == 12
    await eventually(lambda: not gate.connections())
    (pool,) = gate.upstreams._pools.values()
    assert (pool.in_flight, pool.quiet) == (0, True)


async def test_a_failed_connect_gives_its_place_to_the_line(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await started.stop()
    await gate.use(started.model, max_connections=1)
    outcomes = await asyncio.gather(*(gate.get() for _ in range(5)), return_exceptions=True)
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [Reason.UPSTREAM_REFUSED] * 5
    (pool,) = gate.upstreams._pools.values()
    assert pool.quiet


async def test_an_idle_connection_closes_when_its_time_is_up(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await gate.use(started.model, keepalive_ms=50)
    await gate.get()
    assert gate.connections()
    await eventually(lambda: not gate.connections(), 1)
    assert await gate.get() == (200, b"ok")
    assert len(started.peers) == 2


async def test_the_upstreams_own_idle_time_is_kept(gate: Gate, origin: StartOrigin) -> None:
    """``Keep-Alive: timeout=1`` leaves nothing after the second of safety; Node's 5 leaves 4."""
    started = await origin(answering(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok"))
    await gate.use(started.model)
    await gate.get()
    await eventually(lambda: not gate.connections(), 1)


async def test_a_connection_that_was_closed_while_idle_is_not_used(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        peer.close()

    started = await origin(script)
    await gate.use(started.model)
    assert await gate.get() == (200, b"ok")
    await eventually(lambda: not gate.connections())
    assert await gate.get() == (200, b"ok")
    assert (gate.attempt.reused, gate.attempt.retried) == (False, False)


async def test_36_a_request_that_cannot_be_repeated_asks_the_kernel_first(gate: Gate, origin: StartOrigin) -> None:
    """The close has arrived, but the loop has not told of it yet: a POST takes another connection."""
    started = await origin(answering(OK))
    await gate.use(started.model)
    await gate.get()
    (connection,) = gate.connections()
    (pool,) = gate.upstreams._pools.values()
    assert not connection.readable()
    server_end = started.peers[0].writer.get_extra_info("socket")
    with socket.socket(fileno=os.dup(server_end.fileno())) as direct:
        direct.shutdown(socket.SHUT_RDWR)  # at once, without a turn of the loop
    assert connection.readable()
    assert not connection.closed
    assert pool.take(probe=True) is None
    assert connection.closed


async def test_many_at_once_each_get_their_own_answer(gate: Gate, origin: StartOrigin) -> None:
    """200 requests over 8 connections, answers of different sizes, some streamed: nobody gets another's."""
    sizes: dict[int, int] = {}

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            size = int.from_bytes(await peer.body(4))
            body = b"%d," % size * size
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

    async def one(number: int) -> None:
        response = await gate.send(b"PUT", (number % 50).to_bytes(4))
        assert await whole(response) == b"%d," % (number % 50) * (number % 50)
        sizes[number] = number

    await gate.use((await origin(script)).model, max_connections=8)
    await asyncio.gather(*(one(number) for number in range(200)))
    assert len(sizes) == 200
