"""The choice of an origin, retries, and what a new policy changes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Timeouts
from proxy.upstream.framing import CHUNKED
from tests.upstream.conftest import OK, Gate, Peer, ScriptedOrigin, StartOrigin, answering, eventually, upstream, whole


async def closes_on_reuse(peer: Peer) -> None:
    """Answers the first request of a connection and closes when the second arrives: the keep-alive race."""
    await peer.head()
    await peer.send(OK)
    await peer.head()
    peer.close()


async def closes_on_reuse_once(peer: Peer) -> None:
    if peer.number == 1:
        await closes_on_reuse(peer)
    else:
        await answering(OK)(peer)


def numbered(number: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number


async def stopped(origin: StartOrigin) -> ScriptedOrigin:
    """An origin that refuses connections."""
    started = await origin(answering(OK))
    await started.stop()
    return started


# --- retries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "body"),
    [
        (b"GET", None),
        (b"HEAD", None),
        (b"OPTIONS", None),
        (b"DELETE", None),
        (b"PUT", b"abc"),
        (b"PUT", b"x" * 100_000),
    ],
)
async def test_36_an_idempotent_request_survives_the_keep_alive_race(
    gate: Gate, origin: StartOrigin, method: bytes, body: bytes | None
) -> None:
    started = await origin(closes_on_reuse_once)
    await gate.use(started.model)
    await gate.get()
    response = await gate.send(method, body)
    await eventually(lambda: response.body_complete)
    assert response.status == 200
    assert (gate.attempt.reused, gate.attempt.retried) == (False, True)
    assert gate.attempt.failures == ((started.model, Reason.UPSTREAM_RESET),)
    assert len(started.peers) == 2


@pytest.mark.parametrize(("method", "retryable"), [(b"POST", True), (b"PATCH", True), (b"GET", False)])
async def test_36_what_may_not_be_repeated_is_502(
    gate: Gate, origin: StartOrigin, method: bytes, retryable: bool
) -> None:
    """POST, and any method where the route says never: the upstream may have acted on it."""
    started = await origin(closes_on_reuse)
    await gate.use(started.model)
    await gate.get()
    with pytest.raises(GatewayError) as caught:
        await gate.send(method, b"abc", retryable=retryable)
    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_RESET, 502)
    assert (gate.attempt.reused, gate.attempt.retried) == (True, False)
    assert len(started.peers) == 1


async def test_37_a_body_that_streams_cannot_be_sent_again(gate: Gate, origin: StartOrigin) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    started = await origin(closes_on_reuse)
    await gate.use(started.model)
    await gate.get()
    with pytest.raises(GatewayError, match="upstream_reset"):
        await gate.send(b"PUT", body(), framing=CHUNKED)
    assert len(started.peers) == 1


async def test_37_a_fresh_connection_that_ends_is_not_retried(gate: Gate, origin: StartOrigin) -> None:
    """No keep-alive race there: the request itself may be what kills the upstream."""

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.close()

    started = await origin(script)
    await gate.use(started.model)
    with pytest.raises(GatewayError, match="upstream_reset"):
        await gate.send()
    assert len(started.peers) == 1


@pytest.mark.parametrize("sent", [b"H", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_37_once_answered_never_retried(gate: Gate, origin: StartOrigin, sent: bytes) -> None:
    """One byte of an answer, and the upstream has taken the request."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.head()
        await peer.send(sent)
        peer.close()

    started = await origin(script)
    await gate.use(started.model)
    await gate.get()
    with pytest.raises(GatewayError, match="upstream_reset"):
        await gate.send()
    assert len(started.peers) == 1


