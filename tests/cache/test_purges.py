"""An answer is valid if and only if nothing that names it was purged after its fetch began, as far as the log tells."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.entry import Stored
from proxy.cache.purges import EVERYTHING, KEPT_RECORDS, Purges, Record, id_parts, number_of, packed, unpacked
from tests.cache.stored import answer
from tests.fuzz import examples

_digests = st.integers(1, 6)


def tagged(tags: tuple[int, ...], seen: int) -> Stored:
    return answer(tags=(*tags, EVERYTHING), seen=seen)


_steps = st.one_of(
    st.tuples(st.just("record"), st.lists(_digests | st.just(EVERYTHING), max_size=3)),
    st.tuples(st.just("fetch"), st.lists(_digests, max_size=3)),
    st.tuples(st.just("purge"), st.lists(_digests, min_size=1, max_size=2)),
    st.tuples(st.just("land")),
    st.tuples(st.just("look")),
)


@given(st.lists(_steps, max_size=40))
@settings(max_examples=examples(300))
def test_validity_is_what_the_whole_log_says(steps: list[Any]) -> None:
    """Against a mirror that forgets nothing and compares everything each time."""
    purges = Purges()
    log: list[Record] = []
    answers: list[tuple[Stored, int]] = []
    mine: list[tuple[int, ...]] = []
    for step in steps:
        match step:
            case "record", digests:
                log.append((len(log) + 1, tuple(digests)))
                purges.obey(log[-1])
            case "fetch", tags:
                answers.append((tagged(tuple(tags), purges.last), purges.last))
            case "purge", digests:
                mine.append(tuple(digests))
                purges.purge(mine[-1])
            case ("land",) if mine:
                digests = mine.pop(0)
                log.append((len(log) + 1, digests))
                purges.landed(len(log), digests)
                for record in log:
                    purges.obey(record)
            case _:
                pass
        pending = {digest for digests in mine for digest in digests}
        for stored, seen in answers:
            later = {digest for number, digests in log if number > seen for digest in digests or [EVERYTHING]}
            named = set(stored.tags)
            expected = named.isdisjoint(later) and named.isdisjoint(pending)
            assert purges.valid(stored) == expected
            assert purges.valid(stored) == expected


def test_a_mirror_that_folds_forgets_by_raising_its_floor() -> None:
    purges = Purges(most=100)
    purges.obey((1, ()))
    old, new = tagged((7,), 1), tagged((7,), 2_000)
    for number in range(2, 1_000):
        purges.obey((number, (number + 10_000,)))
    assert len(purges._digests) <= 100
    assert 1 < purges.floor < 1_000
    assert not purges.valid(old)
    assert purges.valid(new)


def test_what_is_in_use_outlives_a_floor_that_rises() -> None:
    """It was compared with all that is forgotten."""
    purges = Purges(most=100)
    purges.obey((1, ()))
    used = tagged((7,), 1)
    for number in range(2, 1_000):
        purges.obey((number, (number + 10_000,)))
        assert purges.valid(used)
    purges.obey((1_000, (7,)))
    assert not purges.valid(used)


def test_a_gap_before_the_log_is_a_floor() -> None:
    purges = Purges()
    purges.begin(10)
    purges.obey((10, (1,)))
    kept = tagged((2,), purges.last)
    purges.begin(10)
    assert purges.valid(kept)
    purges.begin(20)
    assert not purges.valid(kept)


def test_a_purge_holds_until_the_log_has_it_whatever_is_fetched_meanwhile() -> None:
    purges = Purges()
    purges.obey((1, ()))
    purges.purge((7,))
    purges.purge((7,))
    fetched = tagged((7,), purges.last)
    assert not purges.valid(fetched)
    purges.landed(2, (7,))
    assert not purges.valid(tagged((7,), 2))
    purges.landed(3, (7,))
    assert purges.valid(tagged((7,), 3))
    assert not purges.valid(tagged((7,), 2))
    assert purges.valid(tagged((8,), 1))


def test_an_answer_to_an_append_that_comes_late_takes_nothing_back() -> None:
    """The log was read further meanwhile, and another has purged the same since."""
    purges = Purges()
    purges.obey((1, ()))
    purges.purge((7,))
    purges.obey((2, (7,)))
    purges.obey((5, (7,)))
    purges.landed(2, (7,))
    assert not purges.valid(tagged((7,), 3))
    assert purges.valid(tagged((7,), 5))


def test_a_purge_that_was_given_up_for_one_of_everything() -> None:
    purges = Purges()
    purges.purge((7,))
    purges.give_up()
    assert not purges.valid(tagged((8,), 0))
    purges.landed(1, (7,))  # what was under way
    assert not purges.valid(tagged((8,), 0))
    purges.landed(2, (EVERYTHING,))
    assert purges.valid(tagged((8,), 2))
    assert not purges.valid(tagged((8,), 1))


# --- a log whose end was lost ---


def filled(count: int) -> Purges:
    purges = Purges()
    for number in range(1, count + 1):
        purges.obey((number, (number + 100,)))
    return purges


def test_lost_records_are_missing_and_trimmed_ones_are_not() -> None:
    purges = filled(5)
    listed: list[Record] = [(number, (number + 100,)) for number in range(1, 6)]
    assert purges.missing(1, listed) == ()
    assert purges.missing(1, listed[:3]) == (104, 105)
    assert purges.missing(3, listed[2:]) == ()


def test_what_was_purged_again_since_is_not_missing() -> None:
    purges = Purges()
    for record in ((1, (101,)), (2, (102,)), (3, (102,))):
        purges.obey(record)
    assert purges.missing(1, [(1, (101,)), (3, (102,))]) == ()


def test_records_of_others_at_ids_that_were_passed_are_missing_here() -> None:
    purges = filled(3)
    listed: list[Record] = [(1, (101,)), (2, (102,)), (3, (103,))]
    assert purges.missing(1, [*listed, (4, (9,))]) == ()  # it will be read
    seen = Purges()
    for record in ((1, (101,)), (5, (105,))):
        seen.obey(record)
    assert seen.missing(1, [(1, (101,)), (3, (9,)), (5, (105,))]) == (9,)


def test_a_loss_that_may_reach_further_than_is_remembered_purges_everything() -> None:
    purges = filled(KEPT_RECORDS + 10)
    assert purges.missing(1, []) == (EVERYTHING,)
    assert purges.missing(1, [(purges.oldest_kept, ())])[:1] != (EVERYTHING,)


def test_what_is_remembered_of_the_log_is_bounded_by_its_digests_too() -> None:
    purges = Purges(most=100)
    for number in range(1, 50):
        purges.obey((number, tuple(range(number * 10, number * 10 + 10))))
    assert sum(len(digests) for _, digests in purges._records) <= 100
    assert purges.missing(1, []) == (EVERYTHING,)


# --- forms ---


@given(st.integers(0, 2**41), st.integers(0, 2**20 - 1), st.integers(0, 2**41), st.integers(0, 2**20 - 1))
def test_numbers_are_ordered_as_ids_are(ms: int, sequence: int, other_ms: int, other: int) -> None:
    number = number_of(b"%d-%d" % (ms, sequence))
    assert id_parts(number) == (ms, sequence)
    assert (number < number_of(b"%d-%d" % (other_ms, other))) == ((ms, sequence) < (other_ms, other))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=5))
def test_digests_are_packed_and_unpacked(digests: list[int]) -> None:
    assert unpacked(packed(digests)) == tuple(digests)


def test_a_record_that_cannot_be_read_purges_everything() -> None:
    assert unpacked(b"1234567") == (EVERYTHING,)


def test_what_was_named_since_is_told_as_often_as_it_was() -> None:
    purges = Purges()
    purges.obey((1, ()))
    for number, digests in ((2, (1, 2)), (3, (7,)), (4, (2, 2)), (5, (3,))):
        purges.obey((number, digests))
    assert sorted(purges.named_since({1, 2}, 1) or ()) == [1, 2, 2, 2]
    assert purges.named_since({1, 2}, 3) == [2, 2]
    assert purges.named_since({1, 2}, 5) == []


def test_what_was_named_is_not_known_below_the_floor_nor_beyond_what_is_kept() -> None:
    purges = Purges(most=3)
    purges.obey((5, ()))
    assert purges.named_since({1}, 4) is None
    purges.obey((6, (1, 2, 3)))
    assert purges.named_since({1}, 5) == [1]
    purges.obey((7, (4,)))
    assert purges.named_since({1}, 5) is None
    assert purges.named_since({1}, 7) == []
