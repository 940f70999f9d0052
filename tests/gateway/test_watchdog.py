"""When a worker counts as hanging; all times are made up."""

from proxy.gateway.watchdog import LATE_S, PING_S, SILENCE_S, START_S, Watchdog


def first_hang(watchdog: Watchdog, from_s: float, to_s: float, every_s: float = PING_S) -> float | None:
    """The first tick that finds it hanging."""
    now_s = from_s
    while now_s < to_s:
        now_s += every_s
        if watchdog.tick(now_s):
            return now_s
    return None


def ready_at(now_s: float) -> Watchdog:
    watchdog = Watchdog(now_s)
    watchdog.ready(now_s)
    return watchdog


def test_a_worker_that_is_silent_for_ten_seconds_hangs() -> None:
    assert first_hang(ready_at(100), 100, 200) == 100 + SILENCE_S + PING_S


def test_each_word_starts_the_count_anew() -> None:
    watchdog = ready_at(0)
    for second in range(1, 3600):
        watchdog.heard(second - 0.5)
        assert not watchdog.tick(second)
    assert first_hang(watchdog, 3599, 4000) == 3609


def test_one_that_starts_may_take_longer() -> None:
    assert first_hang(Watchdog(0), 0, 100) == START_S + PING_S
    watchdog = Watchdog(0)
    assert first_hang(watchdog, 0, 29) is None
    watchdog.ready(29)
    assert first_hang(watchdog, 29, 100) == 29 + SILENCE_S + PING_S


def test_a_pause_of_the_parent_or_the_machine_is_no_silence() -> None:
    """Nobody was there to hear: after a pause of a minute the worker has its ten seconds again."""
    watchdog = ready_at(0)
    assert first_hang(watchdog, 0, 9) is None
    assert not watchdog.tick(69)
    assert first_hang(watchdog, 69, 200) == 69 + SILENCE_S + PING_S


def test_ticks_a_little_late_are_no_pause() -> None:
    """A busy parent must still find a worker that hangs."""
    assert first_hang(ready_at(0), 0, 100, every_s=LATE_S * 0.9) is not None
