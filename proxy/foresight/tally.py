"""Meters in memory for time that only goes forward: what ``metering.reference`` decides, at a tenth of its cost. Pure.

The reference keeps the script's shape, copies what it looks at and rebuilds a window at each look, so that a refusal
leaves no trace. Here nothing comes from the future, so what has left a window has left it for good, and a window is a
queue with its sum. A test holds the two together, take for take. Where a caller's numbers change (another tier, an
exception that has ended), the rules are the reference's own.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from proxy.metering.reference import RETRY_MS, regrouped
from proxy.metering.takes import Answer, Outcome, Take, Verdict
from proxy.policy.model import MeterKind

_FITS: Final = int(Verdict.FITS)


@dataclass(slots=True)
class Window:
    """``subs``: (index, amount) of sub-windows of ``width`` ms, oldest first; ``total`` is their sum."""

    kind: ClassVar = MeterKind.WINDOW
    width: int
    window_ms: int
    subs: deque[list[int]] = field(default_factory=deque)
    total: int = 0

    @classmethod
    def start(cls, take: Take, amount: int, latest_ms: int) -> "Window":
        return cls(take.b, take.a, deque([[latest_ms // take.b, amount]] if amount else ()), amount)

    def held(self) -> tuple[int, int]:
        return self.total, (self.subs[-1][0] + 1) * self.width - 1 if self.subs else 0

    def fitting(self, take: Take, now_ms: int) -> "Window":
        """Itself, or for other numbers than it was last counted by a new one: a refusal must leave the old."""
        if take.b == self.width and take.a == self.window_ms:
            return self
        merged = regrouped(self.subs, self.width, take.b, now_ms // take.b)
        return Window(take.b, take.a, deque(map(list, merged.items())), self.total)

    def _leaves(self, index: int, now_ms: int) -> int:
        return (index + 1) * self.width - 1 + self.window_ms - now_ms

    def room(self, take: Take, now_ms: int) -> int:
        subs, gone = self.subs, now_ms - self.window_ms + 1  # what ends before has left
        while subs and (subs[0][0] + 1) * self.width <= gone:
            self.total -= subs.popleft()[1]
        return take.capacity - self.total

    def wait(self, _take: Take, now_ms: int, missing: int) -> int:
        current = now_ms // self.width
        for index, amount in self.subs:
            missing -= amount
            if index < current and missing <= 0:
                return self._leaves(index, now_ms)
        return self._leaves(current, now_ms)

    def take(self, take: Take, now_ms: int, _lease: int) -> None:
        current = now_ms // self.width
        subs = self.subs
        if subs and subs[-1][0] == current:
            subs[-1][1] += take.amount
        else:
            subs.append([current, take.amount])
        self.total += take.amount

    def left(self, take: Take) -> int:
        return take.capacity - self.total

    def reset(self, _take: Take, now_ms: int) -> int:
        return self._leaves(self.subs[0][0], now_ms) if self.subs else 0

    def idle_at(self, now_ms: int) -> bool:
        return not self.subs or self._leaves(self.subs[-1][0], now_ms) <= 0


@dataclass(slots=True)
class Smooth:
    kind: ClassVar = MeterKind.SMOOTH
    level: int
    at_ms: int
    leak: int
    scale: int
    capacity: int

    @classmethod
    def start(cls, take: Take, amount: int, latest_ms: int) -> "Smooth":
        return cls(min(amount, take.capacity) * take.b, latest_ms, take.a, take.b, take.capacity)

    def held(self) -> tuple[int, int]:
        return math.ceil(self.level / self.scale), self.at_ms

    def fitting(self, take: Take, now_ms: int) -> "Smooth":
        if (take.a, take.b, take.capacity) == (self.leak, self.scale, self.capacity):
            return self
        level = max(0, self.level - (now_ms - self.at_ms) * self.leak)
        if self.scale != take.b:
            level = math.ceil(float(level) * take.b / self.scale)
        return Smooth(min(level, take.capacity * take.b), now_ms, take.a, take.b, take.capacity)

    def room(self, take: Take, now_ms: int) -> int:
        self.level = max(0, self.level - (now_ms - self.at_ms) * self.leak)
        self.at_ms = now_ms
        return self.left(take)

    def wait(self, take: Take, _now_ms: int, _missing: int) -> int:
        return math.ceil((self.level - (take.capacity - take.amount) * self.scale) / self.leak)

    def take(self, take: Take, _now_ms: int, _lease: int) -> None:
        self.level += take.amount * self.scale

    def left(self, take: Take) -> int:
        return take.capacity - math.ceil(self.level / self.scale)

    def reset(self, _take: Take, _now_ms: int) -> int:
        return math.ceil(self.level / self.leak)

    def idle_at(self, now_ms: int) -> bool:
        return self.level <= (now_ms - self.at_ms) * self.leak


@dataclass(slots=True)
class Calendar:
    kind: ClassVar = MeterKind.CALENDAR
    last_ms: int
    count: int
    ends_ms: int = 0
    room_count: int = 0  # as it counts in the period of the take that looks

    @classmethod
    def start(cls, _take: Take, amount: int, latest_ms: int) -> "Calendar":
        return cls(latest_ms, amount)

    def held(self) -> tuple[int, int]:
        return self.count, self.last_ms

    def fitting(self, _take: Take, _now_ms: int) -> "Calendar":
        return self

    def room(self, take: Take, now_ms: int) -> int:
        start_ms = take.b if now_ms >= take.b else take.a
        self.room_count = 0 if self.last_ms < start_ms <= now_ms else self.count
        return take.capacity - self.room_count

    def wait(self, take: Take, now_ms: int, _missing: int) -> int:
        return max(1, next((edge for edge in (take.a, take.b) if now_ms < edge), take.c) - now_ms)

    def take(self, take: Take, now_ms: int, _lease: int) -> None:
        self.count = self.room_count = self.room_count + take.amount
        self.last_ms = now_ms
        self.ends_ms = take.b if now_ms < take.b else take.c

    def left(self, take: Take) -> int:
        return take.capacity - self.room_count

    def reset(self, take: Take, now_ms: int) -> int:
        return self.wait(take, now_ms, 0)

    def idle_at(self, now_ms: int) -> bool:
        return self.ends_ms <= now_ms


@dataclass(slots=True)
class InFlight:
    """Requests under way; each is released when it ends, and renewed until then."""

    kind: ClassVar = MeterKind.CONCURRENCY
    leases: set[int] = field(default_factory=set)

    @classmethod
    def start(cls, _take: Take, _amount: int, _latest_ms: int) -> "InFlight":
        return cls()

    def held(self) -> tuple[int, int]:
        return 0, 0

    def fitting(self, _take: Take, _now_ms: int) -> "InFlight":
        return self

    def room(self, take: Take, _now_ms: int) -> int:
        return self.left(take)

    def wait(self, _take: Take, _now_ms: int, _missing: int) -> int:
        return RETRY_MS

    def take(self, _take: Take, _now_ms: int, lease: int) -> None:
        self.leases.add(lease)

    def left(self, take: Take) -> int:
        return take.capacity - len(self.leases) * take.amount

    def reset(self, _take: Take, _now_ms: int) -> int:
        return 0

    def idle_at(self, _now_ms: int) -> bool:
        return not self.leases


@dataclass(slots=True)
class Purse:
    """A budget's counter in one period: what is held and what is settled, as one sum."""

    kind: ClassVar = MeterKind.HOLD
    spent: int = 0
    ends_ms: int = 0

    @classmethod
    def start(cls, _take: Take, _amount: int, _latest_ms: int) -> "Purse":
        return cls()

    def held(self) -> tuple[int, int]:
        return self.spent, 0

    def fitting(self, _take: Take, _now_ms: int) -> "Purse":
        return self

    def room(self, take: Take, _now_ms: int) -> int:
        return take.capacity - self.spent

    def wait(self, take: Take, now_ms: int, _missing: int) -> int:
        return max(1, (take.b if now_ms < take.b else take.c) - now_ms)

    def take(self, take: Take, now_ms: int, _lease: int) -> None:
        self.spent += take.amount
        self.ends_ms = take.b if now_ms < take.b else take.c

    def left(self, take: Take) -> int:
        return take.capacity - self.spent

    def reset(self, take: Take, now_ms: int) -> int:
        return self.wait(take, now_ms, 0)

    def idle_at(self, now_ms: int) -> bool:
        return self.ends_ms <= now_ms


