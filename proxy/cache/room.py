"""Whether Redis has room for answers: it must never refuse a meter, or a purge, for a cache's sake."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from proxy.cache.link import AWAY, Link
from proxy.core.storeurl import Topology

LOOK_S: Final = 3.0
FULL: Final = 0.7  # of a node's maxmemory

_ALL_NODES: Final = "primaries"


def has_room(memory: Mapping[str, Any], most: int | None) -> bool:
    """``memory`` is INFO memory of one node; ``most`` is how many bytes it may use in all. Pure.

    None: it is the cache's own. One that evicts sees to itself; one that does not would refuse purges once it is full.
    """
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if most is None and memory.get("maxmemory_policy") != "noeviction":
        return True
    return (most is None or used < most) and (not limit or used < FULL * limit)


class Room:
    """Looks every few seconds. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(self, link: Link, most: int | None) -> None:
        """``most`` bytes in all, of a cluster in each node; None: a Redis of the cache's own."""
        self.left = most is None
        self._link = link
        self._most = most
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; in the meters' Redis there is no room before it was seen."""
        self._task = asyncio.create_task(self._watch(), name="room for the cache")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> bool:
        """Whether there is room now; without an answer as it was."""
        if self._link.url.topology is Topology.CLUSTER:
            told = await self._link.call("INFO", "memory", target_nodes=_ALL_NODES)
            nodes = list(told.values()) if told is not AWAY else []
        else:
            told = await self._link.call("INFO", "memory")
            nodes = [told] if told is not AWAY else []
        if nodes:
            self.left = all(has_room(node, self._most) for node in nodes)
        return self.left
