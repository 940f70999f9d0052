"""settle.lua, reap.lua, rebuild.lua and the holds of admit.lua keep truths 3, 4 and 5, and agree with their twin."""

from collections import Counter

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.metering.books import HoldAsk
from proxy.metering.holds import Hold, HoldPlan, budget_meter, new_hold, window_meter
from proxy.metering.keys import DUE, HOLDS
from proxy.metering.settlement import TOMBSTONE_MS, Effect, Rebuilding, What, releasing, settling
from proxy.metering.takes import Outcome
from tests.fuzz import examples
from tests.lua.bookkeepers import LEASE_MS, ChargesAnOrphanWhole, ReleasesTwice, ScriptedBooks, TwinBooks
from tests.lua.ledgers import BOUND, DAY_MS, T0, Money, hold_id

SETTINGS = settings(
    max_examples=examples(50),
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
JUDGED = settings(SETTINGS, max_examples=300, phases=[Phase.generate], derandomize=True)
SEEN = {
    Outcome.ADMITTED,
    Outcome.REFUSED,
    Outcome.CANCELLED,
    (What.RENEW, Effect.DONE),
    (What.RENEW, Effect.ENDED),
    (What.SETTLE, Effect.DONE),
    (What.SETTLE, Effect.ENDED),
    (What.SETTLE, Effect.CORRECTED),
    (What.RELEASE, Effect.DONE),
    (What.RELEASE, Effect.ENDED),
    (What.RELEASE, Effect.CORRECTED),
    (What.ORPHAN, Effect.DONE),
    (What.ORPHAN, Effect.ENDED),
    (What.ORPHAN, Effect.NEVER_SENT),
    (What.ORPHAN, Effect.NOT_DUE),
    "rolled back",
}


@pytest.mark.parametrize("broken", [ReleasesTwice, ChargesAnOrphanWhole])
def test_the_judge_fails_a_settlement_that_is_broken(broken: type[TwinBooks]) -> None:
    """A judge that cannot fail proves nothing."""

    class Broken(Money):
        def __init__(self) -> None:
            self.subjects = [broken()]
            super().__init__()

    with pytest.raises(AssertionError, match="instead of"):
        run_state_machine_as_test(Broken, settings=JUDGED)


def test_scripts_and_twin_agree_and_keep_the_truths(client: redis.Redis) -> None:
    """Over calls that hold, end, die, are told again or late, clocks that move, and stores that come back older."""

    class Both(Money):
        def __init__(self) -> None:
            client.flushall()
            self.seen, self.subjects = seen, [ScriptedBooks(client), TwinBooks()]
            super().__init__()

    seen: Counter[object] = Counter()
    run_state_machine_as_test(Both, settings=SETTINGS)
    assert seen.keys() >= SEEN, "histories that show nothing prove nothing"


DAY = T0 // DAY_MS * DAY_MS
MONTH = HoldPlan((budget_meter("m", b"{m0}b:" + b"k" * 22, 10**6, (DAY, DAY + 31 * DAY_MS, DAY + 61 * DAY_MS)),))


def opened(client: redis.Redis) -> ScriptedBooks:
    books = ScriptedBooks(client)
    for what, at in ((Rebuilding.CLOSE, 0), (Rebuilding.OPEN, 1)):
        books.rebuild(what, {}, T0, at=at, random=0, epoch=0, lease_ms=LEASE_MS)
    return books


def taken(books: ScriptedBooks, number: int, plan: HoldPlan = MONTH, amount: int = 100, clock_ms: int = T0) -> Hold:
    hold = new_hold(hold_id(number), plan, (amount,) * len(plan.meters), b"orphan")
    reply = books.admit_holds(b"s%d" % number, 1, [HoldAsk([], hold=hold)], clock_ms, (0, 0), BOUND)
    assert reply.answers[0].outcome is Outcome.ADMITTED
    return hold.taken(reply.answers[0].taken_ms, reply.answers[0].meters[::3])


def test_a_settlement_counts_though_the_store_has_forgotten_its_hold_and_once_however_late(client: redis.Redis) -> None:
    """It carries all of it. Past the life of tombstones nothing that the store has not heard of counts any more."""
    books = opened(client)
    hold, old = taken(books, 1), taken(books, 2)
    for each in (hold, old):
        client.hdel(HOLDS, each.id)
        client.zrem(DUE, each.id)
    client.delete(MONTH.keys[0])
    late = T0 + TOMBSTONE_MS
    for effect in (Effect.DONE, Effect.ENDED):
        assert books.settle([settling(hold, (70,), b"r")], late, (0, 0)).settled[0].effect is effect
    assert books.settle([settling(old, (70,), b"r")], late + 1, (0, 0)).settled[0].effect is Effect.TOO_LATE
    assert books.counter(MONTH.keys[0]) == (70, 0)
    assert len(books.entries()) == 1


def test_a_counter_outlives_its_period_by_35_days_and_no_key_is_for_ever(client: redis.Redis) -> None:
    books = opened(client)
    books.settle([settling(taken(books, 1), (70,), b"r")], T0 + 1, (0, 0))
    assert client.pttl(MONTH.keys[0]) > (31 + 34) * DAY_MS
    lasting = {key for key in client.scan_iter() if client.pttl(key) == -1}
    assert lasting <= {b"{m0}clock", b"{m0}state", b"{m0}outbox"}


def test_tokens_held_in_a_window_are_given_back_where_they_were_taken(client: redis.Redis) -> None:
    """What is over counts at once; what was not used is free at once; once it has left the window, nothing moves."""
    books = opened(client)
    plan = HoldPlan((window_meter("tokens", b"{m0}m:tokens", 1_000, 60_000),))
    first = taken(books, 1, plan, 600)
    taken(books, 2, plan, 300, T0 + 5_000)

    def left(number: int, clock_ms: int) -> float:
        ask = new_hold(hold_id(number), plan, (0,))
        reply = books.admit_holds(b"s%d" % number, 1, [HoldAsk([], hold=ask)], clock_ms, (0, 0), BOUND)
        return reply.answers[0].meters[1]

    assert left(3, T0 + 6_000) == 100
    books.settle([settling(first, (50,), b"r")], T0 + 7_000, (0, 0))
    assert left(4, T0 + 7_000) == 650
    over = taken(books, 5, plan, 10, T0 + 8_000)
    books.settle([settling(over, (700,), b"r")], T0 + 9_000, (0, 0))
    assert left(6, T0 + 9_000) == 0
    assert left(7, T0 + 130_000) == 1_000
    late = taken(books, 8, plan, 1_000, T0 + 130_000)
    assert left(9, T0 + 200_000) == 1_000
    books.settle([settling(late, (0,), b"r")], T0 + 200_000, (0, 0))
    assert left(10, T0 + 200_000) == 1_000


def test_memory_of_holds_and_tombstones(client: redis.Redis) -> None:
    """What is promised: a live hold costs its record and 700 bytes; what has ended, a byte or two."""
    books = opened(client)
    holds = [taken(books, number) for number in range(0, 512, 2)]
    assert client.memory_usage(HOLDS, samples=0) / len(holds) < 400
    books.settle([releasing(hold) for hold in holds[:128]], T0, (0, 0))
    books.settle([releasing(hold) for hold in holds[128:]], T0, (0, 0))
    tombs = list(client.scan_iter(b"{m0}t:*"))
    assert sum(client.memory_usage(key) for key in tombs) / len(holds) < 6
    assert not client.exists(HOLDS, DUE)
