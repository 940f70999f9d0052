"""admit.lua keeps the truths of metering and agrees with its twin, on every server version at hand."""

import random

import pytest
import redis

from proxy.metering.takes import Ask, Outcome, Take, window_width
from proxy.policy.model import MILLI, MeterKind
from tests.lua.checkers import StrictWindows
from tests.lua.subjects import Scripted, Twin, TwoBuckets

T0 = 1_790_000_000_000
WINDOWS = (60_000, 61_234, 3_600_000, 600_000)


def window(key: bytes, window_ms: int, capacity: int, amount: int = MILLI, shadow: bool = False) -> Take:
    width = window_width(window_ms, exact=capacity <= 64 * MILLI)
    return Take(key, MeterKind.WINDOW, shadow, amount, capacity, window_ms, width)


def smooth(key: bytes, leak: int, scale: int, burst: int, amount: int = MILLI) -> Take:
    return Take(key, MeterKind.SMOOTH, False, amount, burst, leak, scale)


def bursts(subject, rng: random.Random, *, reloads: bool, jumps: bool, steps: int = 120) -> None:
    """Bursts at random distances on one window meter, judged by the checker."""
    checker = StrictWindows()
    clock, window_ms, capacity = T0, 60_000, 100 * MILLI
    for sequence in range(1, steps):
        clock += rng.choice((0, 1, 900, 1_024, 5_000, 59_000, 59_999, 60_000))
        if jumps and rng.random() < 0.1:
            clock += rng.choice((-1, -4_000, -30_000, -600_000, 90_000))
        if reloads and rng.random() < 0.1:
            window_ms, capacity = rng.choice(WINDOWS), rng.choice((3, 60, 100, 150)) * MILLI
        take = window(b"{m0}w", window_ms, capacity, rng.choice((1, 1, 7)) * MILLI)
        asks = [Ask([take])] * rng.choice((1, 5, 60))
        checker.clock(clock)
        for answer in subject.admit(b"s", sequence, asks, clock).answers:
            if answer.outcome is Outcome.ADMITTED:
                checker.admitted(take)


def test_the_checker_fails_a_two_bucket_counter() -> None:
    """A judge that cannot fail proves nothing: the usual weighted counter lets through more than the capacity."""
    with pytest.raises(AssertionError, match="of 100000 in 60000 ms"):
        bursts(TwoBuckets(), random.Random(1), reloads=False, jumps=False)


@pytest.mark.parametrize("jumps", [False, True], ids=["steady clock", "moved clock"])
@pytest.mark.parametrize("reloads", [False, True], ids=["one policy", "reloads"])
def test_no_trailing_window_holds_more_than_its_capacity(client: redis.Redis, reloads: bool, jumps: bool) -> None:
    """Truth 2, for the script and for its twin."""
    for seed in range(8):
        client.flushall()
        bursts(Scripted(client), random.Random(seed), reloads=reloads, jumps=jumps)
        bursts(Twin(), random.Random(seed), reloads=reloads, jumps=jumps)
