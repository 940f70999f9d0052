"""The pure rules by themselves: what the script's tests cannot see, since there Redis does it."""

import random

from proxy.metering.reference import Reference, WindowState
from proxy.metering.takes import Ask, Outcome, Take
from proxy.policy.model import MILLI, MeterKind
from tests.lua.checkers import StrictWindows

T0 = 1_790_000_000_000


def test_meters_that_hold_nothing_are_pruned() -> None:
    """As Redis lets keys end; and what is pruned could not have refused anything."""
    reference = Reference()
    takes = [
        Take(b"w", MeterKind.WINDOW, False, MILLI, MILLI, 60_000, 1),
        Take(b"s", MeterKind.SMOOTH, False, MILLI, MILLI, 1, 60),
        Take(b"c", MeterKind.CALENDAR, False, MILLI, MILLI, T0, T0 + 60_000, T0 + 120_000),
        Take(b"l", MeterKind.CONCURRENCY, False, MILLI, MILLI, 60_000),
    ]
    reference.admit(b"", 1, [Ask(takes, lease=bytes(16))], T0)
    reference.release(b"l", b"x" * 16, T0)
    reference.prune(T0 + 59_999)
    assert len(reference.meters) == 4
    assert len(reference.gone) == 1
    reference.prune(T0 + 60_000)
    assert not reference.meters
    assert not reference.gone


def test_widths_there_and_back_do_not_drift() -> None:
    """A policy that is changed back and forth moves each take to the end of its coarse sub-window, once."""
    state = WindowState(1, [[T0, 5], [T0 + 700, 7], [T0 + 90_000, 0]])
    fine = Take(b"w", MeterKind.WINDOW, False, 1, 100, 3_600_000, 1)
    coarse = Take(b"w", MeterKind.WINDOW, False, 1, 100, 3_600_000, 65_536)
    state.room(coarse, T0 + 90_000, None)
    once = [list(each) for each in state.subs]
    for take in (fine, coarse) * 5:
        state.room(take, T0 + 90_000, None)
    assert state.subs == once


def test_many_workers_under_two_policies_keep_every_window() -> None:
    """While a reload spreads, workers decide by the old window and the new in turn: truth 2 as the twin states it."""
    for seed in range(30):
        rng, reference, judge, now = random.Random(seed), Reference(), StrictWindows(), T0
        windows = rng.sample((10_000, 30_000, 60_000, 61_234, 900_000), 2)
        for sequence in range(1, 300):
            now += rng.choice((0, 1, 300, 2_000, 20_000))
            window_ms = rng.choice(windows)
            width = rng.choice((1, 128, 1_024, 16_384)) if rng.random() < 0.2 else 128
            take = Take(b"w", MeterKind.WINDOW, False, MILLI, rng.choice((5, 9)) * MILLI, window_ms, width)
            judge.clock(now)
            if reference.admit(b"", sequence, [Ask([take])], now).answers[0].outcome is Outcome.ADMITTED:
                judge.admitted(take)
