"""What the reader of a body sees, whatever the connection does."""

import asyncio

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.upstream.response import Response
from tests.upstream.conftest import eventually


class FakeSource:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def reader_waits(self) -> None:
        self.told.append("waits")

    def reader_took(self) -> None:
        self.told.append("took")

    def abort(self) -> None:
        self.told.append("abort")


def response() -> tuple[Response, FakeSource]:
    source = FakeSource()
    return Response(200, b"OK", [], source), source


def put(to: Response, *parts: bytes) -> None:
    to.parts.extend(parts)
    to.buffered += sum(map(len, parts))
    to.wake()


async def test_a_read_takes_all_that_has_come() -> None:
    body, source = response()
    put(body, b"a", b"b")
    assert not body.body_complete
    assert await body.read() == b"ab"
    assert body.buffered == 0
    assert source.told == ["took"]


async def test_a_read_waits_for_more() -> None:
    body, source = response()
    reading = asyncio.create_task(body.read())
    await eventually(lambda: body.awaited)
    assert source.told == ["waits"]
    put(body, b"a")
    assert await reading == b"a"


async def test_the_end_is_told_again_and_again() -> None:
    body, _ = response()
    put(body, b"a")
    body.finish()
    assert body.body_complete
    assert [await body.read() for _ in range(3)] == [b"a", b"", b""]


async def test_an_end_wakes_a_reader() -> None:
    body, _ = response()
    reading = asyncio.create_task(body.read())
    await eventually(lambda: body.awaited)
    body.finish()
    assert await reading == b""


async def test_an_error_comes_after_what_was_sent_before_it() -> None:
    body, _ = response()
    put(body, b"a")
    body.fail(GatewayError(Reason.UPSTREAM_RESET))
    assert not body.body_complete
    assert await body.read() == b"a"
    with pytest.raises(GatewayError, match="upstream_reset"):
        await body.read()


async def test_an_error_wakes_a_reader() -> None:
    body, _ = response()
    reading = asyncio.create_task(body.read())
    await eventually(lambda: body.awaited)
    body.fail(GatewayError(Reason.UPSTREAM_TIMEOUT))
    with pytest.raises(GatewayError, match="upstream_timeout"):
        await reading


async def test_what_was_given_up_never_looks_whole() -> None:
    body, source = response()
    body.close()
    body.close()
    assert source.told == ["abort"]
    assert not body.body_complete
    with pytest.raises(GatewayError, match="client_gone"):
        await body.read()


async def test_closing_wakes_a_reader() -> None:
    body, _ = response()
    reading = asyncio.create_task(body.read())
    await eventually(lambda: body.awaited)
    body.close()
    with pytest.raises(GatewayError, match="client_gone"):
        await reading


async def test_closing_after_the_end_leaves_the_connection_alone() -> None:
    body, source = response()
    put(body, b"a")
    body.finish()
    body.close()
    assert source.told == []
    assert body.take() == b"a"


async def test_a_cancelled_reader_gives_the_connection_up() -> None:
    body, source = response()
    reading = asyncio.create_task(body.read())
    await eventually(lambda: body.awaited)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.told == ["waits", "abort"]
