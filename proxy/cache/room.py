"""Whether the meters' Redis has room for answers too: it must never refuse a meter for a cache's sake."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from proxy.cache.link import AWAY, Link
from proxy.core.storeurl import Topology

LOOK_S: Final = 3.0
FULL: Final = 0.7  # of a node's maxmemory

_ALL_NODES: Final = "primaries"


def has_room(memory: Mapping[str, Any], most: int) -> bool:
    """``memory`` is INFO memory of one node; ``most`` is how many bytes it may use in all. Pure."""
    used, limit = int(memory.get("used_memory", most)), int(memory.get("maxmemory", 0))
    return used < most and (not limit or used < FULL * limit)


class Room:
    """Looks every few seconds. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(self, link: Link, most: int | None) -> None:
        """``most`` bytes in all, of a cluster in each node; None: a Redis of the cache's own, that sees to itself."""
        self.left = most is None
        self._link = link
        self._most = most
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; there is no room before it was seen."""
        if self._most is not None:
            self._task = asyncio.create_task(self._watch(self._most), name="room for the cache")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, most: int) -> None:
        while True:
            self.left = await self._look(most)
            await asyncio.sleep(LOOK_S)

    async def _look(self, most: int) -> bool:
        if self._link.url.topology is Topology.CLUSTER:
            told = await self._link.call("INFO", "memory", target_nodes=_ALL_NODES)
            nodes = list(told.values()) if told is not AWAY else []
        else:
            told = await self._link.call("INFO", "memory")
            nodes = [told] if told is not AWAY else []
        return bool(nodes) and all(has_room(node, most) for node in nodes)
