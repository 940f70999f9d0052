"""Holds travel and are kept whole, and know the period they belong to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.holds import (
    MAX_MONEY,
    MAX_RECORD,
    HoldPlan,
    budget_meter,
    hold_keys,
    kept_bytes,
    new_hold,
    read_kept,
    window_meter,
)
from proxy.metering.keys import TAG, tombs_key

DAY_MS = 86_400_000
EDGES = (10 * DAY_MS, 11 * DAY_MS, 12 * DAY_MS)
BUDGET = budget_meter("tenant.daily", b"{m0}b:x", 1_000, EDGES)
TOKENS = window_meter("tokens", b"{m0}m:y", 5_000, 60_000)
PLAN = HoldPlan((BUDGET, TOKENS))


def test_a_hold_settles_in_the_period_in_which_it_was_taken() -> None:
    """The script picks it by its own clock; what it says when it took decides the counter."""
    today, tomorrow = BUDGET.counter(EDGES[1] - 1), BUDGET.counter(EDGES[1])
    assert (today, tomorrow) == (BUDGET.key, BUDGET.next_key)
    assert today != tomorrow
    assert (BUDGET.ends_ms(EDGES[1] - 1), BUDGET.ends_ms(EDGES[1])) == EDGES[1:]
    assert TOKENS.counter(0) == TOKENS.counter(EDGES[2]) == TOKENS.key
    assert PLAN.valid_until_ms == EDGES[1]


def test_a_day_and_a_month_that_begin_together_are_two_counters() -> None:
    month = budget_meter("tenant.daily", b"{m0}b:x", 1_000, (EDGES[0], EDGES[0] + 30 * DAY_MS, EDGES[0] + 61 * DAY_MS))
    assert month.key != BUDGET.key


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, MAX_MONEY), min_size=2, max_size=2), st.binary(max_size=300), st.booleans())
def test_what_is_kept_is_read_as_it_was(amounts: list[int], record: bytes, sent: bool) -> None:
    hold = new_hold(b"w" * 8 + bytes(8), PLAN, amounts, record, sent=sent).taken(EDGES[0] + 5, (0, 0))
    read = read_kept(hold.id, kept_bytes(hold))
    assert (read.amounts, read.record, read.sent, read.taken_ms) == (tuple(amounts), record, sent, EDGES[0] + 5)
    assert [meter.name for meter in read.plan.meters] == ["tenant.daily", "tokens"]
    assert read.plan.keys == PLAN.keys
    with pytest.raises(ValueError, match="not a hold"):
        read_kept(hold.id, kept_bytes(hold)[:30])


def test_what_lua_could_not_count_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\^53"):
        budget_meter("all", b"{m0}b:x", 2**53, EDGES)
    for amounts in ((2**53, 0), (-1, 0)):
        with pytest.raises(ValueError, match="2\\^53"):
            new_hold(bytes(16), PLAN, amounts)
    with pytest.raises(ValueError, match="16 bytes"):
        new_hold(bytes(15), PLAN, (1, 2))
    with pytest.raises(ValueError, match="larger"):
        new_hold(bytes(16), PLAN, (1, 2), bytes(MAX_RECORD + 1))


def test_a_full_window_in_shadow_has_given_nothing() -> None:
    """So nothing is given back to it; a budget in shadow has counted all the same."""
    hold = new_hold(bytes(16), PLAN, (7, 9)).taken(EDGES[0], (1, 1))
    assert hold.amounts == (7, 0)


def test_tombstones_of_neighbours_share_a_key_in_the_one_slot() -> None:
    ids = [b"w" * 8 + number.to_bytes(8, "little") for number in (0, 255, 256)]
    assert tombs_key(ids[0]) == tombs_key(ids[1]) != tombs_key(ids[2])
    assert all(key.startswith(TAG) for key in hold_keys(new_hold(ids[0], PLAN, (1, 2))))
