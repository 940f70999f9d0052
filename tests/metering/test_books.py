"""The pure rules of holds by themselves; that the scripts follow them, tests/lua/test_settle.py shows."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.metering.holds import HoldPlan, budget_meter, new_hold
from proxy.metering.settlement import Effect, Operation, Rebuilding, What, releasing, settling
from proxy.metering.takes import Outcome, ReplyFlag
from tests.lua.bookkeepers import LEASE_MS, HoldAsk, TwinBooks
from tests.lua.ledgers import BOUND, DAY_MS, T0, Money
from tests.lua.test_settle import SETTINGS

DAY = T0 // DAY_MS * DAY_MS
PLAN = HoldPlan((budget_meter("day", b"{m0}b:day", 10, (DAY, DAY + DAY_MS, DAY + 2 * DAY_MS)),))


def open_books() -> TwinBooks:
    books = TwinBooks()
    for what, at in ((Rebuilding.CLOSE, 0), (Rebuilding.OPEN, 1)):
        books.rebuild(what, {}, T0, at=at, random=0, epoch=0, lease_ms=LEASE_MS)
    return books


def test_the_truths_hold_for_the_twin_alone() -> None:
    """Many more histories than the scripts are held to, since this costs no round trips."""

    class Alone(Money):
        def __init__(self) -> None:
            self.subjects = [TwinBooks()]
            super().__init__()

    run_state_machine_as_test(Alone, settings=settings(SETTINGS, max_examples=150, phases=[Phase.generate]))


def test_a_store_that_nobody_has_opened_admits_no_hold() -> None:
    """An empty one may be new, or may have lost everything: only who knows the ledger can tell."""
    answer = TwinBooks().admit_holds(b"s", 1, [HoldAsk([], hold=new_hold(bytes(16), PLAN, (1,)))], T0, (0, 0), BOUND)
    assert answer.answers[0].outcome is Outcome.CLOSED
    assert answer.flags == ReplyFlag.CLOSED


@pytest.mark.parametrize(
    ("record", "effect", "settled"), [(b"", Effect.ENDED, 5), (b"r", Effect.CORRECTED, 0)], ids=["silent", "told"]
)
def test_an_orphan_whose_call_cost_nothing_is_put_right(record: bytes, effect: Effect, settled: int) -> None:
    """By a release that says so with its record; without one nobody knows what became of the call."""
    books = open_books()
    known = (books.epoch, 0)
    hold = new_hold(bytes(16), PLAN, (5,))
    answer = books.admit_holds(b"s", 1, [HoldAsk([], hold=hold)], T0, known, BOUND).answers[0]
    taken = hold.taken(answer.taken_ms, (0,))
    books.settle([Operation(What.ABANDON, taken, (5,), b"o")], T0, known)
    reply = books.settle([releasing(taken, record), releasing(taken, record)], T0, known)
    assert [one.effect for one in reply.settled] == [effect, Effect.ENDED]
    assert books.counter(PLAN.keys[0]) == (settled, 0)
    assert [(rev, state) for _, rev, state, _ in books.entries()] == [(1, "orphaned"), (2, "corrected")][
        : 1 + bool(record)
    ]


def test_of_two_who_rebuild_at_once_one_finishes() -> None:
    """What the other has read is older than what the first has written."""
    books = open_books()
    books.rebuild(Rebuilding.CLOSE, {}, T0, at=0, random=0, epoch=0, lease_ms=LEASE_MS)
    at, both = books.sequence, Rebuilding.SET | Rebuilding.OPEN
    key = PLAN.keys[0]
    done = books.rebuild(both, {key: (4, DAY)}, T0, at=at, random=0, epoch=0, lease_ms=LEASE_MS)
    late = books.rebuild(both, {key: (9, DAY)}, T0, at=at, random=0, epoch=0, lease_ms=LEASE_MS)
    assert (done, late) == (0, ReplyFlag.UNDONE)
    assert books.counter(key) == (4, 0)


def test_who_was_not_there_while_it_was_rebuilt_is_told_so() -> None:
    """Its settlements may be in the ledger by now: it has to look before it posts them again."""
    books = open_books()
    hold = new_hold(bytes(16), PLAN, (1,))
    answer = books.admit_holds(b"s", 1, [HoldAsk([], hold=hold)], T0, (books.epoch, 0), BOUND).answers[0]
    behind = (books.epoch - 1, 5)
    reply = books.settle([settling(hold.taken(answer.taken_ms, (0,)), (1,), b"r"), releasing(hold)], T0, behind)
    assert reply.flags == ReplyFlag.BEHIND
    assert [one.effect for one in reply.settled] == [Effect.CLOSED] * 2
