"""The node is found though some of those asked are silent, gone or behind."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

import pytest

from proxy.core.storeurl import parse_store_url
from proxy.store import nodes
from proxy.store.errors import StoreAway
from proxy.store.nodes import Address, Finder, finder_of, heard, pack
from tests.store.conftest import each_binary
from tests.store.servers import cluster, free_port

NEVER = 3600.0


def asked(*behaviour: tuple[float, object]) -> tuple[list[Address], object]:
    """Places, each with how long it is silent for, and what it then says or raises."""
    places = [("host", number) for number in range(len(behaviour))]

    async def ask(place: Address) -> object:
        silent_s, word = behaviour[place[1]]
        await asyncio.sleep(silent_s)
        if isinstance(word, Exception):
            raise word
        return word

    return places, ask


async def test_more_than_half_are_heard_and_the_rest_is_not_waited_for() -> None:
    began = time.monotonic()
    assert sorted(await heard(*asked((0, "a"), (NEVER, "never"), (0.01, "b")))) == ["a", "b"]
    assert time.monotonic() - began < nodes.OTHERS_S


async def test_one_answer_is_enough_where_others_are_silent_or_fail() -> None:
    """It waits a moment for them, as they may know better."""
    began = time.monotonic()
    assert await heard(*asked((NEVER, "never"), (0.01, "only"), (NEVER, "never"))) == ["only"]
    assert nodes.OTHERS_S <= time.monotonic() - began < 1
    assert await heard(*asked((0, OSError()), (0.01, "only"), (0, OSError()))) == ["only"]


async def test_where_all_fail_the_first_failure_is_told() -> None:
    with pytest.raises(OSError, match="first"):
        await heard(*asked((0.01, OSError("first")), (0, OSError("second"))))


async def test_nobody_is_left_asking_when_the_caller_gives_up() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await heard(*asked((NEVER, "never"), (NEVER, "never")))
    assert len(asyncio.all_tasks()) == 1


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert pack(b"GET", b"") == b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n"


@contextlib.asynccontextmanager
async def sentinels_that_say(*said: tuple[int, int]) -> AsyncIterator[Finder]:
    """Each names a primary at this port, made by this failover; port 0: it knows of none."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(await _sentinel(port, epoch)) for port, epoch in said]
        hosts = ",".join(f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
        yield finder_of(parse_store_url(f"redis+sentinel://{hosts}/meters"))


async def _sentinel(port: int, epoch: int) -> asyncio.Server:

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = str(port).encode()
        while line := await reader.readline():
            if line.startswith(b"GET-MASTER"):
                writer.write(pack(b"127.0.0.1", text) if port else b"*-1\r\n")
            elif line.strip() == b"MASTER":
                writer.write(pack(b"name", b"meters", b"config-epoch", b"%d" % epoch))
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def test_of_sentinels_that_disagree_the_one_with_the_latest_failover_is_believed() -> None:
    """One that was cut off knows nothing of what happened since."""
    async with sentinels_that_say((1111, 4), (2222, 5)) as finder:
        assert await finder.find() == ("127.0.0.1", 2222)
    async with sentinels_that_say((2222, 11), (1111, 4)) as finder:
        assert await finder.find() == ("127.0.0.1", 2222)


async def test_a_set_that_no_sentinel_knows_is_told_by_its_name() -> None:
    async with sentinels_that_say((0, 0), (0, 0)) as finder:
        with pytest.raises(StoreAway, match="knows no set 'meters'"):
            await finder.find()
    async with sentinels_that_say((0, 0), (1111, 1)) as finder:
        assert await finder.find() == ("127.0.0.1", 1111)


@each_binary
async def test_a_cluster_is_found_by_nodes_that_answer(binary: str) -> None:
    """The first of the URL accepts and never answers, the second is gone."""
    with cluster(binary) as found:
        owner = await finder_of(parse_store_url(found.url)).find()
        silent = next(node for node in found.nodes if node.port != owner[1])
        well = [node for node in found.nodes if node is not silent]
        places = ",".join(f"127.0.0.1:{port}" for port in (silent.port, free_port(), *(node.port for node in well)))
        silent.signal(signal.SIGSTOP)
        finder = finder_of(parse_store_url(f"redis+cluster://{places}"))
        async with asyncio.timeout(1):
            assert await finder.find() == owner
            assert await finder.find() == owner
