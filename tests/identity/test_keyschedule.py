"""When keys are fetched. Times are milliseconds on a clock that the tests move."""

import pytest

from proxy.identity.keyschedule import COOL_DOWN_MS, MAX_LIFE_MS, STALE_MS, KeySchedule, life_ms

MINUTE = 60_000


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 600),
        ("public", 600),
        ("max-age=300", 300),
        ("public, Max-Age=300, must-revalidate", 300),
        ('max-age="300"', 300),
        ("max-age=1", 60),
        ("max-age=0", 60),
        ("no-store", 60),
        ("no-cache, max-age=3000", 60),
        ("max-age=999999", 86_400),
        ("max-age=" + "9" * 400, 86_400),
        ("max-age=-5", 600),
        ("max-age=abc", 600),
        ("s-max-age=5", 600),
        ("xmax-age=5", 600),
    ],
)
def test_the_life_of_a_set_is_bounded(cache_control, seconds):
    assert life_ms(cache_control) == seconds * 1000


def test_a_new_source_is_due_at_once():
    schedule = KeySchedule()
    assert schedule.is_due(0)
    assert schedule.wait_ms(0) == 0
    assert not schedule.has_keys(0)


def test_keys_are_due_after_their_life_and_kept_a_day_longer():
    schedule = KeySchedule()
    schedule.begin(0)
    schedule.succeed(100, 10 * MINUTE)
    assert not schedule.is_due(10 * MINUTE + 99)
    assert schedule.is_due(10 * MINUTE + 100)
    assert schedule.has_keys(10 * MINUTE + STALE_MS + 99)
    assert not schedule.has_keys(10 * MINUTE + STALE_MS + 100)


def test_with_keys_there_is_one_fetch_in_a_cool_down():
    schedule = KeySchedule()
    schedule.begin(0)
    schedule.succeed(0, MAX_LIFE_MS)
    assert schedule.wait_ms(1) == COOL_DOWN_MS - 1
    assert schedule.wait_ms(COOL_DOWN_MS) == 0
    schedule.begin(COOL_DOWN_MS)
    schedule.fail()
    assert schedule.wait_ms(COOL_DOWN_MS + 1) == COOL_DOWN_MS - 1


def test_without_keys_failures_are_tried_again_soon_then_slower():
    schedule, now, pauses = KeySchedule(), 0, []
    for _ in range(8):
        schedule.begin(now)
        schedule.fail()
        pauses.append(schedule.wait_ms(now))
        now += pauses[-1]
        assert schedule.is_due(now)
    assert pauses == [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
