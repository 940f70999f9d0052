"""Bodies that a cache must not keep, or must not keep back; and clients that are old, or leave."""

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from tests.e2e.gateway import Answer, Client, Gateway, get, once, reached
from tests.e2e.origin import Exchange, Origin, Script

FRESH = b"Cache-Control: max-age=3600\r\n"
MOST = 1024  # bytes that the safe route stores
_paths = count()


def at(origin: Origin, answer: bytes | Script, under: str = "/safe") -> str:
    """A path of its own that is answered so."""
    path = f"{under}/body/{next(_paths)}"
    origin.answers[path] = answer
    return path


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (FRESH, len(body), body)


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (FRESH, chunks)


def closing(answer: bytes) -> Script:
    """An answer after which the origin ends the connection."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.close()

    return script


async def hits(gateway: Gateway, path: str, times: int = 2) -> list[bool]:
    """Of so many requests, which the cache answers."""
    return [(await once(gateway, get(path))).get("Age") is not None for _ in range(times)]


@pytest.mark.parametrize("answer", [whole(b"x" * MOST), chunked(b"x" * 1000, b"x" * 24)], ids=["length", "chunked"])
async def test_a_body_of_the_bound_is_stored(gateway: Gateway, origin: Origin, answer: bytes) -> None:
    assert await hits(gateway, at(origin, answer)) == [False, True]


@pytest.mark.parametrize("answer", [whole(b"x" * 1025), chunked(b"x" * 1000, b"x" * 25)], ids=["length", "chunked"])
async def test_a_larger_one_passes_whole_and_is_not_stored(gateway: Gateway, origin: Origin, answer: bytes) -> None:
    path = at(origin, answer)
    for _ in range(2):
        found = await once(gateway, get(path))
        assert (found.status, found.get("Age"), found.body, found.whole) == (200, None, b"x" * 1025, True)


async def test_the_first_byte_does_not_wait_for_the_last(gateway: Gateway, origin: Origin) -> None:
    """Although what passes is being stored."""
    go_on: list[Callable[[], None]] = []

    async def script(exchange: Exchange) -> None:
        told, loop = asyncio.Event(), asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(told.set)

        go_on.append(tell)
        await exchange.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: 10\r\n\r\nfirst" % FRESH)
        await told.wait()
        await exchange.send(b" last")

    path = at(origin, script)
    async with await Client.connect(gateway) as client:
        await client.send(get(path))
        assert (await client.answer_head()).status == 200
        assert await client.reader.readexactly(5) == b"first"
        go_on[0]()
        assert await client.reader.readexactly(5) == b" last"
    assert await hits(gateway, path, 1) == [True]


@pytest.mark.parametrize(
    "cut",
    [whole(b"0123456789")[:-4], chunked(b"01234", b"56789")[:-5], b"HTTP/1.1 200 OK\r\n" + FRESH],
    ids=["length", "chunked", "head"],
)
async def test_what_broke_off_is_never_stored(gateway: Gateway, origin: Origin, cut: bytes) -> None:
    path = at(origin, closing(cut))
    answer = await once(gateway, get(path))
    assert answer.status == 502 or not answer.whole
    origin.answers[path] = whole(b"sound")
    found = await once(gateway, get(path))
    assert (found.body, found.get("Age")) == (b"sound", None)


async def test_what_ends_where_its_connection_does_is_not_stored(gateway: Gateway, origin: Origin) -> None:
    """Nobody knows whether it is whole."""
    path = at(origin, closing(b"HTTP/1.1 200 OK\r\n%b\r\nbody" % FRESH))
    for _ in range(2):
        found = await once(gateway, get(path))
        assert (found.status, found.body, found.get("Age")) == (200, b"body", None)


# --- clients of HTTP/1.0 ---


async def old(gateway: Gateway, path: str) -> Answer:
    async with await Client.connect(gateway) as client:
        await client.send(f"GET {path} HTTP/1.0\r\nHost: app.test\r\n\r\n".encode())
        answer = await client.answer()
        assert await client.closed()
        return answer


@pytest.mark.parametrize("answer", [whole(b"body"), chunked(b"bo", b"dy")], ids=["length", "chunked"])
async def test_old_clients_store_for_new_ones_and_are_answered_by_them(
    gateway: Gateway, origin: Origin, answer: bytes
) -> None:
    first = at(origin, answer)
    found = await old(gateway, first)
    assert (found.body, found.get("Age"), found.get("Transfer-Encoding")) == (b"body", None, None)
    assert await hits(gateway, first, 1) == [True]
    found = await old(gateway, first)
    assert (found.body, found.get("Content-Length")) == (b"body", "4")
    assert found.get("Age") is not None


async def test_old_clients_get_no_interim_answers(gateway: Gateway, origin: Origin) -> None:
    path = at(origin, b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + whole(b"body"))
    found = await old(gateway, path)
    assert (found.status, found.interim, found.body) == (200, [], b"body")
    assert await hits(gateway, path, 1) == [True]


# --- clients that leave ---


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\n%bContent-Length: 4\r\n\r\nbo" % FRESH], ids=["before", "amid"]
)
async def test_those_who_wait_are_answered_when_the_leader_leaves(
    gateway: Gateway, origin: Origin, begun: bytes
) -> None:
    """Before its answer has begun, and amid it."""
    asked: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        asked.append(exchange)
        if len(asked) > 1:
            await exchange.send(whole(b"body"))
            return
        await exchange.send(begun)
        await exchange.rest()

    path = at(origin, script)
    async with await Client.connect(gateway) as follower:
        async with await Client.connect(gateway) as leader:
            await leader.send(get(path))
            await reached(lambda: len(asked) == 1)
            if begun:
                assert (await leader.answer_head()).status == 200
            await follower.send(get(path))
            await asyncio.sleep(0.1)  # it waits: were it to ask, the origin would have been asked by now
            assert len(asked) == 1
        answer = await follower.answer()
    assert (answer.status, answer.body, len(asked)) == (200, b"body", 2)
    assert await hits(gateway, path, 1) == [True]
