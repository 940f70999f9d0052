"""The log of purges: a Redis stream that every worker of every gateway reads, and appends to.

One call always waits for the next record; each of its answers, also an empty one, is the heartbeat by which the mirror
is current. A mirror that has not been current goes on from its last record, so that nothing is lost. Whenever it may
have missed something (a lost connection, a Redis that was away, a worker that stood still) it compares its own last
records with the log's, and adds again what a failover has lost.

The store's own client is used for it, since that follows failovers and never asks a replica; so the log shares the
meters' slot. What is purged while Redis is away waits; beyond MAX_WAITING digests it becomes one purge of everything.
What waits ends with the worker: see ``stop``.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from proxy.cache.entry import Stored
from proxy.cache.purges import EVERYTHING, Purges, Record, id_parts, number_of, packed, unpacked
from proxy.core.clock import Clock
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.store.scripts import load

LOG: Final = b"{m0}purges"
MAX_RECORDS: Final = 100_000  # that the log keeps, about
MAX_WAITING: Final = 50_000  # digests
CURRENT_MS: Final = 1_000.0  # without an answer for so long a mirror is not current

_BLOCK_MS: Final = 250
_ANSWER_MS: Final = 1_000.0  # of one call, blocking included
_COUNT: Final = 1_000  # records in an answer
_PER_RECORD: Final = 512
_PER_CALL: Final = 16  # records
_AGAIN_S: Final = 0.1
_STOP_S: Final = 1.0


class PurgeLog:
    """A worker's. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(self, store: Store, clock: Clock, *, log: bytes = LOG) -> None:
        """``store`` is the cache's Redis."""
        self.purges = Purges()
        self._store = store
        self._monotonic_ms = clock.monotonic_ms
        self._log = log
        self._script = load("cache_purges")
        self._waiting: list[int] = []
        self._wake = asyncio.Event()
        self._landed = asyncio.Event()
        self._landed.set()
        self._news = asyncio.Event()  # of records that were read: set for an instant
        self._sure = False  # that the log is the one that was read so far
        self._connects = 0  # of the store, when that was made sure of
        self._answered_ms = self._heard_ms = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns at once; what is stored is not reused before the log was heard."""
        self._tasks = [
            asyncio.create_task(self._read(), name="purges"),
            asyncio.create_task(self._append(), name="purges to append"),
        ]

    async def stop(self) -> None:
        """Appends what waits, if Redis answers within a second; else it is lost, and holds nowhere but here."""
        try:
            async with asyncio.timeout(_STOP_S):
                await self._landed.wait()
        except TimeoutError:
            pass
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def is_current(self, monotonic_ms: float) -> bool:
        """Whether the mirror knows all that was purged until a second ago."""
        return monotonic_ms - self._heard_ms <= CURRENT_MS

    def may_reuse(self, stored: Stored, monotonic_ms: float) -> bool:
        """Whether no purge forbids it: none is known, and none can have been missed for more than a second.

        What another worker has fetched tells by that one's clock when that was, and so proves nothing.
        """
        if not self.purges.valid(stored):
            return False
        return monotonic_ms - self._heard_ms <= CURRENT_MS or monotonic_ms < stored.new_until_ms

    @property
    def waiting(self) -> int:
        """Digests that are not in the log yet."""
        return len(self._waiting)

    def purge(self, digests: Iterable[int]) -> None:
        """Holds here at once, and everywhere within a second of Redis' answer."""
        new = tuple(dict.fromkeys(digests))
        if not new:
            return
        self._waiting += new
        self.purges.purge(new)
        if len(self._waiting) > MAX_WAITING:
            self._waiting = [EVERYTHING]
            self.purges.give_up()
        self._landed.clear()
        self._wake.set()

    async def landed(self, timeout_s: float) -> bool:
        """Whether all that was purged here is in the log, at the latest after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._landed.wait()
        except TimeoutError:
            return False
        return True

    async def alone(self, own: Iterable[int], tags: Iterable[int], seen: int, timeout_s: float) -> int | None:
        """What an answer has seen whose own request purged ``own``, if nobody else purged it since it was ``seen``.

        For the answer to an unsafe request that is itself worth storing. ``tags`` are the answer's. None: others purged
        it meanwhile, and which was first nobody knows; or the log does not tell in time.
        """
        named = frozenset(tags)
        expected = sorted(named.intersection(own))
        try:
            async with asyncio.timeout(timeout_s):
                await self._landed.wait()
                while (found := self.purges.named_since(named, seen)) is not None and len(found) < len(expected):
                    await self._news.wait()
        except TimeoutError:
            return None
        return self.purges.last if found is not None and sorted(found) == expected else None

    # --- reading ---

    async def _read(self) -> None:
        while True:
            try:
                await self._listen()
            except StoreAway:
                self._sure = False
                await asyncio.sleep(_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - without this task nothing stored would be reused any more
                self._sure = False
                report = {"message": "reading the log of purges failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
                await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        asked_ms = self._monotonic_ms()
        if not self._sure or asked_ms - self._answered_ms > CURRENT_MS:
            self._sure, self._connects = False, self._store.connects
            await self._resume()
            self._sure = True
            asked_ms = self._monotonic_ms()
        last = b"%d-%d" % id_parts(self.purges.last)
        call = b"XREAD", b"COUNT", b"%d" % _COUNT, b"BLOCK", b"%d" % _BLOCK_MS, b"STREAMS", self._log, last
        reply = await self._store.command(*call, timeout_ms=_ANSWER_MS)
        records = _records(reply[0][1]) if reply else []
        for record in records:
            self.purges.obey(record)
        self._news.set()
        self._news.clear()
        self._answered_ms = asked_ms
        if self._store.connects != self._connects:
            self._sure = False  # what has answered now may be a successor that lacks what we know
        elif len(records) < _COUNT:
            # As of when it was asked: an answer may have waited for us, and know nothing of what was purged since.
            self._heard_ms = asked_ms

    async def _resume(self) -> None:
        first, _, _ = await self._call(())
        self.purges.begin(first)
        start, listed = self.purges.oldest_kept, []
        while start <= self.purges.last:
            span = b"%d-%d" % id_parts(start), b"%d-%d" % id_parts(self.purges.last)
            found = _records(
                await self._store.command(b"XRANGE", self._log, *span, b"COUNT", b"%d" % _COUNT, timeout_ms=_ANSWER_MS)
            )
            listed += found
            if len(found) < _COUNT:
                break
            start = found[-1][0] + 1
        self.purge(self.purges.missing(first, listed))

    # --- appending ---

    async def _append(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._waiting:
                    await self._append_some()
            except StoreAway:
                await asyncio.sleep(_AGAIN_S)
                self._wake.set()
            except Exception as error:  # noqa: BLE001 - without this task no purge would leave this worker any more
                report = {"message": "appending to the log of purges failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
                await asyncio.sleep(_AGAIN_S)
                self._wake.set()

    async def _append_some(self) -> None:
        waiting = self._waiting
        count = min(len(waiting), _PER_RECORD * _PER_CALL)
        records = [tuple(waiting[at : min(at + _PER_RECORD, count)]) for at in range(0, count, _PER_RECORD)]
        _, _, numbers = await self._call(records)
        for number, digests in zip(numbers, records, strict=True):
            self.purges.landed(number, digests)
        if waiting is self._waiting:  # else everything is purged by now, and that waits
            del waiting[:count]
        if not self._waiting:
            self._landed.set()

    async def _call(self, records: Iterable[tuple[int, ...]]) -> tuple[int, int, list[int]]:
        """The log's first record, its last before this call, and those added."""
        milliseconds, sequence = id_parts(self.purges.last)
        known = b"%d" % milliseconds, b"%d" % sequence, b"%d" % MAX_RECORDS
        reply = await self._store.run(self._script, [self._log], *known, *map(packed, records), timeout_ms=_ANSWER_MS)
        first, before, *added = map(number_of, reply)
        return first, before, added


def _records(entries: Any) -> list[Record]:
    return [(number_of(entry), unpacked(fields[1])) for entry, fields in entries if fields]
