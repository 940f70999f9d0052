"""Opens budgets again when their store came back older or empty, or is new: by ledger, outbox and what lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from proxy.metering.epoch import Standing
from proxy.metering.holds import Hold
from proxy.metering.journal import knows_nothing
from proxy.metering.rebuild import WAIT_S, Sums, drop, is_closed, rebuild
from proxy.store.client import Store
from proxy.store.errors import StoreAway

log = logging.getLogger("sluicegate.background")

LOOK_S: Final = 0.5
AGAIN_S: Final = 2.0

Read = Callable[[], Awaitable[Sums]]


class Rebuilder:
    """``run`` in the background process of every gateway; that several do it at once does no harm."""

    def __init__(
        self,
        store: Store,
        journals: Path,
        read: Read,
        ended: Callable[[], Awaitable[Sequence[Hold]]],
        first: Callable[[], Awaitable[bool]],
        on_rebuilt: Callable[[], None],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        """``read``: what each counter of a living period is settled at. ``ended``: of the store's holds those that the
        ledger or the outbox knows to have ended. ``first``: whether budgets of this ledger were never opened before;
        who asks may open them. Whatever they raise, they are called again."""
        self._store = store
        self._journals = journals
        self._read = read
        self._ended = ended
        self._first = first
        self._is_first = False  # until they are open
        self._on_rebuilt = on_rebuilt
        self._look_s = look_s
        self._standing = Standing()
        self.open = asyncio.Event()  # budgets are, as far as this process has seen

    async def run(self) -> None:
        while True:
            try:
                if await is_closed(self._store, self._standing):
                    self.open.clear()
                    await self._rebuild()
                else:
                    self._is_first = False
                    self.open.set()
            except StoreAway:
                pass
            except Exception as error:  # noqa: BLE001 - budgets stay closed until the next try; the ledger may be away
                log.error("budgets cannot be rebuilt yet", extra={"fields": {"error": type(error).__name__}})
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(self._look_s)

    async def _rebuild(self) -> None:
        # Until budgets are opened once nothing is held, so the first has nobody to wait for. Later a ledger without any
        # spending says nothing of others: what they hold may be the first of its period.
        self._is_first = self._is_first or await self._first()
        new = self._is_first and await asyncio.to_thread(self._nothing_journaled)
        if not await is_closed(self._store, self._standing):
            return  # somebody else was the first
        wait_s = 0.0 if new else WAIT_S
        log.warning("budgets are closed: rebuilding them", extra={"fields": {"wait_s": wait_s}})
        if await rebuild(self._store, self._standing, self._read_all, wait_s=wait_s):
            self._is_first = False
            self.open.set()
            self._on_rebuilt()
            log.warning("budgets are open")

    async def _read_all(self) -> Sums:
        """What is dropped here moves the store's sequence: then it is read once more."""
        await drop(self._store, self._standing, await self._ended())
        return await self._read()

    def _nothing_journaled(self) -> bool:
        return all(knows_nothing(path) for path in self._journals.glob("*.journal"))
