"""The pure twin of ``lua/admit.lua``: what its rules are, without a store. Pure: callers pass the clock.

Tests hold the script to it, and a worker counts with it while Redis is away. It keeps the script's shape (load, decide
in order, write what was touched) because that shape has rules of its own: a refused decision leaves no trace, not even
the tidying of what it looked at, but for the healing of state from the future. What it leaves out is what Redis does by
itself: keys expire there, here ``prune``.

The rules, by kind:

* WINDOW. Takes are counted by sub-window; one counts until its last millisecond has left the window of the take that
  looks. Forgotten for good is what had left a window when a take was admitted under it. So truth 2 across changes of a
  policy reads: at an admission under window W at time t, the takes in (t-W, t] that no admission at some v ≤ t under a
  shorter window had already seen leave, never exceed the capacity then in force.
* SMOOTH. A leaky bucket as a meter, which is GCRA (ITU-T I.371 A.1), in whole numbers.
* CALENDAR. The count belongs to the period of the last take; a change of period keeps it where it lies in the new one.
* CONCURRENCY. Leases that have not expired.
* HOLD. What is settled and what is held in one calendar period, each its own meter. In shadow it is taken even where it
  does not fit: it refuses nothing, but what is spent has to be counted. Holds themselves are ``books``' matter.

State from the future (the clock was reset) counts as taken now. State of another kind counts whole, as taken at its
latest.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from proxy.metering.takes import Answer, Ask, Outcome, Reply, ReplyFlag, Take, Verdict
from proxy.policy.model import MeterKind

AHEAD_MS: Final = 5_000
TOMBSTONE_MS: Final = 60_000
RETRY_MS: Final = 1_000  # nobody can know when a request in flight will end
KEEP_MS: Final = 35 * 86_400_000  # a budget's counter outlives its period by this


def regrouped(subs: Iterable[Sequence[int]], width: int, to: int, current: int) -> dict[int, int]:
    """Amounts by sub-window of ``to`` ms, of those (index, amount) that are by sub-windows of ``width`` ms.

    Each counts in the last of its time, so that none leaves a window too early; what is after ``current`` counts there.
    """
    merged: dict[int, int] = {}
    for index, amount in subs:
        if to > width:
            index = index * width // to
        elif to < width:
            index = (index + 1) * (width // to) - 1
        index = min(index, current)
        merged[index] = merged.get(index, 0) + amount
    return merged


@dataclass(slots=True)
class WindowState:
    """Sub-windows of ``width`` ms as [index, amount], oldest first; the last is the current one."""

    kind: ClassVar = MeterKind.WINDOW
    width: int
    subs: list[list[int]]
    keep_until_ms: int = 0
    healed: bool = False  # it lay in the future

    @classmethod
    def start(cls, take: Take, amount: int, latest_ms: int) -> Self:
        return cls(take.b, [[latest_ms // take.b, amount]])

    def held(self) -> tuple[int, int]:
        return sum(amount for _, amount in self.subs), (self.subs[-1][0] + 1) * self.width - 1

    def _leaves(self, index: int, take: Take, now_ms: int) -> int:
        return (index + 1) * self.width - 1 + take.a - now_ms

    def room(self, take: Take, now_ms: int, _lease: bytes | None) -> int:
        current = now_ms // take.b
        if self.subs[-1][0] * self.width > now_ms:
            self.healed, self.keep_until_ms = True, (current + 1) * take.b - 1 + take.a
        merged = regrouped(self.subs, self.width, take.b, current)
        self.width = take.b
        merged.setdefault(current, 0)
        self.subs = [
            [index, amount]
            for index, amount in merged.items()
            if index == current or (amount and self._leaves(index, take, now_ms) > 0)
        ]
        return take.capacity - sum(amount for _, amount in self.subs)

    def wait(self, take: Take, now_ms: int, missing: int) -> int:
        for index, amount in self.subs[:-1]:
            missing -= amount
            if missing <= 0:
                return self._leaves(index, take, now_ms)
        return self._leaves(self.subs[-1][0], take, now_ms)

    def take(self, take: Take, now_ms: int, _lease: bytes | None) -> None:
        self.subs[-1][1] += take.amount
        self.keep_until_ms = max(self.keep_until_ms, now_ms + self._leaves(self.subs[-1][0], take, now_ms))

    def left(self, take: Take) -> int:
        return take.capacity - sum(amount for _, amount in self.subs)

    def reset(self, take: Take, now_ms: int) -> int:
        return next((self._leaves(index, take, now_ms) for index, amount in self.subs if amount), 0)


@dataclass(slots=True)
class SmoothState:
    """``level`` is amount times ``scale``; it falls by ``leak`` each millisecond."""

    kind: ClassVar = MeterKind.SMOOTH
    level: int
    at_ms: int
    leak: int
    scale: int
    healed: bool = False

    @classmethod
    def start(cls, take: Take, amount: int, latest_ms: int) -> Self:
        return cls(min(amount, take.capacity) * take.b, latest_ms, take.a, take.b)

    @property
    def keep_until_ms(self) -> int:
        return self.at_ms + math.ceil(self.level / self.leak)

    def held(self) -> tuple[int, int]:
        return math.ceil(self.level / self.scale), self.at_ms

    def room(self, take: Take, now_ms: int, _lease: bytes | None) -> int:
        self.level = max(0, self.level - max(0, now_ms - self.at_ms) * self.leak)
        self.healed |= self.at_ms > now_ms
        self.at_ms = now_ms
        if self.scale != take.b:
            # In floating point, as Lua has it: rounded up, it never forgives.
            self.level = math.ceil(float(self.level) * take.b / self.scale)
        self.leak, self.scale = take.a, take.b
        self.level = min(self.level, take.capacity * take.b)
        return take.capacity - math.ceil(self.level / self.scale)

    def wait(self, take: Take, _now_ms: int, _missing: int) -> int:
        return math.ceil((self.level - (take.capacity - take.amount) * self.scale) / self.leak)

    def take(self, take: Take, _now_ms: int, _lease: bytes | None) -> None:
        self.level += take.amount * self.scale

    def left(self, take: Take) -> int:
        return take.capacity - math.ceil(self.level / self.scale)

    def reset(self, _take: Take, _now_ms: int) -> int:
        return math.ceil(self.level / self.leak)


@dataclass(slots=True)
class CalendarState:
    kind: ClassVar = MeterKind.CALENDAR
    last_ms: int
    count: int
    keep_until_ms: int = 0
    healed: bool = False

    @classmethod
    def start(cls, _take: Take, amount: int, latest_ms: int) -> Self:
        return cls(latest_ms, amount)

    def held(self) -> tuple[int, int]:
        return self.count, self.last_ms

    def room(self, take: Take, now_ms: int, _lease: bytes | None) -> int:
        start = take.b if now_ms >= take.b else take.a
        # The gateway's clock may be ahead of ours: before the period it believes in, nothing is forgotten.
        self.keep_until_ms = next((edge for edge in (take.a, take.b) if now_ms < edge), take.c)
        self.healed |= self.last_ms > now_ms
        self.last_ms = min(self.last_ms, now_ms)
        if self.last_ms < start <= now_ms:
            self.count = 0
        return take.capacity - self.count

    def wait(self, _take: Take, now_ms: int, _missing: int) -> int:
        return max(1, self.keep_until_ms - now_ms)

    def take(self, take: Take, now_ms: int, _lease: bytes | None) -> None:
        self.count += take.amount
        self.last_ms = now_ms

    def left(self, take: Take) -> int:
        return take.capacity - self.count

    def reset(self, take: Take, now_ms: int) -> int:
        return self.wait(take, now_ms, 0)


@dataclass(slots=True)
class ConcurrencyState:
    kind: ClassVar = MeterKind.CONCURRENCY
    leases: dict[bytes, int]  # expiry
    looked: bool = False
    healed: bool = False

    @classmethod
    def start(cls, _take: Take, _amount: int, _latest_ms: int) -> Self:
        return cls({})

    @property
    def keep_until_ms(self) -> int:
        return max(self.leases.values(), default=0)

    def held(self) -> tuple[int, int]:
        return 0, 0

    def room(self, take: Take, now_ms: int, lease: bytes | None) -> int:
        if lease is None:
            raise ValueError("a concurrency meter is taken with a lease")
        self.leases = {held: expiry for held, expiry in self.leases.items() if expiry > now_ms}
        free = self.left(take)
        if free < take.amount and not self.looked:
            # Leases from a clock that ran ahead would hold for as long as it did: they get one lease from now.
            self.looked = True
            frozen = [held for held, expiry in self.leases.items() if expiry > now_ms + take.a + AHEAD_MS]
            self.leases.update(dict.fromkeys(frozen, now_ms + take.a))
            self.healed = bool(frozen)
        return take.capacity if lease in self.leases else free

    def wait(self, _take: Take, _now_ms: int, _missing: int) -> int:
        return RETRY_MS

    def take(self, take: Take, now_ms: int, lease: bytes | None) -> None:
        if lease is not None:
            self.leases.setdefault(lease, now_ms + take.a)

    def left(self, take: Take) -> int:
        return take.capacity - len(self.leases) * take.amount

    def reset(self, _take: Take, _now_ms: int) -> int:
        return 0


@dataclass(slots=True)
class HoldState:
    kind: ClassVar = MeterKind.HOLD
    settled: int = 0
    amount: int = 0  # held
    keep_until_ms: int = 0
    healed: bool = False

    @classmethod
    def start(cls, _take: Take, _amount: int, _latest_ms: int) -> Self:
        return cls()

    def held(self) -> tuple[int, int]:
        return self.settled + self.amount, 0

    def _ends(self, take: Take, now_ms: int) -> int:
        return take.b if now_ms < take.b else take.c

    def room(self, take: Take, _now_ms: int, _lease: bytes | None) -> int:
        return self.left(take)

    def wait(self, take: Take, now_ms: int, _missing: int) -> int:
        return max(1, self._ends(take, now_ms) - now_ms)

    def take(self, take: Take, now_ms: int, _lease: bytes | None) -> None:
        self.amount += take.amount
        self.keep_until_ms = max(now_ms, self._ends(take, now_ms)) + KEEP_MS

    def left(self, take: Take) -> int:
        return take.capacity - self.settled - self.amount

    def reset(self, take: Take, now_ms: int) -> int:
        return self.wait(take, now_ms, 0)


State = WindowState | SmoothState | CalendarState | ConcurrencyState | HoldState

_KINDS: Final[dict[MeterKind, type[State]]] = {
    state.kind: state for state in (WindowState, SmoothState, CalendarState, ConcurrencyState, HoldState)
}


@dataclass(slots=True)
class Reference:
    """Meters in memory. ``gone`` are leases released before they were taken, with when that may be forgotten."""

    meters: dict[bytes, State] = field(default_factory=dict)
    gone: dict[bytes, int] = field(default_factory=dict)
    watermark_ms: int = 0
    senders: dict[bytes, tuple[int, Reply]] = field(default_factory=dict)

    def admit(self, sender: bytes, sequence: int, asks: Sequence[Ask], clock_ms: int) -> Reply:
        """What the script answers to this batch at this time of its clock; and writes what the script writes."""
        last = self.senders.get(sender)
        if last is not None and sequence <= last[0]:
            return last[1] if sequence == last[0] else Reply(ReplyFlag.STALE, clock_ms, ())
        now_ms, flags = self.tick(clock_ms)
        reply = Reply(flags, clock_ms, tuple(self.decide(asks, clock_ms, now_ms)))
        self.senders[sender] = (sequence, reply)
        return reply

    def tick(self, clock_ms: int) -> tuple[int, ReplyFlag]:
        """The time to decide by: never before the watermark, unless that was a jump of the clock."""
        flags = ReplyFlag(0)
        now_ms = clock_ms
        if self.watermark_ms > clock_ms:
            if self.watermark_ms - clock_ms > AHEAD_MS:
                flags = ReplyFlag.CLOCK_RESET
            else:
                now_ms, flags = self.watermark_ms, ReplyFlag.CLOCK_CLAMPED
        self.watermark_ms = now_ms
        return now_ms, flags

    def decide(self, asks: Sequence[Ask], clock_ms: int, now_ms: int) -> list[Answer]:
        """Each decision in order; later ones see what earlier ones took. Writes what was touched."""
        tables: dict[bytes, State] = {}
        touched: set[bytes] = set()
        answers = [self._one(ask, clock_ms, now_ms, tables, touched) for ask in asks]
        self.meters.update((key, tables[key]) for key in touched)
        return answers

    def renew(self, key: bytes, lease: bytes, lease_ms: int, now_ms: int) -> bool:
        """Whether the lease holds (again): always, unless it had been released."""
        if lease in self.gone:
            return False
        state = self.meters.setdefault(key, ConcurrencyState({}))
        if isinstance(state, ConcurrencyState):
            state.leases = {**state.leases, lease: now_ms + lease_ms}
        return True

    def release(self, key: bytes, lease: bytes, now_ms: int) -> bool:
        """Whether it was held. If not, it has overtaken its take, which is then cancelled."""
        if self.drop(key, lease):
            return True
        self.gone[lease] = now_ms + TOMBSTONE_MS
        return False

    def drop(self, key: bytes, lease: bytes) -> bool:
        """Ends a lease; whether it was there."""
        state = self.meters.get(key)
        return isinstance(state, ConcurrencyState) and state.leases.pop(lease, None) is not None

    def prune(self, now_ms: int) -> None:
        """Forgets meters that hold nothing any more, as Redis lets keys expire."""
        self.meters = {key: state for key, state in self.meters.items() if state.keep_until_ms > now_ms}
        self.gone = {lease: expiry for lease, expiry in self.gone.items() if expiry > now_ms}

    def _table(self, take: Take, now_ms: int, tables: dict[bytes, State]) -> State:
        state = tables.get(take.key)
        if state is None:
            stored = self.meters.get(take.key)
            # Shallow is enough: every kind's room() makes its containers anew before anything is taken.
            state = copy.copy(stored) if stored is not None else _KINDS[take.kind].start(take, 0, now_ms)
            state.healed = False
            if isinstance(state, ConcurrencyState):
                state.looked = False
        if state.kind is not take.kind:
            amount, latest_ms = state.held()
            state = _KINDS[take.kind].start(take, amount, min(latest_ms, now_ms))
            state.healed = latest_ms > now_ms
        tables[take.key] = state
        return state

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
        """``again``: it has been admitted before, so it is told what there is, and takes nothing more."""
        if 0 < ask.deadline_ms < clock_ms:
            return Answer(Outcome.EXPIRED, (0, 0, 0) * len(ask.takes))
        if ask.lease is not None and ask.lease in self.gone:
            return Answer(Outcome.CANCELLED, (0, 0, 0) * len(ask.takes))
        outcome = Outcome.ADMITTED
        looked: list[tuple[Take, State, Verdict, int, int]] = []
        for take in ask.takes:
            state = self._table(take, now_ms, tables)
            room = state.room(take, now_ms, ask.lease)
            verdict, delay_ms = Verdict.FITS, 0
            if again:
                pass
            elif take.amount > take.capacity:
                verdict = Verdict.NEVER
                outcome = outcome if take.shadow else Outcome.IMPOSSIBLE
            elif take.amount > room:
                verdict, delay_ms = Verdict.NOT_NOW, max(1, state.wait(take, now_ms, take.amount - room))
                outcome = Outcome.REFUSED if outcome is Outcome.ADMITTED and not take.shadow else outcome
            looked.append((take, state, verdict, room, delay_ms))
        meters: list[float] = []
        for take, state, verdict, room, delay_ms in looked:
            taking = outcome is Outcome.ADMITTED and not again
            if taking and (verdict is Verdict.FITS or take.kind is MeterKind.HOLD):
                state.take(take, now_ms, ask.lease)
                touched.add(take.key)
                room = state.left(take)
            elif state.healed:
                touched.add(take.key)
            if verdict is Verdict.FITS:
                delay_ms = state.reset(take, now_ms)
            meters += (verdict, max(0, room), delay_ms)
        return Answer(outcome, tuple(meters))
