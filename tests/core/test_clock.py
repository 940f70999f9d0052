"""The machine's clocks, in milliseconds."""

import time

from proxy.core.clock import SystemClock


def test_the_wall_clock_is_in_whole_milliseconds_since_the_epoch():
    """Between two readings of the system's own."""
    before = time.time_ns() // 1_000_000
    now = SystemClock().now_ms()
    assert isinstance(now, int)
    assert before <= now <= time.time_ns() // 1_000_000


def test_the_monotonic_clock_never_steps_back():
    """Its differences are milliseconds."""
    clock = SystemClock()
    readings = [clock.monotonic_ms() for _ in range(1000)]
    assert readings == sorted(readings)
    assert abs(clock.monotonic_ms() - time.monotonic() * 1000) < 1000
