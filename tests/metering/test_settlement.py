"""What is said to the scripts is exact, and their answers are read by the sizes asked for."""

import struct

import pytest

from proxy.metering.holds import HoldPlan, budget_meter, kept_bytes, new_hold
from proxy.metering.settlement import (
    Effect,
    orphaning,
    pack_settle,
    releasing,
    renewing,
    settled_counter,
    settling,
    unpack_reap,
    unpack_settle,
)
from proxy.metering.takes import ReplyFlag

EDGES = (1_000, 2_000, 3_000)
PLAN = HoldPlan((budget_meter("a", b"{m0}b:a", 100, EDGES), budget_meter("b", b"{m0}b:b", 100, EDGES)))
HOLD = new_hold(b"w" * 8 + bytes(8), PLAN, (5, 6), b"orphan")
TAKEN = HOLD.taken(1_500, (0, 0))


def test_a_settlement_names_only_the_period_of_its_hold() -> None:
    keys, _ = pack_settle([settling(TAKEN, (4, 6), b"record")])
    assert keys[1:] == [meter.key for meter in PLAN.meters]
    keys, _ = pack_settle([settling(HOLD.taken(2_000, (0, 0)), (4, 6), b"record")])
    assert keys[1:] == [meter.next_key for meter in PLAN.meters]


def test_a_release_by_who_never_heard_names_both_periods() -> None:
    keys, _ = pack_settle([releasing(HOLD)])
    assert set(keys[1:]) == set(PLAN.keys)


def test_only_what_was_taken_can_be_settled_and_only_whole_amounts() -> None:
    with pytest.raises(ValueError, match="never taken"):
        settling(HOLD, (1, 2), b"")
    for amounts in ((1,), (-1, 2), (2**53, 1)):
        with pytest.raises(ValueError, match="one amount a meter"):
            settling(TAKEN, amounts, b"")
    with pytest.raises(ValueError, match="larger"):
        settling(TAKEN, (1, 2), bytes(20_000))


def test_more_than_was_held_is_an_overrun_and_an_orphan_never() -> None:
    assert settling(TAKEN, (6, 0), b"").overrun
    assert not settling(TAKEN, (5, 6), b"").overrun
    assert not orphaning(TAKEN).overrun


def test_a_renewal_carries_what_the_reaper_needs() -> None:
    assert b"orphan" in pack_settle([renewing(TAKEN)])[1]
    assert b"orphan" not in pack_settle([settling(TAKEN, (1, 1), b"true")])[1]


def test_replies_are_read_by_the_sizes_asked_for() -> None:
    head = struct.pack("<BBHd", 1, 32, 2, 77.0)
    body = struct.pack("<Bdddddd", 1, 9, 3, 1, 2, 3, 4) + struct.pack("<Bdd", 4, 0, 0)
    reply = unpack_settle(head + body + struct.pack("<ddd", 5, 6, 7), [2, 0])
    assert (reply.flags, reply.clock_ms, reply.trailer) == (ReplyFlag.CLOSED, 77, (5, 6, 7))
    assert [(one.effect, one.entry, one.sums) for one in reply.settled] == [
        (Effect.DONE, (9, 3), (1, 2, 3, 4)),
        (Effect.ENDED, (0, 0), ()),
    ]
    kept = kept_bytes(TAKEN)
    due = HOLD.id + struct.pack("<H", len(kept)) + kept
    found = unpack_reap(struct.pack("<BBHd", 1, 0, 1, 77.0) + due + struct.pack("<ddddd", 8, 1, 5, 6, 7))
    assert [hold.amounts for hold in found.due] == [(5, 6)]
    assert (found.landed, found.trailer) == ((8, 1), (5, 6, 7))


def test_a_counter_is_exact_up_to_the_last_nano_dollar() -> None:
    assert settled_counter(struct.pack("<Bdd", 5, 2**53 - 1, 1)) == (2**53 - 1, 1)
    assert settled_counter(None) == (0, 0)
    with pytest.raises(ValueError, match="not a budget"):
        settled_counter(struct.pack("<Bdd", 3, 0, 1))
