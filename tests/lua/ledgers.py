"""A judge of budgets that knows nothing of how they are counted, and histories of money for it to judge.

The judge is told what was asked and what was answered, keeps its own ledger, and compares: what each counter says, and
what the outbox would make of the ledger's table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.metering.books import HoldAsk
from proxy.metering.epoch import Budgets, Standing
from proxy.metering.holds import Hold, HoldMeter, HoldPlan, budget_meter, new_hold, window_meter
from proxy.metering.settlement import (
    Effect,
    Operation,
    Rebuilding,
    Settled,
    What,
    orphaning,
    releasing,
    renewing,
    settling,
)
from proxy.metering.takes import Answer, Ask, Outcome, Reply, ReplyFlag, Take, Verdict
from proxy.policy.model import MeterKind
from tests.lua.bookkeepers import GAP_MS, LEASE_MS

DAY_MS = 86_400_000
T0 = 1_790_000_000_000 // DAY_MS * DAY_MS + DAY_MS - 120_000  # two minutes before midnight
BOUND = 60
SENDERS = (b"one", b"two")


def hold_id(number: int) -> bytes:
    return b"worker-%d" % (number % 2) + number.to_bytes(8, "little")


def said(plan: HoldPlan, amounts: Sequence[int]) -> bytes:
    """A record that tells what budgets were charged."""
    charged = [b"%d" % used for used, m in zip(amounts, plan.meters, strict=True) if m.kind is MeterKind.HOLD]
    return b"charged " + b",".join(charged)


@dataclass
class Judge:
    """Truths 3, 4 and 5 for holds."""

    live: dict[bytes, Hold] = field(default_factory=dict)
    ended: dict[bytes, str] = field(default_factory=dict)
    charged: dict[bytes, tuple[Hold, tuple[int, ...]]] = field(default_factory=dict)

    def sums(self) -> dict[bytes, tuple[int, int]]:
        """Settled and held of every counter, by this ledger."""
        found: dict[bytes, list[int]] = {}
        for hold, amounts in self.charged.values():
            for key, amount in _budgets(hold, amounts):
                found.setdefault(key, [0, 0])[0] += amount
        for hold in self.live.values():
            for key, amount in _budgets(hold, hold.amounts):
                found.setdefault(key, [0, 0])[1] += amount
        return {key: (settled, held) for key, (settled, held) in found.items()}

    def admitted(self, hold: Hold) -> None:
        """Truth 3: what is settled and held fits each budget, this hold included. Truth 4: an id is admitted once."""
        assert hold.id not in self.ended, "admitted after its end"
        if hold.id in self.live:
            assert self.live[hold.id].amounts == hold.amounts
            return
        self.live[hold.id] = hold
        sums = self.sums()
        for meter in hold.plan.meters:
            if meter.kind is MeterKind.HOLD and not meter.shadow:
                settled, held = sums[meter.counter(hold.taken_ms)]
                assert settled + held <= meter.capacity, f"{settled} + {held} of {meter.capacity}"

    def happened(self, each: Operation, settled: Settled) -> None:
        """Truth 4: one end, but for a correction of an orphan's."""
        name, effect = each.hold.id, settled.effect
        if effect is Effect.CORRECTED:
            assert self.ended[name] in ("orphaned", "unsent")
            assert each.record
            self.ended[name] = "corrected"
            self.charged[name] = (each.hold, each.amounts)
        elif effect is Effect.ENDED:
            assert name in self.ended
        elif effect in (Effect.DONE, Effect.NEVER_SENT) and each.what is not What.RENEW:
            assert name not in self.ended, "ended twice"
            hold = self.live.pop(name, each.hold)
            words = {What.SETTLE: "settled", What.RELEASE: "released"}
            self.ended[name] = "unsent" if effect is Effect.NEVER_SENT else words.get(each.what, "orphaned")
            if self.ended[name] in ("settled", "orphaned") or (each.what is What.RELEASE and each.record):
                self.charged[name] = (hold, hold.amounts if self.ended[name] == "orphaned" else each.amounts)

    def agrees(self, subject: Any) -> None:
        """Counter = settled sum + live holds, for each; and nothing is lost on its way into the ledger."""
        for key, sums in self.sums().items():
            assert subject.counter(key) == sums, f"{key!r}: {subject.counter(key)} instead of {sums}"
        assert {hold.id for hold in subject.held()} == set(self.live)
        assert set(subject.dues()) == set(self.live)
        rows: dict[bytes, tuple[int, bytes]] = {}
        for name, rev, _, record in subject.entries():
            rows[name] = max(rows.get(name, (0, b"")), (rev, record))
        told = {name: record for name, (_, record) in rows.items()}
        assert told == {name: said(hold.plan, amounts) for name, (hold, amounts) in self.charged.items()}


