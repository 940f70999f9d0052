"""What was counted within a time, from counts that only grow."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.alerts.windows import STEPS, History, Tally, summed

MINUTE_MS = 60_000


def counted(total: float, amount: float = 0.0, bad: float = 0.0, **parts: float) -> Tally:
    return Tally(total, amount, bad, parts)


def test_a_window_is_what_was_counted_since_its_beginning() -> None:
    """With its parts, those that are new since then too."""
    history = History(5 * MINUTE_MS)
    for second in range(0, 601, 5):
        history.add(
            counted(second * 10, second, second, **({"a": second} | ({"b": 7} if second > 590 else {}))), second * 1000
        )
    assert history.over(MINUTE_MS, 600_000) == counted(600, 60, 60, a=60, b=7)
    assert history.over(5 * MINUTE_MS, 600_000) == counted(3000, 300, 300, a=300, b=7)


def test_a_young_history_looks_back_as_far_as_it_goes() -> None:
    """Two samples are enough, and one says nothing."""
    history = History(5 * MINUTE_MS)
    history.add(counted(100, 1), 0)
    assert history.over(MINUTE_MS, 0) == counted(0)
    history.add(counted(130, 4), 1000)
    assert history.over(5 * MINUTE_MS, 1000) == counted(30, 3)


def test_counts_that_begin_anew_have_no_past() -> None:
    """Nothing is ever negative, nor is what was counted before told of again."""
    history = History(MINUTE_MS)
    history.add(counted(100, 50, 50), 0)
    history.add(counted(110, 60, 60), 5000)
    history.add(counted(3, 1, 1), 10_000)
    assert history.over(MINUTE_MS, 10_000) == counted(0)
    history.add(counted(5, 2, 2), 15_000)
    assert history.over(MINUTE_MS, 15_000) == counted(2, 1, 1)


def test_what_fails_behind_a_clients_back_is_asked_for_too() -> None:
    """A share is never more than all."""
    history = History(MINUTE_MS)
    history.add(counted(10), 0)
    history.add(counted(11, 4, 4), 1000)
    assert history.over(MINUTE_MS, 1000) == counted(4, 4, 4)


def test_the_sum_has_each_as_its_part() -> None:
    assert summed({"a": counted(3, 1, 1), "b": counted(5, 0, 0)}) == counted(8, 1, 1, a=1, b=0)


@given(
    steps=st.lists(st.tuples(st.integers(100, 20_000), st.integers(0, 9)), min_size=1, max_size=300),
    longest_ms=st.integers(1_000, 600_000),
    share=st.floats(0.05, 1.0),
)
def test_a_window_is_never_shorter_than_asked_and_hardly_longer(
    steps: list[tuple[int, int]], longest_ms: int, share: float
) -> None:
    """By a step of the longest, and by how seldom somebody looked; and memory has a bound."""
    history, now_ms, total, seen = History(longest_ms), 0, 0, [(0, 0)]
    history.add(counted(0), 0)
    for elapsed_ms, count in steps:
        now_ms, total = now_ms + elapsed_ms, total + count
        seen.append((now_ms, total))
        history.add(counted(total), now_ms)
    window_ms = round(longest_ms * share)
    found = history.over(window_ms, now_ms).total
    at_least = total - max((count for at_ms, count in seen if at_ms <= now_ms - window_ms), default=0)
    slack_ms = longest_ms / STEPS + max(elapsed_ms for elapsed_ms, _ in steps)
    at_most = total - max((count for at_ms, count in seen if at_ms <= now_ms - window_ms - slack_ms), default=0)
    assert at_least <= found <= at_most
    assert len(history._times) <= STEPS + 2
