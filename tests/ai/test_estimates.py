"""A learnt estimate covers its quantile, never exceeds the bound, forgets, and stays small."""

import random

import pytest

from proxy.ai.estimates import ENOUGH, MAX_PAIRS, MEMORY, Estimates


def taught(ratios: list[float], quantile: float = 0.99) -> Estimates:
    made = Estimates(quantile)
    for ratio in ratios:
        made.learn("m", "chat", used=int(ratio * 1_000_000), bound=1_000_000)
    return made


def test_too_little_known_is_the_bound() -> None:
    assert taught([0.1] * (ENOUGH - 1)).estimate("m", "chat", 1000) == 1000
    assert taught([0.1] * ENOUGH).estimate("m", "chat", 1000) < 130
    assert taught([0.1] * ENOUGH).estimate("m", "messages", 1000) == 1000


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
def test_an_estimate_covers_its_quantile_and_little_more(quantile: float) -> None:
    draw = random.Random(7)
    ratios = [draw.random() ** 3 for _ in range(5000)]
    estimate = taught(ratios, quantile).estimate("m", "chat", 1_000_000)
    covered = sum(int(ratio * 1_000_000) <= estimate for ratio in ratios) / len(ratios)
    exact = sorted(ratios)[int(quantile * len(ratios)) - 1] * 1_000_000
    assert covered >= quantile
    assert exact <= estimate <= exact * 1.2 + 1


def test_an_estimate_is_at_most_the_bound() -> None:
    """Also where calls cost more than their bounds."""
    assert taught([3.0] * 500).estimate("m", "chat", 77) == 77


def test_habits_change() -> None:
    """What has been so for a while counts more than what was so before."""
    made = taught([0.9] * MEMORY)
    for _ in range(40 * MEMORY // 2):
        made.learn("m", "chat", used=1, bound=100)
    assert made.estimate("m", "chat", 1000) < 20


def test_memory_is_bounded_and_the_longest_unused_goes() -> None:
    made = taught([0.1] * ENOUGH)
    for number in range(MAX_PAIRS - 1):
        made.learn(f"m{number}", "chat", used=1, bound=10)
    assert made.estimate("m", "chat", 1000) < 1000
    made.learn("one more", "chat", used=1, bound=10)
    assert made.estimate("m", "chat", 1000) == 1000
    assert len(made._pairs) == MAX_PAIRS


def test_nothing_is_learnt_from_a_call_without_a_bound() -> None:
    made = Estimates()
    made.learn("m", "chat", used=5, bound=0)
    assert made.estimate("m", "chat", 9) == 9


@pytest.mark.parametrize("quantile", [0, 1, -1, 1.5])
def test_a_quantile_is_between_0_and_1(quantile: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        Estimates(quantile)