def _refused(hold: Hold) -> Operation:
    """The call was sent, and cost nothing."""
    return releasing(hold, said(hold.plan, (0,) * len(hold.amounts)))


def _budgets(hold: Hold, amounts: Sequence[int]) -> list[tuple[bytes, int]]:
    """Counter and amount of each budget of a hold."""
    return [
        (meter.counter(hold.taken_ms), amount)
        for meter, amount in zip(hold.plan.meters, amounts, strict=True)
        if meter.kind is MeterKind.HOLD
    ]


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    """Which meters, with what capacity, in shadow or not."""
    chosen = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))
    return [(place, draw(st.sampled_from((10, 20, 25))), draw(st.integers(0, 4)) == 0) for place in chosen]


numbers = st.integers(0, 15)
used = st.lists(st.integers(0, 12), min_size=3, max_size=3)
asked = st.tuples(
    numbers, plans(), st.lists(st.integers(0, 9), min_size=3, max_size=3), st.booleans(), st.sampled_from((0, 0, 0, 1))
)


class Money(RuleBasedStateMachine):
    """Calls that hold, stream, end or die, and whose messages are lost, late or doubled. All subjects see every step;
    the first one's answers are the truth for the others and for the judge."""

    subjects: list[Any]
    seen: ClassVar[Counter[object]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.standing = Standing()
        self.clock_ms = T0
        self.sequence = dict.fromkeys(SENDERS, 0)
        self.sent: dict[bytes, list[tuple[int, list[Ask], tuple[int, int]]]] = {sender: [] for sender in SENDERS}
        self.known: dict[bytes, Hold] = {}  # as the gateways know them, taken or not
        self.older: list[Any] | None = None
        self.returns = self.numbers = 0
        self._rebuild()

    # --- steps ---

    @rule(forward=st.sampled_from((1, 500, 5_000, 9_000, 29_999, 30_000, 61_000, 200_000, DAY_MS)))
    def time_passes(self, forward: int) -> None:
        self.clock_ms += forward

    @rule(back=st.sampled_from((1, 4_000, 5_001, 130_000)))
    def clock_steps_back(self, back: int) -> None:
        self.clock_ms -= back

    @rule(sender=st.sampled_from(SENDERS), wanted=st.lists(asked, min_size=1, max_size=4))
    def admit(self, sender: bytes, wanted: list[Any]) -> None:
        asks: list[Ask] = []
        for number, chosen, amounts, sent, limit in wanted:
            takes = [Take(b"{m0}m:limit", MeterKind.WINDOW, False, 1, 4, 60_000, 1_024)] if limit else []
            hold = self._recent(number) if number > 7 else None
            hold = hold or self._new(chosen, amounts, sent)
            asks.append(HoldAsk(takes, hold=replace(hold, taken_ms=0)))
        self.sequence[sender] += 1
        self.sent[sender].append((self.sequence[sender], asks, self._told()))
        self._admit(sender, *self.sent[sender][-1])

    @rule(sender=st.sampled_from(SENDERS), back=st.integers(0, 2))
    def batch_again(self, sender: bytes, back: int) -> None:
        """A reply was lost, or an old batch comes late."""
        if back < len(self.sent[sender]):
            before = self.judge.sums()
            self._admit(sender, *self.sent[sender][-1 - back])
            assert self.judge.sums() == before

    @rule(ends=st.lists(st.tuples(numbers, used), min_size=1, max_size=3))
    def settle(self, ends: list[Any]) -> None:
        """Of whatever was ever taken, however it ended, more than was held or less."""
        operations = []
        for number, used in ends:
            hold = self._recent(number)
            if hold is not None and hold.taken_ms:
                amounts = used[: len(hold.amounts)]
                operations.append(settling(hold, amounts, said(hold.plan, amounts)))
        self._settle(operations)

    @rule(wanted=st.lists(asked, min_size=2, max_size=4), ends=st.lists(used, min_size=4, max_size=4))
    def calls(self, wanted: list[Any], ends: list[list[int]]) -> None:
        """The usual life: held, renewed after a while, settled; the last one goes on."""
        before = list(self.known)
        self.admit(b"one", [(0, *rest) for _, *rest in wanted])
        made = [self.known[name] for name in self.known if name not in before and self.known[name].taken_ms]
        self.clock_ms += 9_000
        self._settle([renewing(hold) for hold in made])
        for hold, amounts in zip(made[:-1], ends, strict=False):
            cut = amounts[: len(hold.amounts)]
            self._settle([settling(hold, cut, said(hold.plan, cut))])

    @rule(ids=st.lists(numbers, min_size=1, max_size=2), forgot=st.booleans())
    def release(self, ids: list[int], forgot: bool) -> None:
        """Also by a gateway that never heard whether it was taken, or overtaking its admission; what is known to have
        been taken with its record, of a call that was sent and cost nothing."""
        holds = [self._recent(number) for number in ids]
        if forgot:
            holds.append(self._new([(0, 20, False)], [5, 5, 5], True))
        known = [replace(hold, taken_ms=0) if forgot else hold for hold in holds if hold is not None]
        self._settle([_refused(hold) if hold.taken_ms else releasing(hold) for hold in known])

    @rule(ids=st.lists(numbers, max_size=3))
    def renew(self, ids: list[int]) -> None:
        """Only what has been taken, and not by whom the lease was lost: that is a matter of rebuilding."""
        holds = [self._recent(number) for number in ids]
        mine = [
            hold for hold in holds if hold is not None and (hold.id in self.judge.live or hold.id in self.judge.ended)
        ]
        self._settle([renewing(replace(hold, so_far=7)) for hold in mine])

    @rule(times=st.integers(1, 2), spared=numbers)
    def reap(self, times: int, spared: int) -> None:
        """Any gateway does, at any time; of two that see the same, one is late, and a renewal may overtake them."""
        told = self._told()
        _, due = self._each(lambda one: one.reap(64, LEASE_MS, GAP_MS, self.clock_ms, told))
        for hold in due[spared : spared + 1]:
            self._settle([renewing(self.known[hold.id])])
        for _ in range(times):
            self._settle([orphaning(hold) for hold in due])

    @rule(spared=numbers, refused=st.booleans())
    def gateways_die(self, spared: int, refused: bool) -> None:
        """Nobody renews for a while; the reapers of those that live go on. One was only cut off, and says now that the
        provider had refused."""
        for _ in range(8):
            self.clock_ms += 9_000
            self.reap(2, spared)
        orphans = [self.known[name] for name, word in self.judge.ended.items() if word in ("orphaned", "unsent")]
        for hold in orphans[-1:] if refused else ():
            self._settle([_refused(hold)])

    @rule()
    def remember(self) -> None:
        self.older = [one.snapshot() for one in self.subjects]

    @precondition(lambda self: self.older is not None)
    @rule(empty=st.booleans())
    def store_comes_back_older(self, empty: bool) -> None:
        """It is noticed before anything is admitted, and after a rebuild everything is as if it had never happened."""
        before = self.standing.sequence
        for subject, older in zip(self.subjects, self.older or (), strict=True):
            subject.restore([] if empty else older)
        self.older = None
        told = self._told()
        self.returns += 1
        refused = HoldAsk([], hold=self._new([(0, 10**6, False)], [1, 1, 1], True))
        sender = b"after %d" % self.returns
        reply = self._each(lambda one: one.admit_holds(sender, 1, [refused], self.clock_ms, told, BOUND))
        self.sent = {sender: [] for sender in SENDERS}
        if ReplyFlag.ROLLED_BACK in reply.flags:
            assert reply.answers[0].outcome is Outcome.CLOSED
            self.seen["rolled back"] += 1
        else:
            assert reply.trailer[1] in (before, before + 1), "nothing was lost"
            self._settle([releasing(refused.hold)])
        self._rebuild()

    # --- what must be true ---

    @invariant()
    def counters_are_what_was_settled_and_what_lives(self) -> None:
        for subject in self.subjects:
            self.judge.agrees(subject)

    # --- how it is done ---

    def _told(self) -> tuple[int, int]:
        return self.standing.epoch, self.standing.sequence

    def _recent(self, number: int) -> Hold | None:
        """One of the last that were asked for."""
        last = list(self.known.values())[-8:]
        return last[number % len(last)] if last else None

    def _new(self, chosen: list[tuple[int, int, bool]], amounts: list[int], sent: bool) -> Hold:
        self.numbers += 1
        number = self.numbers
        day = self.clock_ms // DAY_MS * DAY_MS
        edges, late = (day, day + DAY_MS, day + 2 * DAY_MS), (day - DAY_MS, day, day + DAY_MS)
        meters: list[HoldMeter] = []
        for place, capacity, shadow in chosen:
            if place == 3:
                meters.append(window_meter("tokens", b"{m0}m:tokens", 2 * capacity, 61_234, shadow=shadow))
            else:
                name = "abc"[place]
                around = late if number % 4 == 3 else edges  # a plan may be older than midnight
                meters.append(budget_meter(name, b"{m0}b:" + name.encode(), capacity, around, shadow=shadow))
        cut = amounts[: len(meters)]
        plan = HoldPlan(tuple(meters))
        hold = self.known[hold_id(number)] = new_hold(hold_id(number), plan, cut, said(plan, cut), sent=sent)
        return hold

    def _each(self, act: Any, *, compare: bool = True) -> Any:
        first, *others = [act(subject) for subject in self.subjects]
        if compare:
            for other in others:
                assert _plain(other) == _plain(first)
        return first

    def _admit(self, sender: bytes, sequence: int, asks: list[Ask], told: tuple[int, int]) -> None:
        reply: Reply = self._each(lambda one: one.admit_holds(sender, sequence, asks, self.clock_ms, told, BOUND))
        if reply.flags & ReplyFlag.STALE:
            return
        self.standing.learn(reply.flags, reply.trailer)  # type: ignore[arg-type]
        for ask, answer in zip(asks, reply.answers, strict=True):
            self.seen[answer.outcome] += 1
            self._answered(ask, answer)

    def _answered(self, ask: Ask, answer: Answer) -> None:
        assert isinstance(ask, HoldAsk)
        hold = ask.hold
        assert hold is not None
        verdicts = answer.meters[3 * len(ask.takes) :: 3]
        if answer.outcome is Outcome.ADMITTED:
            for meter, verdict in zip(hold.plan.meters, verdicts, strict=True):
                assert verdict == Verdict.FITS or meter.shadow
            taken = hold.taken(answer.taken_ms, verdicts)
            first = self.known[hold.id]
            if not first.taken_ms:
                self.known[hold.id] = taken
            if hold.id in self.judge.ended:
                return  # the answer of a batch that is told again
            self.judge.admitted(self.known[hold.id])

    def _settle(self, operations: list[Operation]) -> None:
        if not operations:
            return
        told = self._told()
        reply = self._each(lambda one: one.settle(operations, self.clock_ms, told))
        assert not reply.flags
        self.standing.learn(reply.flags, reply.trailer)
        for each, settled in zip(operations, reply.settled, strict=True):
            self.seen[each.what, settled.effect] += 1
            self.judge.happened(each, settled)
            if each.what is What.RENEW and settled.effect is Effect.DONE:
                live = self.judge.live[each.hold.id]
                self.judge.live[each.hold.id] = replace(live, sent=True)

    def _rebuild(self) -> None:
        """What gateways and the ledger know goes back into the store, whatever that has forgotten."""
        clock, told = self.clock_ms, self._told()
        closed = self._each(
            lambda one: one.rebuild(Rebuilding.CLOSE, {}, clock, at=0, random=1, epoch=told[0], lease_ms=LEASE_MS)
        )
        assert closed == ReplyFlag.CLOSED
        again = [renewing(hold) for hold in self.judge.live.values()]
        for name, word in self.judge.ended.items():
            hold, amounts = self.judge.charged.get(name, (self.known[name], ()))
            again.append(settling(hold, amounts, said(hold.plan, amounts)) if amounts else releasing(hold))
            if word == "orphaned":
                again[-1] = orphaning(hold, abandoned=True)
        for each in again:
            self._each(lambda one, each=each: one.settle([each], clock, told))
        sums = {key: (settled, T0 + 3 * DAY_MS) for key, (settled, _) in self.judge.sums().items()}
        spare = [releasing(self._spare())]
        at = self._each(lambda one: int(one.settle(spare, clock, told).trailer[1]))
        opened = self._each(
            lambda one: one.rebuild(
                Rebuilding.SET | Rebuilding.OPEN, sums, clock, at=at, random=2, epoch=told[0], lease_ms=LEASE_MS
            )
        )
        assert not opened
        reply = self._each(lambda one: one.settle(spare, clock, (0, 0)))
        self.standing = Standing()
        self.standing.learn(reply.flags, reply.trailer)
        assert self.standing.budgets is Budgets.OPEN

    def _spare(self) -> Hold:
        self.numbers += 1
        return new_hold(hold_id(self.numbers), HoldPlan(()), ())


def _plain(value: Any) -> Any:
    """Holds as what was stored of them."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], list):
        return value[0], [(hold.id, hold.amounts, hold.taken_ms, hold.sent) for hold in value[1]]
    return value
