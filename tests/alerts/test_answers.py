"""When an attempt is repeated: soon, then ever less often, and not for ever."""

import pytest

from proxy.alerts.answers import (
    DELIVERED,
    FIRST_PAUSE_MS,
    LAST_PAUSE_MS,
    LONGEST_ASKED_MS,
    PATIENCE_MS,
    Answer,
    later,
    never,
    next_ms,
)

NOW_MS = 10**12


def pause(attempts: int, chance: float = 1.0, after_ms: int = 0) -> int:
    found = next_ms(later("HTTP 503", after_ms), attempts, NOW_MS, NOW_MS, chance)
    assert found is not None
    return found - NOW_MS


def test_pauses_double_up_to_a_bound() -> None:
    assert [pause(n) for n in (1, 2, 3)] == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
    assert pause(20) == pause(10**9) == LAST_PAUSE_MS


def test_gateways_do_not_come_back_in_step() -> None:
    assert pause(1, 0.0) == FIRST_PAUSE_MS // 2
    assert pause(1, 0.0) < pause(1, 0.5) < pause(1, 1.0)


def test_a_receiver_may_ask_us_to_wait_but_not_for_ever() -> None:
    assert pause(1, after_ms=60_000) == 60_000
    assert pause(1, after_ms=10**12) == LONGEST_ASKED_MS
    assert pause(20, after_ms=1) == LAST_PAUSE_MS


@pytest.mark.parametrize("answer", [never("HTTP 404"), DELIVERED])
def test_what_is_over_is_not_repeated(answer: Answer) -> None:
    assert next_ms(answer, 1, NOW_MS, NOW_MS, 0.5) is None


def test_after_a_week_nobody_wants_to_hear_it() -> None:
    assert next_ms(later("x"), 99, NOW_MS, NOW_MS + PATIENCE_MS - 1, 0.5) is not None
    assert next_ms(later("x"), 99, NOW_MS, NOW_MS + PATIENCE_MS, 0.5) is None
