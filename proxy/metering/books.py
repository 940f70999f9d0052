"""The pure twin of ``settle.lua``, ``reap.lua``, ``rebuild.lua``, and of what ``admit.lua`` does with holds. Pure.

A hold is taken by admission, lives while it is renewed, and ends once: settled at what was used, released, or orphaned
at its hold when its lease has ended. What it became is a tombstone. Only an orphan's end can be put right later: the
counters move by the difference in the period of the hold, and the ledger gets a second revision.

So at every moment, for every counter: settled is the sum of what ended there, as it was last put right, and held is the
sum of the holds that live.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat

from proxy.metering.holds import Hold
from proxy.metering.reference import AHEAD_MS, KEEP_MS, HoldState, Reference, State, WindowState
from proxy.metering.settlement import TOMBSTONE_MS, Effect, Operation, Rebuilding, Settled, SettleReply, Tomb, What
from proxy.metering.takes import Answer, Ask, Outcome, Reply, ReplyFlag
from proxy.policy.model import MeterKind

Known = tuple[int, int]  # epoch and sequence that the caller has last seen


@dataclass(slots=True)
class HoldAsk(Ask):
    """A decision that holds: what it takes from the hold's meters comes after ``takes``."""

    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record on its way into the ledger."""

    id: bytes
    rev: int
    state: str
    record: bytes


@dataclass(slots=True)
class Books(Reference):
    """Meters and holds in memory."""

    holds: dict[bytes, Hold] = field(default_factory=dict)
    due: dict[bytes, int] = field(default_factory=dict)
    tombs: dict[bytes, Tomb] = field(default_factory=dict)
    outbox: list[Entry] = field(default_factory=list)
    closed: bool = True
    epoch: int = 0
    sequence: int = 0
    reaped_ms: int = 0
    quiet_ms: int = 0
    known_store: bool = False  # whether the state key is there
    shut: Outcome | None = None

    def stand(self, known: Known) -> ReplyFlag:
        """How this store stands to what the caller has seen; one that was rolled back closes."""
        epoch, sequence = known
        if epoch > self.epoch or (epoch == self.epoch and sequence > self.sequence):
            self.closed = True
            return ReplyFlag.ROLLED_BACK | ReplyFlag.CLOSED
        if self.closed:
            return ReplyFlag.CLOSED
        return ReplyFlag.BEHIND if 0 < epoch < self.epoch else ReplyFlag(0)

    # --- admission ---

    def admit_holds(
        self, sender: bytes, sequence: int, asks: Sequence[Ask], clock_ms: int, known: Known, bound: int
    ) -> Reply:
        """A batch with holds among its decisions."""
        last = self.senders.get(sender)
        if last is not None and sequence <= last[0]:
            return last[1] if sequence == last[0] else Reply(ReplyFlag.STALE, clock_ms, ())
        now_ms, flags = self.tick(clock_ms)
        stand = self.stand(known)
        full = Outcome.OUTBOX_FULL if len(self.outbox) >= bound else None
        self.shut = Outcome.CLOSED if stand else full
        backlog, before = len(self.outbox), set(self.holds)
        answers = tuple(self.decide(asks, clock_ms, now_ms))
        self.sequence += self.holds.keys() != before
        reply = Reply(flags | stand, clock_ms, answers, (self.epoch, self.sequence, backlog))
        self.senders[sender] = (sequence, reply)
        return reply

    def _one(
        self,
        ask: Ask,
        clock_ms: int,
        now_ms: int,
        tables: dict[bytes, State],
        touched: set[bytes],
        *,
        again: bool = False,
    ) -> Answer:
        hold = ask.hold if isinstance(ask, HoldAsk) else None
        if hold is None:
            return Reference._one(self, ask, clock_ms, now_ms, tables, touched)
        plain = len(ask.takes)
        meters = hold.plan.meters
        held = [replace(take, key=m.counter(now_ms)) for take, m in zip(hold.takes(), meters, strict=True)]
        takes = [*ask.takes, *held]
        whole = Ask(takes, ask.deadline_ms, ask.lease)
        live = self.holds.get(hold.id)
        late = 0 < ask.deadline_ms < clock_ms or (ask.lease is not None and ask.lease in self.gone)
        refused = Outcome.CANCELLED if hold.id in self.tombs else self.shut
        if refused is not None and not late:
            answer = Answer(refused, (0, 0, 0) * len(takes))
        else:
            answer = Reference._one(self, whole, clock_ms, now_ms, tables, touched, again=live is not None)
        looked = answer.outcome < Outcome.EXPIRED
        sums: list[float] = []
        for take in held:
            state = tables.get(take.key) if looked else None
            sums += (state.settled, state.amount) if isinstance(state, HoldState) else (0, 0)
        taken_ms = 0
        if answer.outcome is Outcome.ADMITTED:
            if live is None:
                live = self.holds[hold.id] = hold.taken(now_ms, answer.meters[3 * plain :: 3])
                self.due[hold.id] = now_ms + hold.lease_ms
            taken_ms = live.taken_ms
        return Answer(answer.outcome, answer.meters, taken_ms, tuple(sums))

    # --- settlement ---

    def settle(self, operations: Sequence[Operation], clock_ms: int, known: Known) -> SettleReply:
        """Each in order; see ``settlement.What``. The twin knows no outbox entries' ids: they are (0, 0)."""
        now_ms = self.now(clock_ms)
        flags = self.stand(known)
        wrote = False
        effects = []
        for each in operations:
            if (flags == ReplyFlag.BEHIND and each.what is not What.RENEW) or (flags and each.what is What.ORPHAN):
                effects.append(Effect.CLOSED)
                continue
            effect = _RULES[each.what](self, each, now_ms)
            wrote |= effect in (Effect.DONE, Effect.AGAIN, Effect.CORRECTED, Effect.NEVER_SENT)
            effects.append(effect)
        self.sequence += wrote and self.known_store
        settled = [Settled(effect, (0, 0), self._sums(each)) for effect, each in zip(effects, operations, strict=True)]
        return SettleReply(flags, clock_ms, tuple(settled), (self.epoch, self.sequence, len(self.outbox)))

    def now(self, clock_ms: int) -> int:
        """The time that scripts go by which only read the watermark."""
        return self.watermark_ms if 0 < self.watermark_ms - clock_ms <= AHEAD_MS else clock_ms

    def _sums(self, each: Operation) -> tuple[float, ...]:
        live = self.holds.get(each.hold.id)
        taken_ms = live.taken_ms if live is not None else each.hold.taken_ms
        sums: list[float] = []
        for meter in each.hold.plan.meters:
            state = self.meters.get(meter.counter(taken_ms))
            sums += (state.settled, state.amount) if isinstance(state, HoldState) else (0, 0)
        return tuple(sums)

    def _settle(self, each: Operation, now_ms: int) -> Effect:
        tomb, held = self.tombs.get(each.hold.id), each.hold.amounts
        if tomb is Tomb.ORPHANED:
            self._move(each.hold, repeat(0), [used - was for used, was in zip(each.amounts, held, strict=True)], now_ms)
            return self._finish(each, Tomb.CORRECTED, Effect.CORRECTED)
        if tomb is Tomb.NEVER_SENT:
            self._move(each.hold, repeat(0), each.amounts, now_ms)
            return self._finish(each, Tomb.CORRECTED, Effect.CORRECTED)
        if tomb is not None:
            return Effect.ENDED
        live = self.holds.get(each.hold.id)
        if live is None and self._forgotten(each.hold, now_ms):
            return Effect.TOO_LATE
        freed = [-amount for amount in live.amounts] if live is not None else repeat(0)
        self._move(live or each.hold, freed, each.amounts, now_ms)
        return self._finish(each, Tomb.SETTLED, Effect.DONE)

    def _orphan(self, each: Operation, now_ms: int) -> Effect:
        if each.hold.id in self.tombs:
            return Effect.ENDED
        live = self.holds.get(each.hold.id)
        if live is None:
            if each.what is What.ORPHAN:
                return Effect.NOT_DUE
            if self._forgotten(each.hold, now_ms):
                return Effect.TOO_LATE
            self._move(each.hold, repeat(0), each.hold.amounts, now_ms)
            return self._finish(each, Tomb.ORPHANED, Effect.DONE)
        freed = [-amount for amount in live.amounts]
        if each.what is What.ORPHAN:
            if now_ms < self.quiet_ms or self.due.get(live.id, now_ms) > now_ms:
                return Effect.NOT_DUE
            if not live.sent:
                self._move(live, freed, repeat(0), now_ms)
                return self._finish(each, Tomb.NEVER_SENT, Effect.NEVER_SENT)
        self._move(live, freed, live.amounts, now_ms)
        return self._finish(each, Tomb.ORPHANED, Effect.DONE)

    def _release(self, each: Operation, now_ms: int) -> Effect:
        tomb = self.tombs.get(each.hold.id)
        if tomb in (Tomb.ORPHANED, Tomb.NEVER_SENT) and each.record and each.hold.taken_ms:
            return self._settle(each, now_ms)
        if tomb is not None:
            return Effect.ENDED
        live = self.holds.get(each.hold.id)
        if live is not None:
            self._move(live, [-amount for amount in live.amounts], repeat(0), now_ms)
        return self._finish(each, Tomb.RELEASED, Effect.DONE)

    def _renew(self, each: Operation, now_ms: int) -> Effect:
        hold = each.hold
        if hold.id in self.tombs:
            return Effect.ENDED
        live, effect = self.holds.get(hold.id), Effect.DONE
        if live is None:
            if self._forgotten(hold, now_ms):
                return Effect.TOO_LATE
            live, effect = hold, Effect.AGAIN
            budgets = [m.kind is MeterKind.HOLD for m in hold.plan.meters]
            held = [amount * budget for amount, budget in zip(hold.amounts, budgets, strict=True)]
            self._move(hold, held, repeat(0), now_ms)
        self.holds[hold.id] = replace(live, sent=True, lease_ms=hold.lease_ms, so_far=hold.so_far)
        self.due[hold.id] = now_ms + hold.lease_ms
        return effect

    def _forgotten(self, hold: Hold, now_ms: int) -> bool:
        return not hold.taken_ms or now_ms - hold.taken_ms > TOMBSTONE_MS

    def _finish(self, each: Operation, tomb: Tomb, effect: Effect) -> Effect:
        self.holds.pop(each.hold.id, None)
        self.due.pop(each.hold.id, None)
        self.tombs[each.hold.id] = tomb
        if each.record and effect is not Effect.NEVER_SENT:
            rev = 2 if effect is Effect.CORRECTED else 1
            self.outbox.append(Entry(each.hold.id, rev, tomb.name.lower(), each.record))
        return effect

    def _move(self, hold: Hold, held: Iterable[int], settled: Iterable[int], now_ms: int) -> None:
        for meter, more_held, more_settled in zip(hold.plan.meters, held, settled, strict=False):
            key = meter.counter(hold.taken_ms)
            if meter.kind is MeterKind.HOLD:
                state = self.meters.setdefault(key, HoldState())
                if isinstance(state, HoldState):
                    state.amount = max(0, state.amount + more_held)
                    state.settled = max(0, state.settled + more_settled)
                    state.keep_until_ms = max(now_ms, meter.ends_ms(hold.taken_ms)) + KEEP_MS
            else:
                found = self.meters.get(key)
                if isinstance(found, WindowState):
                    _adjust(found, hold.taken_ms, meter.b, meter.a, more_held + more_settled, now_ms)

    # --- reaping and rebuilding ---

    def reap(self, most: int, lease_ms: int, gap_ms: int, clock_ms: int, known: Known) -> tuple[ReplyFlag, list[Hold]]:
        """What is due, and not, while holders may have been unable to renew."""
        now_ms, flags = self.now(clock_ms), self.stand(known)
        if flags:
            return flags, []
        if now_ms - self.reaped_ms > gap_ms or self.reaped_ms - now_ms > AHEAD_MS:
            self.quiet_ms = now_ms + lease_ms
        self.reaped_ms = now_ms
        in_order = sorted((due, hold_id) for hold_id, due in self.due.items())
        for _, hold_id in [one for one in in_order if one[0] > now_ms + lease_ms + AHEAD_MS][:most]:
            self.due[hold_id] = now_ms + lease_ms
        if now_ms < self.quiet_ms:
            return ReplyFlag.QUIET, []
        return flags, [self.holds[hold_id] for due, hold_id in in_order if due <= now_ms][:most]

    def rebuild(
        self,
        what: Rebuilding,
        counters: dict[bytes, tuple[int, int]],
        clock_ms: int,
        *,
        at: int,
        random: int,
        epoch: int,
        lease_ms: int,
    ) -> ReplyFlag:
        """Closes, sets (settled, end of the period) by key, opens. CLOSED: it is; UNDONE: nothing was done."""
        now_ms = self.now(clock_ms)
        if what is Rebuilding.CLOSE:
            self.closed = self.known_store = True
        elif not self.closed or not self.known_store or self.sequence != at:
            return ReplyFlag.UNDONE | (ReplyFlag.CLOSED if self.closed else ReplyFlag(0))
        for key, (settled, _) in counters.items():
            state = self.meters.get(key)
            self.meters[key] = HoldState(settled, state.amount if isinstance(state, HoldState) else 0)
        if what & Rebuilding.OPEN:
            self.epoch = max(clock_ms * 1024 + random, self.epoch + 1, epoch + 1)
            self.closed, self.reaped_ms, self.quiet_ms = False, now_ms, now_ms + lease_ms
        self.sequence += 1
        return ReplyFlag.CLOSED if self.closed else ReplyFlag(0)


def _adjust(state: WindowState, taken_ms: int, width: int, window_ms: int, amount: int, now_ms: int) -> None:
    """A refund goes to the sub-window of the take, or nowhere; what is over counts, now if that has moved away."""
    if not amount:
        return
    index = taken_ms // width
    at = index * width // state.width if state.width >= width else (index + 1) * (width // state.width) - 1
    current = state.subs[-1]
    for sub in state.subs:
        if sub[0] == at:
            sub[1] = max(0, sub[1] + amount)
            if not sub[1] and sub is not current:
                state.subs.remove(sub)
            return
    if amount > 0 and (index + 1) * width - 1 + window_ms > now_ms:
        current[1] += amount


_RULES: dict[What, Callable[[Books, Operation, int], Effect]] = {
    What.RENEW: Books._renew,
    What.SETTLE: Books._settle,
    What.RELEASE: Books._release,
    What.ORPHAN: Books._orphan,
    What.ABANDON: Books._orphan,
}
