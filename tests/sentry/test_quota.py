"""The first of its kind is told, whatever else there is."""

from proxy.sentry.quota import WINDOW_MS, Quota


def test_the_first_is_always_told_and_a_flood_is_counted() -> None:
    quota = Quota(burst=3)
    assert [quota.take("a", now) for now in range(5)] == [0, 0, 0, None, None]
    assert quota.take("b", 5) == 0


def test_the_next_window_tells_how_many_were_not() -> None:
    quota = Quota(burst=1)
    assert [quota.take("a", 0), quota.take("a", 1), quota.take("a", 2)] == [0, None, None]
    assert quota.take("a", WINDOW_MS) == 2
    assert quota.take("a", 3 * WINDOW_MS) == 0


def test_a_clock_that_steps_back_silences_nothing() -> None:
    quota = Quota(burst=1)
    assert [quota.take("a", WINDOW_MS * 5), quota.take("a", 0)] == [0, 0]


def test_its_memory_is_bounded_and_what_is_forgotten_is_told_again() -> None:
    quota = Quota(burst=1, most=2)
    assert [quota.take(one, 0) for one in "abc"] == [0, 0, 0]
    assert quota.take("c", 1) is None
    assert quota.take("a", 1) == 0
