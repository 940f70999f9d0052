"""Moves records from the outbox into the ledger, in any number of gateways at once, and loses none on the way.

Whatever ends in the middle, an entry is in the stream until its row is committed, and a row that comes twice is
written once. While the database is away entries wait in the stream. A batch that the database refuses is halved until
the row at fault is found; that one goes to the dead letters, with its bytes, and somebody is told.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from redis.exceptions import RedisError

from proxy.core.clock import Clock
from proxy.ledger.database import Database
from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused
from proxy.ledger.outbox import Outbox
from proxy.ledger.rows import Arrival
from proxy.ledger.writer import Written, bury, write
from proxy.store.waiting import until

FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 30.0


class Watch(Protocol):
    """Who wants to know. Called on the loop; must be quick and raise nothing."""

    def moved(self, written: Written, seconds: float) -> None:
        """A batch was committed and left the outbox. ``written.spent``: where the budgets stand that it names."""

    def waiting(self, depth: int, lag_ms: int) -> None:
        """So many entries are in the outbox, and the first of them is so old."""

    def away(self, part: str, reason: str) -> None:
        """``part`` (outbox, ledger) did not answer; it will be asked again. Once an attempt."""

    def dead(self, letter: str, reason: str) -> None:
        """A row went to the dead letters. At least once; ``letter`` is its id there."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``block_ms`` must lie below the client's socket timeout; ``idle_ms`` well above the time that a batch takes."""

    batch: int = 500
    gather_s: float = 0.0  # after a batch that was not full: rows that come together cost a fifth of single ones
    block_ms: int = 1_000
    idle_ms: int = 60_000  # after this others may take what one took
    look_ms: int = 5_000  # between looks at what was left behind, and at depth and lag
    lost_ms: int = 300_000  # an entry this old is moved, whoever has it
    first_pause_s: float = FIRST_PAUSE_S
    last_pause_s: float = LAST_PAUSE_S


class Mover:
    """``run`` until ``stop``. The database and the outbox's client are the caller's, who closes them."""

    def __init__(
        self, outbox: Outbox, database: Database, clock: Clock, watch: Watch, pace: Pace | None = None
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._clock = clock
        self._watch = watch
        self._pace = pace or Pace()
        self._stopping = asyncio.Event()
        self._pause_s = self._pace.first_pause_s
        self._look_at_ms = 0.0  # monotonic

    def stop(self) -> None:
        """``run`` returns after the batch under way; entries that it cannot finish stay for others, or for later."""
        self._stopping.set()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                batch = await self._next()
            except (RedisError, OSError, TimeoutError) as error:
                self._watch.away("outbox", type(error).__name__)
                await self._pause()
                continue
            self._pause_s = self._pace.first_pause_s
            if batch:
                await self._move(batch)
                if len(batch) < self._pace.batch:
                    await until(self._stopping, self._pace.gather_s)
        try:
            await self._outbox.leave()
        except (RedisError, OSError, TimeoutError):
            pass  # a name in a list stays behind

    async def drain(self) -> int:
        """Moves what is in the outbox now and returns how many entries that were; for commands and tests.

        Raises: LedgerAway, RedisError.
        """
        moved = 0
        while batch := await self._outbox.first(self._pace.batch):
            await self._land(batch)
            moved += len(batch)
        return moved

    async def _next(self) -> list[Arrival]:
        """What was left behind comes first: it is older."""
        pace = self._pace
        if self._clock.monotonic_ms() >= self._look_at_ms:
            batch = await self._outbox.rested(pace.batch, pace.idle_ms) or await self._look()
            if batch:
                return batch
            self._look_at_ms = self._clock.monotonic_ms() + pace.look_ms
        return await self._outbox.new(pace.batch, pace.block_ms)

    async def _look(self) -> list[Arrival]:
        oldest_ms = await self._outbox.oldest_ms()
        lag_ms = 0 if oldest_ms is None else max(0, await self._outbox.now_ms() - oldest_ms)
        self._watch.waiting(await self._outbox.depth(), lag_ms)
        return await self._outbox.first(self._pace.batch) if lag_ms > self._pace.lost_ms else []

    async def _move(self, batch: Sequence[Arrival]) -> None:
        """Until it is done or ``stop`` was called: an entry that is left stays in the stream."""
        while True:
            try:
                await self._land(batch)
            except LedgerAway as error:
                self._watch.away("ledger", str(error))
            except (RedisError, OSError, TimeoutError) as error:
                # The rows are committed. Their entries come again, and change nothing.
                self._watch.away("outbox", type(error).__name__)
            else:
                return
            if self._stopping.is_set():
                return
            await self._pause()

    async def _land(self, batch: Sequence[Arrival]) -> None:
        """Commit, then delete. Raises: LedgerAway, RedisError."""
        began_ms = self._clock.monotonic_ms()
        legible = [arrived for arrived in batch if arrived.record is not None]
        flawed = [arrived for arrived in batch if arrived.record is None]
        written = await self._write(legible) if legible else Written(0, 0)
        if flawed:
            await self._bury(flawed, "")
        await self._outbox.done(batch)
        self._watch.moved(written, (self._clock.monotonic_ms() - began_ms) / 1000)

    async def _write(self, batch: Sequence[Arrival]) -> Written:
        """All of it, but for what the database will never take. Raises: LedgerAway."""
        try:
            return await write(self._database, batch, self._clock.now_ms())
        except LedgerRefused as refused:
            if len(batch) == 1:
                await self._bury(batch, refused.reason)
                return Written(0, 0)
        middle = len(batch) // 2
        return await self._write(batch[:middle]) + await self._write(batch[middle:])

    async def _bury(self, letters: Sequence[Arrival], reason: str) -> None:
        try:
            await bury(self._database, letters, reason, self._clock.now_ms())
        except LedgerRefused as refused:
            # Bytes and a word of ours: a database that refuses these is broken, and no row's fault.
            raise LedgerAway(Fault.BUSY, refused.reason) from refused
        for letter in letters:
            self._watch.dead(letter.letter_id, letter.flaw or reason)

    async def _pause(self) -> None:
        """Doubles; a part of it by chance, so that gateways do not come back in step. Ends early at ``stop``."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._pace.last_pause_s)
        await until(self._stopping, pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
