"""Posts how holds go on and end: one lane, many in a call, again until the store has answered.

What is queued is in the journal already, so that nothing is lost with this process. Renewals go every third of a lease
for what lives. Where a rebuild has happened without this worker, what is journaled is looked for in the ledger before
it is posted again: that is the caller's, since the ledger is another room's.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from proxy.core.clock import Clock
from proxy.metering.epoch import Budgets, Standing, Trailer
from proxy.metering.holds import HOLD_LEASE_MS, Hold
from proxy.metering.journal import Journal
from proxy.metering.keys import CLOCK, DUE, HOLDS, OUTBOX, STATE
from proxy.metering.settlement import (
    MAX_OPERATIONS,
    Effect,
    Operation,
    Settled,
    SettleReply,
    What,
    pack_reap,
    pack_settle,
    renewing,
    unpack_reap,
    unpack_settle,
)
from proxy.metering.takes import ReplyFlag
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.store.scripts import load
from proxy.store.waiting import until

RENEW_MS: Final = HOLD_LEASE_MS / 3  # two renewals may be lost before a lease is
ENTRY_SLACK_MS: Final = 5_000  # the clock of outbox entries may have been ahead by this
AGAIN_MS: Final = 250  # after a call that failed, or that was behind a rebuild

Ledger = Callable[[Sequence[bytes]], Awaitable[set[bytes]]]  # hold ids -> those whose records the ledger has


async def no_ledger(_ids: Sequence[bytes]) -> set[bytes]:
    """For a gateway that has no ledger to ask."""
    return set()


class Settler:
    """A worker's lane. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        standing: Standing,
        *,
        journal: Journal | None = None,
        ledger_has: Ledger = no_ledger,
        on_settled: Callable[[Operation, Settled], None] | None = None,
    ) -> None:
        self.live: dict[bytes, Hold] = {}
        self.standing = standing
        self.calls = 0
        self._store = store
        self._monotonic_ms = clock.monotonic_ms
        self._journal = journal
        self._ledger_has = ledger_has
        self._on_settled = on_settled
        self._settle_script, self._reap_script = load("settle"), load("reap")
        self._queue: deque[tuple[Operation, asyncio.Future[Settled]]] = deque()
        self._wake = asyncio.Event()
        self._told_again = False  # what is journaled, since budgets were closed
        self._lane: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._lane = asyncio.create_task(self._run(), name="settlements")

    async def stop(self) -> None:
        """Posts what is queued, if the store answers; the journal has the rest."""
        if self._lane is not None:
            self._lane.cancel()
            await asyncio.gather(self._lane, return_exceptions=True)
        try:
            while self._queue and await self._post_next():
                pass
        except StoreAway:
            pass
        for _, future in self._queue:
            future.cancel()

    def post(self, operation: Operation) -> asyncio.Future[Settled]:
        """Soon, and again until it is answered. The future need not be awaited; it is cancelled if the worker ends."""
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        if operation.what is not What.RENEW:
            self.live.pop(operation.hold.id, None)
        self._queue.append((operation, future))
        self._wake.set()
        return future

    async def reap(self, gap_ms: int, *, most: int = MAX_OPERATIONS) -> list[Hold]:
        """The holds that are due, which the caller orphans; tells the journal what has landed. Raises: StoreAway.

        A journal that cannot be written keeps nothing from being orphaned: what the dead have left is told all the
        same.
        """
        told = self.standing
        packed = pack_reap(most, HOLD_LEASE_MS, gap_ms, epoch=told.epoch, sequence=told.sequence)
        reply = unpack_reap(await self._store.run(self._reap_script, [CLOCK, STATE, HOLDS, DUE, OUTBOX], packed))
        self._learn(reply.flags, reply.trailer)
        if self._journal is not None and reply.flags in (0, ReplyFlag.QUIET):
            self._journal.landed(int(reply.trailer[0]), reply.landed)
            try:
                self._journal.seen(self.standing.epoch, self.standing.sequence)
            except OSError as error:
                report = {"message": "the journal cannot be written", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
        return list(reply.due)

    async def _run(self) -> None:
        renew_at_ms = self._monotonic_ms() + RENEW_MS
        while True:
            await until(self._wake, (renew_at_ms - self._monotonic_ms()) / 1000)
            self._wake.clear()
            try:
                await self._tell_again()
                while self._queue and await self._post_next():
                    pass
                if self._monotonic_ms() >= renew_at_ms:
                    await self._renew()
                    renew_at_ms = self._monotonic_ms() + RENEW_MS
                if self._queue or self._must_tell():
                    await self._later()
            except StoreAway:
                await self._later()
            except Exception as error:  # noqa: BLE001 - without this lane nothing would settle any more
                report = {"message": "a call for settlements failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
                await self._later()

    async def _later(self) -> None:
        await asyncio.sleep(AGAIN_MS / 1000)
        self._wake.set()

    def _learn(self, flags: int, trailer: Trailer) -> None:
        self.standing.learn(flags, trailer)
        if self.standing.budgets is Budgets.OPEN:
            self._told_again = False
        elif self._must_tell():
            self._wake.set()

    def _must_tell(self) -> bool:
        budgets = self.standing.budgets
        return budgets is Budgets.BEHIND or (budgets is Budgets.CLOSED and not self._told_again)

    async def _post_next(self) -> bool:
        """Posts what is next; False: not now, since this worker is behind a rebuild."""
        batch = list(itertools.islice(self._queue, MAX_OPERATIONS))
        reply = await self._call([operation for operation, _ in batch], self.standing.epoch)
        again = []
        for (operation, future), one in zip(batch, reply.settled, strict=True):
            self._queue.popleft()  # not before it has been answered
            if one.effect is Effect.CLOSED:
                again.append((operation, future))
            else:
                self._answered(operation, future, one, reply.clock_ms)
        self._queue.extendleft(reversed(again))
        return not again

    def _answered(self, operation: Operation, future: asyncio.Future[Settled], settled: Settled, clock_ms: int) -> None:
        if self._journal is not None and operation.what is not What.RENEW:
            entry = _entry(operation, settled, clock_ms)
            self._journal.posted(operation.hold.id, self.standing.epoch, entry)
        if not future.done():
            future.set_result(settled)
        if self._on_settled is not None:
            self._on_settled(operation, settled)

    async def _call(self, operations: Sequence[Operation], epoch: int) -> SettleReply:
        sequence = self.standing.sequence if epoch == self.standing.epoch else 0
        keys, packed = pack_settle(operations, epoch=epoch, sequence=sequence)
        raw = await self._store.run(self._settle_script, [CLOCK, STATE, HOLDS, DUE, OUTBOX, *keys], packed)
        reply = unpack_settle(raw, [len(each.amounts) for each in operations])
        self.calls += 1
        self._learn(reply.flags, reply.trailer)
        return reply

    async def _renew(self) -> None:
        live = list(self.live)
        for start in range(0, len(live), MAX_OPERATIONS):
            # What ended while an earlier call was under way must not be renewed any more.
            chunk = [self.live[name] for name in live[start : start + MAX_OPERATIONS] if name in self.live]
            if chunk:
                await self._call([renewing(hold) for hold in chunk], self.standing.epoch)

    async def _tell_again(self) -> None:
        """Tells a store what it may have forgotten: one that is closed, so that a rebuild finds all of it, and one that
        was rebuilt without this worker, whose epoch is adopted then."""
        if not self._must_tell():
            return
        closed, offered = self.standing.budgets is Budgets.CLOSED, self.standing.offered
        ends = dict(self._journal.ended) if self._journal is not None else {}
        queued = {operation.hold.id for operation, _ in self._queue}
        has: set[bytes] = set()
        if not closed and (ends or queued):
            # While it was closed a record could be counted twice and be put right; now it could not.
            has = await self._ledger_has([*{**ends, **dict.fromkeys(queued)}])
            for name in has & ends.keys():
                if self._journal is not None:
                    self._journal.forget(name)
            self._queue = deque(one for one in self._queue if not _landed(*one, has))
        operations = [renewing(hold) for hold in self.live.values()]
        operations += [end.operation for name, end in ends.items() if name not in has and name not in queued]
        epoch = self.standing.epoch if closed else offered
        for start in range(0, len(operations), MAX_OPERATIONS):
            chunk = operations[start : start + MAX_OPERATIONS]
            reply = await self._call(chunk, epoch)
            for operation, settled in zip(chunk, reply.settled, strict=True):
                if self._journal is not None and operation.what is not What.RENEW:
                    self._journal.posted(operation.hold.id, epoch, _entry(operation, settled, reply.clock_ms))
        if closed:
            self._told_again = True
        elif self.standing.offered == offered:  # else it was rebuilt once more
            self.standing.adopt()


def _entry(operation: Operation, settled: Settled, clock_ms: int) -> tuple[int, int]:
    """Where its record is in the outbox. One that had been posted before was added by now: a little later than now is
    surely beyond it."""
    known = settled.effect is Effect.ENDED and bool(operation.record)
    return (clock_ms + ENTRY_SLACK_MS, 0) if known else settled.entry


def _landed(operation: Operation, future: asyncio.Future[Settled], has: set[bytes]) -> bool:
    """Answers what the ledger has already."""
    if operation.hold.id not in has or operation.what is What.RENEW:
        return False
    if not future.done():
        future.set_result(Settled(Effect.ENDED, (0, 0), (0,) * (2 * len(operation.amounts))))
    return True


def so_far(hold: Hold, amount: int) -> Hold:
    """The hold as it is renewed: what was streamed, in the caller's unit; it has been sent."""
    return replace(hold, sent=True, so_far=amount)
