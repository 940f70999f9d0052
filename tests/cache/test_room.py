"""The cache takes no room that meters need."""

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.cache import room as room_module
from proxy.cache.link import Link
from proxy.cache.room import Room, room_in
from proxy.cache.shared import Shared
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from tests.cache.stored import answer
from tests.store.servers import BINARIES, cluster, server

BINARY = next(iter(BINARIES.values()))


BOUNDLESS = 1 << 62


@pytest.mark.parametrize(
    ("memory", "most", "room"),
    [
        ({"used_memory": 99, "maxmemory": 0}, 100, 1),
        ({"used_memory": 101, "maxmemory": 0}, 100, 0),
        ({"used_memory": 60, "maxmemory": 100}, 100, 10),
        ({"used_memory": 60, "maxmemory": 100}, 65, 5),
        ({"used_memory": 71, "maxmemory": 100}, 100, 0),
        ({"used_memory": 70, "maxmemory": 100, "maxmemory_policy": "allkeys-lfu"}, 100, 0),
        ({"used_memory": 50}, 100, 50),
        ({"used_memory": 99, "maxmemory": 100, "maxmemory_policy": "allkeys-lfu"}, None, BOUNDLESS),
        ({"used_memory": 69, "maxmemory": 100, "maxmemory_policy": "noeviction"}, None, 1),
        ({"used_memory": 70, "maxmemory": 100, "maxmemory_policy": "noeviction"}, None, 0),
        ({"used_memory": 1 << 40, "maxmemory": 0, "maxmemory_policy": "noeviction"}, None, BOUNDLESS),
    ],
)
def test_there_is_room_below_all_bounds(memory: Mapping[str, Any], most: int | None, room: int) -> None:
    assert room_in(memory, most) == room


async def until(room: Room, left: bool) -> None:
    async with asyncio.timeout(5):
        while room.left != left:  # noqa: ASYNC110 - another task makes it so
            await asyncio.sleep(0.005)


async def test_a_redis_that_fills_up_is_left_alone_until_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "LOOK_S", 0.01)
    with server(BINARY) as one, one.client as client:
        link = Link(parse_store_url(one.url), SystemClock(), 2_000)
        room = Room(link, client.info("memory")["used_memory"] + (4 << 20))
        shared = Shared(link, room)
        assert not await shared.put(b"key", answer(), 60_000)
        assert not await shared.mark(b"key", 60_000)
        await room.start()
        await until(room, True)
        assert await shared.put(b"key", answer(), 60_000)
        client.set("meters", b"x" * (8 << 20))
        await until(room, False)
        assert not await shared.put(b"key", answer(), 60_000)
        assert await shared.get(b"key") is not None
        client.delete("meters")
        await until(room, True)
        await room.stop()
        await link.close()


async def test_who_starts_before_redis_answers_stores_there_soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the next look of those that know already."""
    monkeypatch.setattr(room_module, "LOOK_S", 3600)
    with server(BINARY) as one:
        one.kill()
        link = Link(parse_store_url(one.url), SystemClock(), 2_000)
        room = Room(link, 1 << 30)
        await room.start()
        async with asyncio.timeout(5):
            while not link.unanswered:  # noqa: ASYNC110 - another task makes it so
                await asyncio.sleep(0.005)
        assert not room.left
        await asyncio.to_thread(one.start)
        await until(room, True)
        await room.stop()
        await link.close()


async def test_a_redis_of_the_caches_own_that_never_evicts_keeps_room_for_purges() -> None:
    with server(BINARY) as one, one.client as client:
        link = Link(parse_store_url(one.url), SystemClock(), 2_000)
        room = Room(link, None)
        assert room.left
        assert await room._look()
        client.config_set("maxmemory", 1 << 10)
        assert not await room._look()
        assert not await room.take(1)
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert await room._look()
        await link.close()


async def test_while_it_does_not_answer_it_stays_as_it_was() -> None:
    with server(BINARY) as one:
        link = Link(parse_store_url(one.url), SystemClock(), 500)
        room = Room(link, 1 << 40)
        assert await room._look()
        one.kill()
        assert not await room._look()
        assert room.left
        assert not await room.take(1)
        await link.close()


@pytest.mark.parametrize("body", [1 << 10, 100 << 10, 700 << 10], ids=["small", "middling", "large"])
async def test_whatever_is_written_between_two_looks_keeps_to_what_there_is(body: int) -> None:
    """By eight workers that look at the same time, each of which could fill all there is."""
    with server(BINARY) as one, one.client as client:
        most = client.info("memory")["used_memory"] + (8 << 20)
        links = [Link(parse_store_url(one.url), SystemClock(), 5_000) for _ in range(8)]
        rooms = [Room(link, most) for link in links]
        for room in rooms:
            await room._look()
        count = 2 * (8 << 20) // body // len(rooms) + 2

        async def fill(link: Link, number: int) -> int:
            shared = Shared(link, rooms[number])
            fitting = dataclasses.replace(answer(), body=os.urandom(body))
            kept = [await shared.put(b"%d/%d" % (number, n), fitting, 60_000) for n in range(count)]
            return sum(kept)

        kept = sum(await asyncio.gather(*(fill(link, number) for number, link in enumerate(links))))
        for link in links:
            await link.close()
        assert client.info("memory")["used_memory"] <= most
        assert kept * body > 1 << 20  # and it is of use


async def test_room_that_was_spoken_for_and_not_used_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "WINDOW_MS", 50)
    with server(BINARY) as one, one.client as client:
        link = Link(parse_store_url(one.url), SystemClock(), 2_000)
        room = Room(link, client.info("memory")["used_memory"] + (8 << 20))
        await room._look()
        assert await room.take(5 << 20)
        assert not await room.take(5 << 20)
        async with asyncio.timeout(5):
            while not await room.take(5 << 20):  # noqa: ASYNC110 - time makes it so
                await asyncio.sleep(0.005)
        await link.close()


async def test_of_a_cluster_every_node_must_have_room() -> None:
    with cluster(BINARY) as nodes, nodes.nodes[2].client as last:
        link = Link(parse_store_url(nodes.url), SystemClock(), 2_000)
        room = Room(link, 1 << 40)
        assert await room._look()
        last.config_set("maxmemory", 100 << 10)
        assert not await room._look()
        await link.close()
