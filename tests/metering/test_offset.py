"""Deadlines in the store's time are never late, whatever the round trips."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.offset import Offset

TRUE_MS = 1_790_000_000_000.25

trips = st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0, 1_000)), min_size=1, max_size=20)


@settings(derandomize=True, deadline=None)
@given(trips)
def test_a_deadline_is_early_and_by_no_more_than_the_quickest_seen_allows(
    found: list[tuple[float, float, float]],
) -> None:
    offset, now = Offset(), 0.0
    for there, back, pause in found:
        now += pause
        ran = now + there
        offset.learn(now, ran + back, float(int(ran + TRUE_MS)))
        now = ran + back
        assert offset.deadline(now + 50) <= now + 50 + TRUE_MS - 1
        assert offset.deadline(now + 50) >= now + 50 + TRUE_MS - 60


def test_a_step_of_the_clock_is_learnt_at_once() -> None:
    offset = Offset()
    offset.learn(0, 1, 1_000_000)
    offset.learn(10, 11, 2_000_000)
    assert offset.deadline(11) == 1_999_999
    offset.learn(20, 21, 500_000)
    assert offset.deadline(21) == 499_999
