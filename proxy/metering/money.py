"""All of a worker's money behind one door: hold, renew, settle, release; and orphan what others have left.

The gateway admits through here what is budgeted, forwards only once that has returned, and ends each hold once: settles
it at what was used, or releases it if nothing was. Nothing waits for the ledger: an end is journaled, then posted with
others, and the record is in the outbox when the store has answered.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proxy.core.clock import Clock
from proxy.metering.decision import Decision
from proxy.metering.epoch import Standing
from proxy.metering.holds import NO_RECORD, Hold, HoldPlan, new_hold
from proxy.metering.journal import End, Journal
from proxy.metering.meters import Meters
from proxy.metering.plan import Plan
from proxy.metering.rebuild import WAIT_S, Sums, rebuild
from proxy.metering.settlement import Operation, Settled, orphaning, releasing, renewing, settling
from proxy.metering.settler import Ledger, Settler, no_ledger, so_far
from proxy.metering.takes import LEASE_BYTES
from proxy.store.client import Store
from proxy.store.errors import Away, StoreAway

REAP_S: Final = 2.0
GAP_MS: Final = 10_000  # nobody has reaped for so long: holders may not have been able to renew


class Money:
    """Of one worker and event loop; ``start`` before use, ``stop`` after. Store, meters, journal stay the caller's."""

    def __init__(
        self,
        store: Store,
        meters: Meters,
        clock: Clock,
        *,
        journal: Journal | None = None,
        ledger_has: Ledger = no_ledger,
        on_settled: Callable[[Operation, Settled], None] | None = None,
        reap_s: float = REAP_S,
    ) -> None:
        """``on_settled`` hears of every end that was posted, of orphans and corrections too, with each meter's settled
        and held: where alerts look. ``ledger_has`` is asked after a rebuild that this worker has missed."""
        self.settler = Settler(
            store, clock, meters.batcher.standing, journal=journal, ledger_has=ledger_has, on_settled=on_settled
        )
        self._store = store
        self._meters = meters
        self._journal = journal
        self._reap_s = reap_s
        self._prefix = secrets.token_bytes(LEASE_BYTES // 2)
        self._numbers = itertools.count()
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ends first what a worker that has died has left in this journal."""
        await self.settler.start()
        if self._journal is not None:
            standing = self.standing
            standing.epoch, standing.sequence = self._journal.epoch, self._journal.sequence
            self._end_left(list(self._journal.held.values()), list(self._journal.ended.values()))
        self._reaper = asyncio.create_task(self._reap(), name="reaper")

    def take_over(self, left: Journal) -> None:
        """Ends what a worker that has died has left in a journal of its own; this one's has it from now on."""
        if self._journal is None:
            raise ValueError("without a journal nothing is taken over")
        self._journal.absorb(left)
        self._end_left([self._journal.held[name] for name in left.held], [self._journal.ended[n] for n in left.ended])

    def _end_left(self, held: Sequence[Hold], ended: Sequence[End]) -> None:
        """What was held ends at its hold, since nobody knows better."""
        for end in ended:
            if end.entry == (0, 0):
                self.settler.post(end.operation)
        for hold in held:
            self._end(orphaning(hold, abandoned=True) if hold.sent else releasing(hold))

    async def stop(self) -> None:
        """Posts what is queued, if the store answers. What still lives its caller has ended before."""
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
        await self.settler.stop()

    @property
    def standing(self) -> Standing:
        return self.settler.standing

    def new_id(self) -> bytes:
        """The id of a hold to come, and of its record."""
        return self._prefix + next(self._numbers).to_bytes(LEASE_BYTES // 2, "little")

    def new(
        self, plan: HoldPlan, amounts: Sequence[int], record: bytes, *, hold_id: bytes | None = None, sent: bool = True
    ) -> Hold:
        """A hold to ask for, see ``holds.new_hold``. ``record``: what the ledger gets if this gateway dies."""
        return new_hold(self.new_id() if hold_id is None else hold_id, plan, amounts, record, sent=sent)

    async def admit(self, plan: Plan, hold: Hold) -> Decision:
        """Both the request's limits and its hold, or neither; ``decision.holding.hold`` is what is to be ended, if it
        was admitted. It is journaled when this returns. Raises: StoreAway, for a journal that is full, too; nothing is
        held then, or not for long."""
        try:
            decision = await self._meters.admit(plan, hold)
        except StoreAway as away:
            if away.reason is not Away.BREAKER:
                self.settler.post(releasing(hold))
            raise
        except BaseException:
            self.settler.post(releasing(hold))  # the caller has gone; the batch may take all the same
            raise
        if decision.admitted and decision.holding is not None:
            taken = decision.holding.hold
            if self._journal is not None:
                try:
                    self._journal.hold(taken)
                except OSError as error:
                    self.settler.post(releasing(taken))
                    self._meters.release(decision)
                    raise StoreAway(Away.REFUSED, f"the journal cannot be written: {error.strerror}") from error
            self.settler.live[taken.id] = taken
        return decision

    def admit_alone(self, hold: Hold, taken_ms: int) -> Hold:
        """A call that no meter stands for, while the store is away: the ledger hears of it once that is back.

        Raises: ValueError for a hold that takes from a meter: that is the store's to decide.
        """
        if hold.plan.meters:
            raise ValueError("a hold from meters is not admitted without the store")
        taken = hold.taken(taken_ms, ())
        if self._journal is not None:
            self._journal.hold(taken)
        self.settler.live[taken.id] = taken
        return taken

    def settle(self, hold: Hold, amounts: Sequence[int], record: bytes) -> asyncio.Future[Settled]:
        """Ends it at what was used, one amount a meter, more than was held included. Raises: ValueError."""
        return self._end(settling(hold, amounts, record))

    def release(self, hold: Hold, record: bytes = NO_RECORD) -> asyncio.Future[Settled]:
        """Ends it at nothing. ``record``: of an attempt that failed before it used anything."""
        return self._end(releasing(hold, record))

    def streamed(self, hold: Hold, amount: int) -> None:
        """What was streamed so far, in the caller's unit: told with the next renewal."""
        if hold.id in self.settler.live:
            self.settler.live[hold.id] = so_far(hold, amount)

    def renew(self, hold: Hold) -> asyncio.Future[Settled]:
        """Marks it sent, and extends its lease; after that it is renewed by itself. Needed, and to be awaited, only
        before a hold that was asked for with ``sent=False`` goes upstream: if it is not DONE, it must not go."""
        sent = self.settler.live[hold.id] = so_far(hold, hold.so_far)
        if self._journal is not None:
            self._journal.hold(sent)
        return self.settler.post(renewing(sent))

    async def rebuild(self, read: Callable[[], Awaitable[Sums]], *, wait_s: float = WAIT_S) -> bool:
        """See ``rebuild.rebuild``. Raises: StoreAway."""
        return await rebuild(self._store, self.standing, read, wait_s=wait_s)

    def _end(self, operation: Operation) -> asyncio.Future[Settled]:
        if self._journal is not None:
            try:
                self._journal.end(operation)
            except OSError as error:  # the store may have it all the same; only a store that forgets would lose it
                report = {"message": "the journal cannot be written", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
        return self.settler.post(operation)

    async def _reap(self) -> None:
        while True:
            try:
                for hold in await self.settler.reap(GAP_MS):
                    if hold.id not in self.settler.live:  # ours live, and will be renewed
                        self.settler.post(orphaning(hold))
            except StoreAway:
                pass  # the next round asks again
            except Exception as error:  # noqa: BLE001 - what the dead have left would be held for ever
                report = {"message": "reaping failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
            await asyncio.sleep(self._reap_s)
