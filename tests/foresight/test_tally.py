"""The quick meters decide as the reference does, which the script is held to."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.foresight.tally import Tally
from proxy.metering.reference import Reference
from proxy.metering.takes import Ask, Outcome, Take
from proxy.policy.model import MeterKind

DAY_MS = 86_400_000
START_MS = 1_795_000_000_000 // DAY_MS * DAY_MS
EDGES = (START_MS, START_MS + DAY_MS, START_MS + 2 * DAY_MS)

WINDOW = Take(b"w", MeterKind.WINDOW, False, 1000, 5000, 10_000, 128)
EXACT = Take(b"x", MeterKind.WINDOW, False, 1000, 3000, 1_000, 1)
SMOOTH = Take(b"s", MeterKind.SMOOTH, False, 1000, 3000, 1, 1)
CALENDAR = Take(b"c", MeterKind.CALENDAR, False, 1000, 40_000, *EDGES)
BUDGET = Take(b"b", MeterKind.HOLD, False, 700, 30_000, *EDGES)
KINDS = (WINDOW, EXACT, SMOOTH, CALENDAR, BUDGET)


def changed(take: Take, how: int) -> Take:
    """The same meter for a caller of another tier."""
    if how == 0 or take.kind is MeterKind.HOLD:
        return take
    if how == 1:
        return replace(take, capacity=take.capacity * 2)
    if take.kind is MeterKind.WINDOW:
        return replace(take, a=take.a * how, b=take.b * (4 if how == 2 else 1))
    if take.kind is MeterKind.SMOOTH:
        return replace(take, a=2, b=how)
    return take


steps = st.lists(
    st.tuples(
        st.integers(0, 4_000),  # ms gone by
        st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=3, unique=True),
        st.integers(1, 3),  # weight
        st.booleans(),  # shadow of the first
        st.sampled_from([0, 0, 0, 1, 2, 3]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps)
def test_it_answers_what_the_reference_answers(history: list[tuple[int, list[int], int, bool, int]]) -> None:
    """Verdicts, what is left, and how long to wait: to the last number, whatever tier comes by."""
    tally, reference, now_ms = Tally(), Reference(), START_MS + DAY_MS // 2
    for gone_ms, kinds, weight, shadow, how in history:
        now_ms += gone_ms
        takes = [changed(replace(KINDS[kind], amount=KINDS[kind].amount * weight), how) for kind in kinds]
        takes[0] = replace(takes[0], shadow=shadow)
        (expected,) = reference.decide([Ask(takes)], now_ms, now_ms)
        assert tally.decide(takes, now_ms) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_requests_in_flight_count_until_they_end(history: list[tuple[int, bool]]) -> None:
    take = Take(b"l", MeterKind.CONCURRENCY, False, 1000, 2000, 30_000)
    tally, reference, now_ms = Tally(), Reference(), START_MS
    for lease, (gone_ms, ends) in enumerate(history, 1):
        now_ms += gone_ms
        (expected,) = reference.decide([Ask([take], lease=lease.to_bytes(16, "little"))], now_ms, now_ms)
        assert tally.decide([take], now_ms, lease) == expected
        if ends and expected.outcome is Outcome.ADMITTED:
            tally.release(b"l", lease)
            reference.release(b"l", lease.to_bytes(16, "little"), now_ms)


def test_what_holds_nothing_is_forgotten() -> None:
    """Memory is that of callers who have come lately."""
    tally = Tally()
    for n in range(100):
        tally.decide([replace(WINDOW, key=b"w%d" % n), replace(SMOOTH, key=b"s%d" % n)], START_MS + n * 1000)
    tally.prune(START_MS + 99_000)
    assert 10 <= len(tally.meters) <= 15
    tally.prune(START_MS + 200_000)
    assert not tally.meters


def test_a_period_begins_anew() -> None:
    tally = Tally()
    full = replace(CALENDAR, capacity=1000)
    assert tally.decide([full], START_MS).outcome is Outcome.ADMITTED
    assert tally.decide([full], START_MS + 1).outcome is Outcome.REFUSED
    assert tally.decide([full], START_MS + DAY_MS).outcome is Outcome.ADMITTED


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 4_000)), max_size=30))
def test_what_is_used_is_told_without_being_changed(history: list[tuple[Take, int]]) -> None:
    """It is what is missing from the capacity, before a take and after it."""
    tally, now_ms = Tally(), START_MS
    for take, gone_ms in history:
        now_ms += gone_ms
        before = tally.used(take, now_ms)
        assert tally.used(take, now_ms) == before
        answer = tally.decide([take], now_ms)
        took = take.amount if answer.outcome is Outcome.ADMITTED else 0
        assert tally.used(take, now_ms) == before + took
        assert answer.meters[1] == take.capacity - before - took


def test_a_budget_that_was_overdrawn_is_told_as_it_is() -> None:
    tally = Tally()
    tally.decide([replace(BUDGET, shadow=True, amount=40_000)], START_MS)
    assert tally.used(BUDGET, START_MS) == 40_000