async def test_37_one_retry_and_no_more(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if peer.number == 1:
            await peer.send(OK)
            await peer.head()
        peer.close()

    started = await origin(script)
    await gate.use(started.model)
    await gate.get()
    with pytest.raises(GatewayError, match="upstream_reset"):
        await gate.send()
    assert gate.attempt.retried
    assert len(started.peers) == 2


async def test_37_a_late_answer_is_not_retried(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.wait_gone()

    started = await origin(script)
    await gate.use(started.model, timeouts=Timeouts(2000, 150, 150))
    await gate.get()
    with pytest.raises(GatewayError, match="upstream_timeout"):
        await gate.send()
    assert len(started.peers) == 1


# --- origins -------------------------------------------------------------------------------------------------------


async def test_requests_go_round_among_idle_origins(gate: Gate, origin: StartOrigin) -> None:
    started = [await origin(answering(numbered(number))) for number in range(3)]
    await gate.use(*(one.model for one in started))
    answers = [(await gate.get())[1] for _ in range(9)]
    assert sorted(answers) == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3
    assert answers[:3] == answers[3:6] == answers[6:]


async def test_a_busy_origin_gets_fewer(gate: Gate, origin: StartOrigin) -> None:
    async def slow(peer: Peer) -> None:
        await peer.head()
        await peer.wait_gone()

    busy, idle = await origin(slow), await origin(answering(OK))
    await gate.use(busy.model, idle.model)
    pending = [asyncio.create_task(gate.send()) for _ in range(2)]
    await eventually(lambda: busy.peers)
    for _ in range(6):
        assert await gate.get() == (200, b"ok")
    assert len(busy.peers) == 1
    for task in pending:
        task.cancel()


async def test_61_a_refused_connect_goes_to_the_next_origin(gate: Gate, origin: StartOrigin) -> None:
    """Nothing was sent, so a POST may; its head is built anew for the other origin."""
    down, up = await stopped(origin), await origin(answering(OK))
    await gate.use(down.model, up.model)
    seen = [await gate.send(b"POST", b"abc") for _ in range(4)]
    assert [response.status for response in seen] == [200] * 4
    assert gate.attempt.origin == up.model


async def test_the_head_is_that_of_the_origin_it_goes_to(gate: Gate, origin: StartOrigin) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.head())
            await peer.send(OK)

    down, up = await stopped(origin), await origin(script)
    await gate.use(down.model, up.model)
    for _ in range(3):
        await gate.get()
    assert {head.split(b"\r\n")[1] for head in heads} == {b"Host: " + up.model.authority.encode()}


async def test_an_origin_that_refused_is_left_alone_for_a_while(gate: Gate, origin: StartOrigin) -> None:
    down, up = await stopped(origin), await origin(answering(OK))
    await gate.use(down.model, up.model)
    failed = 0
    for _ in range(10):
        await gate.get()
        failed += gate.attempt.failed_connects
    assert failed <= 1


async def test_61_when_all_refuse_the_last_refusal_is_told(gate: Gate, origin: StartOrigin) -> None:
    """And the attempt names each, for the log."""
    origins = [(await stopped(origin)).model for _ in range(3)]
    await gate.use(*origins)
    with pytest.raises(GatewayError) as caught:
        await gate.send()
    assert caught.value.reason is Reason.UPSTREAM_REFUSED
    assert gate.attempt.failed_connects == 3
    assert gate.attempt.origin == gate.attempt.failures[-1][0]
    assert dict(gate.attempt.failures) == dict.fromkeys(origins, Reason.UPSTREAM_REFUSED)


async def test_the_attempt_tells_what_happened(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await gate.use(started.model)
    await gate.get()
    assert (gate.attempt.origin, gate.attempt.reused) == (started.model, False)
    assert gate.attempt.connect_ms >= 0
    await gate.get()
    assert (gate.attempt.reused, gate.attempt.connect_ms) == (True, 0.0)


# --- the policy changes --------------------------------------------------------------------------------------------


async def test_40_a_reload_with_the_same_settings_keeps_the_connections(gate: Gate, origin: StartOrigin) -> None:
    """Even where the policy's object is a new one, and timeouts or headers have changed."""
    started = await origin(answering(OK))
    await gate.use(started.model)
    await gate.get()
    await gate.use(started.model, timeouts=Timeouts(1, 2000, 3), headers=(("X", "y"),))
    assert await gate.get() == (200, b"ok")
    assert gate.attempt.reused
    assert len(started.peers) == 1


async def test_40_a_reload_closes_what_is_idle_and_lets_the_rest_end(gate: Gate, origin: StartOrigin) -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            if peer.number == 2:
                await release.wait()
            await peer.send(OK)

    started, other = await origin(script), await origin(answering(OK))
    await gate.use(started.model)
    first = asyncio.create_task(gate.get())
    second = asyncio.create_task(gate.get())
    await first
    await eventually(lambda: len(started.peers) == 2)
    busy = gate.connections()
    await gate.use(other.model)
    await eventually(lambda: sum(not connection.closed for connection in busy) == 1)
    release.set()
    assert await second == (200, b"ok")
    await eventually(lambda: all(connection.closed for connection in busy))


async def test_40_a_request_under_the_old_policy_may_still_send(gate: Gate, origin: StartOrigin) -> None:
    """Several reloads later, and its deadlines hold as well."""
    started, other = await origin(answering(OK)), await origin(answering(numbered(2)))
    old = await gate.use(started.model)
    for keepalive_ms in (1000, 2000, 3000):
        await gate.use(other.model, keepalive_ms=keepalive_ms)
    assert [await whole(await gate.send(upstream=old)) for _ in range(2)] == [b"ok"] * 2
    started.script = lambda peer: peer.wait_gone()
    with pytest.raises(GatewayError, match="upstream_timeout"):
        await asyncio.wait_for(gate.send(upstream=old, timeouts=Timeouts(1000, 100, 100)), 2)


async def test_two_upstreams_on_one_origin_share_its_connections(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    first, second = upstream(started.model, name="a"), upstream(started.model, name="b")
    await gate.upstreams.apply([first, second])
    await whole(await gate.send(upstream=first))
    await whole(await gate.send(upstream=second))
    assert len(started.peers) == 1


async def test_40_reloads_under_load_fail_no_request(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await gate.use(started.model)
    answered = 0
    stop = asyncio.Event()

    async def client() -> None:
        nonlocal answered
        while not stop.is_set():
            assert await gate.get() == (200, b"ok")
            answered += 1

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for number in range(30):
        await gate.use(started.model, keepalive_ms=60_000 + number % 2)
        await asyncio.sleep(0.005)
    stop.set()
    await asyncio.gather(*clients)
    assert answered > 100


# --- the end -------------------------------------------------------------------------------------------------------
