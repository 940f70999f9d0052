"""Admission over the store: decisions that arrive while a batch is under way travel together in the next.

One lane a worker: at most one batch is under way, so its sequence numbers order what the store sees, and a batch sent
again after a lost connection takes nothing twice. Every decision carries a deadline in the store's time that lies
before the moment at which its caller gives up: what the store reads after that takes nothing, however late. What it had
decided before, and could not tell, counts: the error is on the strict side.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.core.clock import Clock
from proxy.metering.decision import Decision, Holding
from proxy.metering.epoch import Standing
from proxy.metering.holds import Hold, pack_hold_ask, pack_takes, sums_struct
from proxy.metering.keys import CLOCK, DUE, GONE, HOLDS, OUTBOX, STATE, sender_key, tombs_key
from proxy.metering.offset import Offset
from proxy.metering.plan import Plan
from proxy.metering.refusals import Refusals
from proxy.metering.settlement import unpack_trailer
from proxy.metering.takes import (
    MAX_BATCH,
    REPLY_HEAD,
    Outcome,
    ReplyFlag,
    answer_struct,
    pack_ask,
    pack_batch,
    unpack_head,
)
from proxy.store.breaker import Breaker
from proxy.store.client import Store
from proxy.store.errors import Away, StoreAway
from proxy.store.scripts import load

MEMORY_MS: Final = 60_000  # how long the store remembers a sender's last reply: longer than any deadline
PROBE_MS: Final = 1_000
OUTBOX_BOUND: Final = 200_000  # records that may wait for the ledger: about 250 MB of the store's memory

_MONEY: Final = [STATE, HOLDS, DUE, OUTBOX]  # the last keys of a batch with holds

_OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}  # a look-up costs a tenth of Outcome(…)


class _Waiting:
    """One decision that waits for its batch."""

    __slots__ = ("arrived_ms", "future", "hold", "lease", "plan", "tries")

    def __init__(
        self,
        plan: Plan,
        lease: bytes | None,
        hold: Hold | None,
        arrived_ms: float,
        future: asyncio.Future[Decision],
    ) -> None:
        self.plan = plan
        self.lease = lease
        self.hold = hold
        self.arrived_ms = arrived_ms
        self.future = future
        self.tries = 0


def _with_hold(
    waiting: _Waiting, hold: Hold, deadline_ms: float, indices: list[int], places: dict[bytes, int], keys: list[bytes]
) -> bytes:
    """The ask of a decision that holds; names its keys in ``places`` and ``keys``."""
    found = []
    for key in (*hold.plan.keys, tombs_key(hold.id)):
        place = places.get(key)
        if place is None:
            place = places[key] = len(places)
            keys.append(key)
        found.append(place)
    meters = len(hold.plan.meters)
    packed = pack_hold_ask(hold, found[-1], found[meters:-1])
    takes = waiting.plan.packed + pack_takes(hold)
    return pack_ask(deadline_ms, indices + found[:meters], takes, waiting.lease, packed)


def _read_holding(plan: Plan, hold: Hold, reply: bytes, at: int) -> tuple[int, list[float], Holding, int]:
    """The outcome, what the plan's meters say, what the hold's say, and where the next answer begins."""
    held = len(hold.plan.meters)
    layout, sums_layout = answer_struct(len(plan.takes) + held), sums_struct(held)
    outcome, *meters = layout.unpack_from(reply, at)
    at += layout.size
    taken_ms, *sums = sums_layout.unpack_from(reply, at)
    mine = tuple(meters[3 * len(plan.takes) :])
    if taken_ms:
        hold = hold.taken(taken_ms, mine[::3])
    return outcome, meters[: 3 * len(plan.takes)], Holding(hold, mine, tuple(sums)), at + sums_layout.size


class Batcher:
    """A worker's admissions. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        on_alarm: Callable[[], None] | None = None,
        outbox_bound: int = OUTBOX_BOUND,
    ) -> None:
        self.breaker = Breaker()
        self.standing = Standing()
        self.outbox_bound = outbox_bound
        self.refusals = Refusals()
        self.offset = Offset()
        self.batches = 0
        self.decisions = 0
        self._store = store
        self._monotonic_ms = clock.monotonic_ms
        self._on_alarm = on_alarm
        self._script = load("admit")
        self._keys = [CLOCK, sender_key(secrets.token_hex(8).encode()), GONE]
        self._sequence = 0
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._lane: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learns the store's clock. A store that is away opens the breaker: the worker starts all the same."""
        self._loop = asyncio.get_running_loop()
        self._lane = self._loop.create_task(self._run(), name="admissions")
        try:
            await self._ask_nothing(self._store.timeout_ms)
        except StoreAway as away:
            self._failed(away, final=True)

    async def stop(self) -> None:
        """Fails what waits, and ends. The store stays open: it is the caller's."""
        tasks = [task for task in (self._lane, self._prober) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_up(list(self._queue), StoreAway(Away.BREAKER, "the worker ends"))
        self._queue.clear()

    def admit(self, plan: Plan, lease: bytes | None = None, hold: Hold | None = None) -> asyncio.Future[Decision]:
        """The decision on a plan; bounded by the store's timeout. ``lease``: 16 bytes, wanted by plans that are leased.

        With a ``hold`` both are taken or neither is, and the decision has a ``holding``.

        A future and no coroutine, since each request awaits one. It raises StoreAway; what the store has not decided
        by then takes nothing.
        """
        future: asyncio.Future[Decision] = self._loop.create_future()
        now_ms = self._monotonic_ms()
        if not plan.keys and hold is None:
            future.set_result(Decision(plan, Outcome.ADMITTED, ()))
        elif self.refusals and (meters := self.refusals.recall(plan, now_ms)) is not None:
            future.set_result(Decision(plan, Outcome.REFUSED, meters, remembered=True))
        elif not self.breaker.closed:
            future.set_exception(StoreAway(Away.BREAKER))
        else:
            self._queue.append(_Waiting(plan, lease, hold, now_ms, future))
            self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._next()
            if not batch:
                self._wake.clear()
                continue
            try:
                await self._send(batch)
            except StoreAway as away:
                self._failed(away)
                self._give_up(batch, away)
                if not self.breaker.closed:
                    self._give_up(list(self._queue), away)
                    self._queue.clear()
            except asyncio.CancelledError:
                self._give_up(batch, StoreAway(Away.BREAKER, "the worker ends"))
                raise
            except Exception as error:  # noqa: BLE001 - the lane outlives a batch that fails by our own fault, and reports
                self._give_up(batch, StoreAway(Away.REFUSED, "admission failed"))
                self._report("a batch of admissions failed", error)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        queue = self._queue
        while queue and len(batch) < MAX_BATCH:
            waiting = queue.popleft()
            if not waiting.future.done():  # else the client has gone
                batch.append(waiting)
        return batch

    async def _send(self, batch: list[_Waiting]) -> None:
        timeout_ms = self._store.timeout_ms
        keys = self._keys.copy()
        places: dict[bytes, int] = {}
        asks = []
        holding = False
        for waiting in batch:
            plan = waiting.plan
            indices = []
            for key in plan.keys:
                place = places.get(key)
                if place is None:
                    place = places[key] = len(places)
                    keys.append(key)
                indices.append(place)
            deadline_ms = self.offset.deadline(waiting.arrived_ms + timeout_ms)
            if waiting.hold is None:
                asks.append(pack_ask(deadline_ms, indices, plan.packed, waiting.lease))
            else:
                holding = True
                asks.append(_with_hold(waiting, waiting.hold, deadline_ms, indices, places, keys))
        self._sequence += 1
        if holding:
            keys += _MONEY
            standing = (self.standing.epoch, self.standing.sequence, self.outbox_bound)
            packed = pack_batch(self._sequence, asks, memory_ms=MEMORY_MS, standing=standing)
        else:
            packed = pack_batch(self._sequence, asks, memory_ms=MEMORY_MS)
        gives_up_ms = batch[0].arrived_ms + timeout_ms  # the one that waits longest bounds them all
        sent_ms = self._monotonic_ms()
        try:
            reply = await self._store.run(self._script, keys, packed, timeout_ms=gives_up_ms - sent_ms)
        except StoreAway as away:
            if away.reason is not Away.RESET:
                raise
            # The script may have run and only its reply be lost: the same sequence gets the same reply.
            await self._store.forget()
            sent_ms = self._monotonic_ms()
            reply = await self._store.run(self._script, keys, packed, timeout_ms=gives_up_ms - sent_ms)
        self._deliver(batch, reply, sent_ms)

    def _hear(self, reply: bytes, sent_ms: float, now_ms: float) -> tuple[int, int]:
        """Flags and decisions of a reply; what it says of the store is learnt."""
        flags, count, clock_ms = unpack_head(reply)
        self.offset.learn(sent_ms, now_ms, clock_ms)
        self.breaker.succeeded()
        if flags and self._on_alarm is not None and flags & ReplyFlag.CLOCK_RESET:
            self._on_alarm()
        return flags, count

    def _deliver(self, batch: list[_Waiting], reply: bytes, sent_ms: float) -> None:
        now_ms = self._monotonic_ms()
        flags, count = self._hear(reply, sent_ms, now_ms)
        self.batches += 1
        self.decisions += count
        if count != len(batch):
            raise StoreAway(Away.REFUSED, "the store has seen a later batch of this worker")
        at, held = REPLY_HEAD, False
        for waiting in batch:
            plan = waiting.plan
            holding = None
            if waiting.hold is None:
                outcome, *meters = plan.layout.unpack_from(reply, at)
                at += plan.layout.size
            else:
                outcome, meters, holding, at = _read_holding(plan, waiting.hold, reply, at)
                held = True
            if outcome == Outcome.REFUSED:
                self.refusals.learn(plan, outcome, tuple(meters), now_ms)
            if outcome == Outcome.EXPIRED:
                self._expired(waiting)
            elif not waiting.future.done():
                decision = Decision(plan, _OUTCOMES[outcome], meters)
                decision.holding = holding
                waiting.future.set_result(decision)
        if held:
            self.standing.learn(flags, unpack_trailer(reply))

    def _expired(self, waiting: _Waiting) -> None:
        """Nothing was taken. If its caller still waits, the store's clock has stepped: once more, by its new time."""
        waiting.tries += 1
        if waiting.tries == 1:
            self._queue.appendleft(waiting)
        else:
            self._give_up([waiting], StoreAway(Away.TIMEOUT, "too late for the store"))

    def _give_up(self, batch: list[_Waiting], away: StoreAway) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(StoreAway(away.reason, "admission was given up"))

    def _report(self, message: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

    def _failed(self, away: StoreAway, *, final: bool = False) -> None:
        self.breaker.failed(self._monotonic_ms(), away, final=final or away.reason is Away.TIMEOUT)
        if not self.breaker.closed and (self._prober is None or self._prober.done()):
            self._prober = asyncio.create_task(self._probe(), name="store probe")

    async def _ask_nothing(self, timeout_ms: float) -> None:
        """An admission without decisions. It writes as every one does: a store that answers but has no memory left, or
        may not be written to, fails it too."""
        self._sequence += 1
        packed = pack_batch(self._sequence, (), memory_ms=MEMORY_MS)
        sent_ms = self._monotonic_ms()
        reply = await self._store.run(self._script, self._keys, packed, timeout_ms=timeout_ms)
        self._hear(reply, sent_ms, self._monotonic_ms())

    async def _probe(self) -> None:
        """Asks until the store admits, so that no request has to find out."""
        while not self.breaker.closed:
            now_ms = self._monotonic_ms()
            if not self.breaker.may_probe(now_ms):
                await asyncio.sleep((self.breaker.probe_in_ms(now_ms) or 1) / 1000)
                continue
            answered = False
            try:
                await self._store.forget()
                await self._ask_nothing(PROBE_MS)
                answered = True
            except StoreAway:
                pass
            except Exception as error:  # noqa: BLE001 - without its probe a breaker would stay open for ever
                self._report("a probe of the store failed", error)
            finally:
                self.breaker.probed(self._monotonic_ms(), answered=answered)
