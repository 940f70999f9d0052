"""Counters against ledger, outbox and holds: to the nano-dollar, and said where they differ."""

from proxy.core.usage import Charge
from proxy.ledger.reconcile import Difference, differences, expected

A, B = Charge("global", "global", "2026-11-18"), Charge("tenant", "tenant:acme", "2026-11")


def test_what_agrees_is_not_mentioned() -> None:
    assert differences({A: 12, B: 0}, {A: 5}, {A: 10}, {A: 2}, {A: 5, B: 0}) == []


def test_a_nano_dollar_is_a_difference() -> None:
    (off,) = differences({A: 2**53}, {}, {A: 2**53 - 1}, {}, {})
    assert off == Difference(A, 2**53, 2**53 - 1, 0, 0, 0)
    assert (off.settled_off, off.held_off) == (1, 0)


def test_each_side_may_know_what_the_others_forgot() -> None:
    found = differences({A: 1}, {B: 1}, {B: 7}, {}, {A: 4})
    assert [(one.charge, one.settled_off, one.held_off) for one in found] == [(A, 1, -4), (B, -7, 1)]


def test_counters_are_rebuilt_from_ledger_and_outbox() -> None:
    assert expected({A: 10, B: 1}, {A: -2}) == {A: 8, B: 1}
