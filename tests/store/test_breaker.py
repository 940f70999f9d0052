"""When the breaker opens, who probes, and when it closes."""

from proxy.store.breaker import FIRST_PROBE_MS, LAST_PROBE_MS, Breaker, BreakerState
from proxy.store.errors import Away, StoreAway

AWAY = StoreAway(Away.TIMEOUT)


def test_one_timeout_opens() -> None:
    """A store that never answers costs one request its timeout, not each."""
    breaker = Breaker()
    breaker.failed(0, AWAY, final=True)
    assert breaker.state is BreakerState.OPEN


def test_two_failures_in_a_row_open_and_a_success_between_forgives() -> None:
    """A reset connection alone is what every restart looks like."""
    breaker = Breaker()
    breaker.failed(0, AWAY, final=False)
    breaker.succeeded()
    breaker.failed(1, AWAY, final=False)
    assert breaker.closed
    breaker.failed(2, AWAY, final=False)
    assert not breaker.closed
    assert breaker.opened == 1


def test_only_a_probe_closes() -> None:
    """A late answer to a request sent before says nothing of now."""
    breaker = Breaker()
    breaker.failed(0, AWAY, final=True)
    breaker.succeeded()
    assert not breaker.closed
    assert not breaker.may_probe(FIRST_PROBE_MS - 1)
    assert breaker.may_probe(FIRST_PROBE_MS)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.may_probe(FIRST_PROBE_MS), "one probe at a time"
    assert not breaker.closed
    breaker.probed(FIRST_PROBE_MS, answered=True)
    assert breaker.closed


def test_probes_come_less_often_but_never_rarely() -> None:
    """However long the outage, recovery is noticed within a second and the probe's own time."""
    breaker = Breaker()
    breaker.failed(0, AWAY, final=True)
    now_ms, waits = 0.0, []
    for _ in range(10):
        wait_ms = breaker.probe_in_ms(now_ms)
        assert wait_ms is not None
        waits.append(wait_ms)
        now_ms += wait_ms
        assert breaker.may_probe(now_ms)
        breaker.probed(now_ms, answered=False)
    assert waits == sorted(waits)
    assert waits[0] == FIRST_PROBE_MS
    assert waits[-1] == LAST_PROBE_MS
    breaker.failed(now_ms, AWAY, final=True)
    assert breaker.opened == 1, "an open breaker does not open"


def test_a_closed_breaker_has_nothing_to_probe() -> None:
    breaker = Breaker()
    assert breaker.probe_in_ms(0) is None
    assert not breaker.may_probe(1e9)


def test_each_change_is_told_once_with_its_reason() -> None:
    """For the metric and the log: neither further failures nor probes that find nothing are changes."""
    told: list[StoreAway | None] = []
    breaker = Breaker(told.append)
    breaker.failed(0, AWAY, final=True)
    breaker.failed(0, AWAY, final=True)
    assert breaker.may_probe(FIRST_PROBE_MS)
    breaker.probed(FIRST_PROBE_MS, answered=False)
    assert told == [AWAY]
    breaker.probed(FIRST_PROBE_MS, answered=True)
    assert told == [AWAY, None]
