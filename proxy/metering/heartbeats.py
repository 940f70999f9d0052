"""How many workers share the store: each says every few seconds that it lives."""

import asyncio
import secrets
from typing import Final

from proxy.metering.keys import LIVE
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.store.scripts import load

EVERY_S: Final = 5.0
BELIEVED_MS: Final = 15_000  # two may be lost


class Heartbeats:
    """Of one worker. ``workers`` is the last known number of live ones, itself included.

    It is never less than ``at_least``, the number of its own gateway's: they may not have been heard of yet, or not at
    all where the store was away from the start, and each would count alone as if there were no other.
    """

    def __init__(self, store: Store, *, at_least: int = 1, every_s: float = EVERY_S) -> None:
        self.workers = self._at_least = at_least
        self._store = store
        self._every_s = every_s
        self._id = secrets.token_hex(8).encode()
        self._script = load("heartbeat")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._beat(BELIEVED_MS)
        self._task = asyncio.create_task(self._run(), name="heartbeats")

    async def stop(self) -> None:
        """The others' shares grow at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._beat(0)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._beat(BELIEVED_MS)

    async def _beat(self, believed_ms: int) -> None:
        try:
            live = await self._store.run(self._script, [LIVE], self._id, b"%d" % believed_ms)
            self.workers = max(self._at_least, live)
        except StoreAway:
            pass  # the last number known stands: that is what it is for