State = Window | Smooth | Calendar | InFlight | Purse

_KINDS: Final[dict[MeterKind, type[State]]] = {
    state.kind: state for state in (Window, Smooth, Calendar, InFlight, Purse)
}


@dataclass(slots=True)
class Tally:
    """Meters by key. ``now_ms`` never goes back from call to call."""

    meters: dict[bytes, State] = field(default_factory=dict)

    def decide(self, takes: Sequence[Take], now_ms: int, lease: int = 0) -> Answer:
        """All or nothing, as ``Reference.decide`` answers one ask. ``lease``: a number of its own for a request that is
        under way until ``release``."""
        outcome = Outcome.ADMITTED
        looked: list[tuple[State, int, int]] = []
        for take in takes:
            state = self._state(take, now_ms)
            room = state.room(take, now_ms)
            if take.amount <= room:
                looked.append((state, 0, room))
                continue
            if take.amount > take.capacity:
                looked.append((state, 2, room))
                outcome = outcome if take.shadow else Outcome.IMPOSSIBLE
                continue
            looked.append((state, 1, room))
            if outcome is Outcome.ADMITTED and not take.shadow:
                outcome = Outcome.REFUSED
        meters: list[float] = []
        for take, (state, verdict, room) in zip(takes, looked, strict=True):
            delay_ms = max(1, state.wait(take, now_ms, take.amount - room)) if verdict == 1 else 0
            if outcome is Outcome.ADMITTED and (verdict == _FITS or take.kind is MeterKind.HOLD):
                state.take(take, now_ms, lease)
                self.meters[take.key] = state
                room = state.left(take)
            if verdict == _FITS:
                delay_ms = state.reset(take, now_ms)
            meters += (verdict, max(0, room), delay_ms)
        return Answer(outcome, tuple(meters))

    def release(self, key: bytes, lease: int) -> None:
        """A request under way has ended."""
        state = self.meters.get(key)
        if isinstance(state, InFlight):
            state.leases.discard(lease)
            if not state.leases:
                del self.meters[key]

    def use_up(self, key: bytes, amount: int, ends_ms: int) -> None:
        """Counts in a budget's period, whatever its capacity."""
        purse = self.meters.setdefault(key, Purse())
        if isinstance(purse, Purse):
            purse.spent += amount
            purse.ends_ms = ends_ms

    def used(self, take: Take, now_ms: int) -> int:
        """What the take's meter counts at this moment, in its unit; above the capacity where that was less once."""
        return take.capacity - self._state(take, now_ms).room(take, now_ms)

    def prune(self, now_ms: int) -> None:
        """Forgets what holds nothing any more."""
        for key in [key for key, state in self.meters.items() if state.idle_at(now_ms)]:
            del self.meters[key]

    def _state(self, take: Take, now_ms: int) -> State:
        state = self.meters.get(take.key)
        if state is None:
            return _KINDS[take.kind].start(take, 0, now_ms)
        if state.kind is not take.kind:
            amount, latest_ms = state.held()
            return _KINDS[take.kind].start(take, amount, min(latest_ms, now_ms))
        return state.fitting(take, now_ms)
