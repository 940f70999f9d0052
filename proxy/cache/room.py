"""Whether Redis has room for answers: it must never refuse a meter, or a purge, for a cache's sake.

Whoever writes has spoken for the bytes before, in Redis itself: between two looks at its memory all workers of all
gateways together would else write more than any of them had seen room for. Small answers take from a chunk that their
worker has spoken for.
"""

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, Final

from proxy.cache.link import AWAY, Link
from proxy.core.storeurl import Topology
from proxy.store.scripts import load

LOOK_S: Final = 3.0
AGAIN_S: Final = 0.25  # without an answer: a worker that has just started stores nothing before its first
FULL: Final = 0.7  # of a node's maxmemory
CHUNK: Final = 64 << 10  # bytes
CHUNK_S: Final = 1.0  # after which what is left of one is given up
WINDOW_MS: Final = 4_000  # what was spoken for is written by then, or its write has timed out

_ALL_NODES: Final = "primaries"
_SPOKEN: Final = b"sm:{room}"
_BOUNDLESS: Final = 1 << 62


def room_in(memory: Mapping[str, Any], most: int | None) -> int:
    """Bytes that may still be written. ``memory`` is INFO memory of one node; ``most`` is how many bytes it may use in
    all. Pure.

    None: it is the cache's own. One that evicts sees to itself; one that does not would refuse purges once it is full.
    """
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if most is None and (not limit or memory.get("maxmemory_policy") != "noeviction"):
        return _BOUNDLESS
    bounds = [int(FULL * limit)] if limit else []
    return max(0, min([*bounds, most] if most is not None else bounds) - used)


class Room:
    """Looks every few seconds, and when much is to be written. Of one event loop; ``start`` before use, ``stop`` after.

    ``left``: whether there was any when it last looked.
    """

    def __init__(self, link: Link, most: int | None) -> None:
        """``most`` bytes in all, of a cluster in each node; None: a Redis of the cache's own."""
        self.left = most is None
        self._link = link
        self._most = most
        self._script = load("cache_room")
        self._boundless = False
        self._chunk = 0  # bytes that are spoken for and not yet taken
        self._chunk_until_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; in the meters' Redis there is no room before it was seen."""
        self._task = asyncio.create_task(self._watch(), name="room for the cache")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def take(self, count: int) -> bool:
        """Whether so many bytes may be written, as Redis holds them. If so they are to be written at once."""
        if not self.left or self._boundless:
            return self.left
        if count <= self._chunk and monotonic() < self._chunk_until_s:
            self._chunk -= count
            return True
        room = await self._look()
        if room == _BOUNDLESS:
            return True
        wanted = max(count, CHUNK)
        if not room or await self._link.run(self._script, (_SPOKEN,), wanted, room, WINDOW_MS) != 1:
            return False
        self._chunk, self._chunk_until_s = wanted - count, monotonic() + CHUNK_S
        return True

    async def _watch(self) -> None:
        while True:
            seen = await self._look()
            await asyncio.sleep(AGAIN_S if seen is None else LOOK_S)

    async def _look(self) -> int | None:
        """Bytes that there is room for now; None without an answer, and all else as it was."""
        if self._link.url.topology is Topology.CLUSTER:
            told = await self._link.call("INFO", "memory", target_nodes=_ALL_NODES)
            nodes: Iterable[Mapping[str, Any]] = told.values() if told is not AWAY else ()
        else:
            told = await self._link.call("INFO", "memory")
            nodes = (told,) if told is not AWAY else ()
        if not nodes:
            return None
        room = min(room_in(node, self._most) for node in nodes)
        self.left, self._boundless = room > 0, room == _BOUNDLESS
        return room
