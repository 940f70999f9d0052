"""Whoever sends what waits: one gateway at a time on one folder, over and over, and once more at its end."""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from proxy.spooling.spool import Spool
from proxy.store.waiting import until

log = logging.getLogger("sluicegate.spool")

POLL_S: Final = 0.25
LAST_ROUND_S: Final = 2.0  # for what is still there when the gateway ends
AT_ONCE: Final = 8
_LOCK: Final = "lock"

Turn = Callable[[ClientSession], Awaitable[None]]


class Rounds:
    """``wanted``: whether there is anybody to send to. ``turns``: each sends what may go now, and may raise OSError;
    they go on side by side, so that none waits for another."""

    def __init__(
        self,
        spool: Spool[Any],
        wanted: Callable[[], bool],
        turns: Sequence[Turn],
        answer_s: float,
        last_round_s: float = LAST_ROUND_S,
    ) -> None:
        self._spool = spool
        self._wanted = wanted
        self._turns = turns
        self._answer_s = answer_s
        self._last_round_s = last_round_s

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While this lasts; at its end it tries once more, for a moment."""
        ending = asyncio.Event()
        task = asyncio.create_task(self._work(ending), name=f"courier of {self._spool.folder.name}")
        try:
            yield
        finally:
            ending.set()
            _, late = await asyncio.wait({task}, timeout=self._last_round_s)
            if late:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _work(self, ending: asyncio.Event) -> None:
        lock: int | None = None
        connector = TCPConnector(limit=AT_ONCE * len(self._turns))
        async with ClientSession(timeout=ClientTimeout(total=self._answer_s), connector=connector) as session:
            try:
                last = False
                while lock is None and not last:
                    last = ending.is_set()
                    lock = await asyncio.to_thread(self._lock)
                    if lock is None:
                        await until(ending, POLL_S)
                if lock is not None:
                    async with asyncio.TaskGroup() as group:
                        for turn in self._turns:
                            group.create_task(self._over_and_over(turn, session, ending))
            finally:
                if lock is not None:
                    os.close(lock)

    async def _over_and_over(self, turn: Turn, session: ClientSession, ending: asyncio.Event) -> None:
        last = False
        while not last:
            last = ending.is_set()
            try:
                await turn(session)
            except OSError as error:
                self.report(error)
            except Exception:  # a mistake of ours must not end the sending for good
                log.exception("what waits to be sent could not be")
            await until(ending, POLL_S)

    def report(self, error: OSError) -> None:
        """Of a disk that cannot be read."""
        fields = {"spool": self._spool.folder.name, "error": error.strerror}
        log.warning("what waits to be sent cannot be read", extra={"fields": fields})

    def _lock(self) -> int | None:
        """None: another gateway on this folder sends. Nothing is locked before there is something to send."""
        if not self._wanted() or not self._spool.folder.is_dir():
            return None
        fd = os.open(self._spool.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd
