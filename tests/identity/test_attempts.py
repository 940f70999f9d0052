"""Failures by address, in a fixed amount of memory."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.attempts import AttemptMeter


def test_a_minutes_worth_at_once_then_one_by_one():
    meter = AttemptMeter(per_minute=6)
    assert [meter.take("a", 0) for _ in range(6)] == [0] * 6
    assert meter.take("a", 0) == 10_000
    assert meter.take("a", 9_999) == 1
    assert meter.take("a", 10_000) == 0
    assert meter.take("a", 10_000) == 10_000


def test_addresses_do_not_share():
    meter = AttemptMeter(per_minute=1)
    assert (meter.take("a", 0), meter.take("b", 0)) == (0, 0)
    assert meter.take("a", 0) > 0


def test_what_is_given_back_was_never_taken():
    meter = AttemptMeter(per_minute=2)
    for _ in range(100):
        assert meter.take("a", 0) == 0
        meter.give_back("a")
    assert [meter.take("a", 0) for _ in range(3)] == [0, 0, 30_000]


def test_memory_is_bounded_and_the_longest_silent_is_forgotten():
    meter = AttemptMeter(per_minute=1, max_addresses=3)
    for address in ("a", "b", "c"):
        meter.take(address, 0)
    meter.take("d", 0)
    assert len(meter) == 3
    assert meter.take("b", 1) > 0
    assert meter.take("a", 1) == 0
    meter.give_back("never seen")
    assert len(meter) == 3


def test_none_is_no_limit():
    meter = AttemptMeter(per_minute=0)
    assert not any(meter.take("a", 0) for _ in range(10_000))
    assert len(meter) == 0


def test_a_clock_that_steps_back_locks_nobody_out_for_longer_than_a_minute():
    meter = AttemptMeter(per_minute=1)
    meter.take("a", 10_000_000)
    assert 0 < meter.take("a", 0) <= 60_000
    assert meter.take("a", 60_000) == 0


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(1, 100), st.lists(st.integers(0, 5000), max_size=300))
def test_never_more_than_a_minutes_worth_beyond_the_rate(per_minute, gaps):
    """Over any time t, at most per_minute + per_minute · t are let through; and the wait that is told is enough."""
    meter, now, let_through = AttemptMeter(per_minute), 0, 0
    for gap in gaps:
        now += gap
        wait = meter.take("a", now)
        if wait == 0:
            let_through += 1
            assert let_through <= per_minute * (1 + now / 60_000) + 1e-6
        else:
            assert wait <= 60_000
            twin = AttemptMeter(per_minute)
            twin._ready = meter._ready.copy()
            assert twin.take("a", now + wait + 1) == 0
