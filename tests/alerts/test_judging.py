"""Which bounds what was counted, or is, breaks."""

import math

import pytest

from proxy.alerts.judging import judge_history, judge_value
from proxy.alerts.windows import History, Tally
from proxy.policy.service import Bound, Measure, Rule
from proxy.policy.spending import Level

WARNING, CRITICAL = Level.WARNING, Level.CRITICAL
OVER_MS, LATELY_MS = 300_000, 60_000
BOUNDS = (Bound(WARNING, 0.01, OVER_MS, LATELY_MS, LATELY_MS), Bound(CRITICAL, 0.05, OVER_MS, LATELY_MS))
SHARE = Rule(Measure.SHARE, BOUNDS, OVER_MS, at_least=50, fewest=5)


def after(*minutes: tuple[int, float, int]) -> History:
    """Requests, amount and bad ones of each minute, the last one just over."""
    history, total, amount, bad = History(OVER_MS), 0, 0.0, 0
    history.add(Tally(), 0)
    for minute, (more, most, worse) in enumerate(minutes, 1):
        total, amount, bad = total + more, amount + most, bad + worse
        history.add(Tally(total, amount, bad), minute * 60_000)
    return history


@pytest.mark.parametrize(
    ("failed", "level", "calm"),
    [
        ((0, 0, 0, 0, 0), None, True),
        ((1, 1, 1, 1, 1), None, True),  # at the bound is not beyond it
        ((0, 0, 0, 0, 4), None, False),  # lately, but not over all
        ((0, 0, 0, 0, 6), WARNING, False),
        ((6, 6, 6, 6, 0), None, True),  # it is over already
        ((2, 2, 2, 2, 2), WARNING, False),
        ((6, 6, 6, 6, 6), CRITICAL, False),
        ((30, 0, 0, 0, 3), WARNING, False),  # critical over all, and lately a warning
        ((0, 0, 0, 0, 100), CRITICAL, False),
    ],
)
def test_a_bound_is_broken_over_all_and_lately(failed: tuple[int, ...], level: Level | None, calm: bool) -> None:
    """Of a hundred requests a minute; nothing that has ended already, nor that has only begun."""
    reading, whole, _ = judge_history(SHARE, after(*((100, each, each) for each in failed)), 300_000)
    assert (reading.level, reading.calm) == (level, calm)
    assert reading.current == pytest.approx(sum(failed) / 500)
    assert reading.lately == pytest.approx(failed[-1] / 100)
    assert whole.total == 500


def test_few_requests_say_nothing() -> None:
    """Nor do few that failed, however large a share they are."""
    all_fail, few_fail = after((49, 49, 49)), after((60, 4, 4))
    assert judge_history(SHARE, all_fail, 60_000)[0].level is None
    assert judge_history(SHARE, few_fail, 60_000)[0].level is None
    assert judge_history(SHARE, after((50, 5, 5)), 60_000)[0].level is CRITICAL


def test_without_requests_all_is_calm_and_there_is_no_value() -> None:
    reading, _, _ = judge_history(SHARE, after((0, 0, 0)), 60_000)
    assert (reading.level, reading.calm, reading.current, reading.lately) == (None, True, 0.0, None)


def test_a_mean_needs_several_slow_ones() -> None:
    """One request of a minute does not make a service slow."""
    bounds = (Bound(WARNING, 0.5, OVER_MS, LATELY_MS),)
    mean = Rule(Measure.MEAN, bounds, OVER_MS, at_least=50, fewest=5)
    assert judge_history(mean, after((60, 6 + 60.0, 1)), 60_000)[0].level is None
    reading, _, bound = judge_history(mean, after((60, 60 * 0.8, 60)), 60_000)
    assert (reading.level, bound) == (WARNING, bounds[0])
    assert reading.current == pytest.approx(0.8)


def test_a_count_is_one_too_many() -> None:
    count = Rule(Measure.COUNT, (Bound(CRITICAL, 0, OVER_MS, OVER_MS),), 0)
    assert judge_history(count, after((1, 1, 1)), 60_000)[0].level is CRITICAL
    reading, _, _ = judge_history(count, after((0, 0, 0)), 60_000)
    assert (reading.level, reading.calm) == (None, True)


@pytest.mark.parametrize(
    ("measure", "value", "level"),
    [
        (Measure.ABOVE, 0.0, None),
        (Measure.ABOVE, 10.0, None),
        (Measure.ABOVE, 10.1, WARNING),
        (Measure.BELOW, 30.0, None),
        (Measure.BELOW, 9.9, WARNING),
        (Measure.BELOW, -5.0, CRITICAL),
        (Measure.BELOW, math.nan, None),
    ],
)
def test_what_is_now_is_above_or_below(measure: Measure, value: float, level: Level | None) -> None:
    """Calm is whatever breaks nothing."""
    falling = measure is Measure.BELOW
    bounds = (Bound(WARNING, 10), Bound(CRITICAL, 2 if falling else 20))
    reading = judge_value(Rule(measure, bounds, 0), value)
    assert (reading.level, reading.calm) == (level, level is None)
