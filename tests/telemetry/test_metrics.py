"""Counters are bound once and count from then on."""

from proxy.telemetry.metrics import DURATION, REQUESTS, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader


def made() -> tuple[Metrics, SheetReader]:
    files = SheetFiles.make()
    return Metrics(Sheet(files)), SheetReader(files)


def test_a_bound_slot_is_the_series() -> None:
    metrics, reader = made()
    slot = metrics.slot(REQUESTS, "app", "trial", "200", "forwarded")
    metrics.values[slot] += 1
    metrics.inc(REQUESTS, "app", "trial", "200", "forwarded", by=2)
    assert dict(reader.series()) == {("sluicegate_requests", ("app", "trial", "200", "forwarded")): 3.0}


def test_a_gauge_is_set() -> None:
    metrics, reader = made()
    metrics.set(REQUESTS, 5)
    metrics.set(REQUESTS, 2)
    assert dict(reader.series()) == {("sluicegate_requests", ()): 2.0}


def test_a_histogram_is_made_once_and_keeps_sum_and_buckets() -> None:
    metrics, reader = made()
    assert metrics.histogram(DURATION, "app") is metrics.histogram(DURATION, "app")
    metrics.histogram(DURATION, "app").observe(0.3)
    found = dict(reader.series())
    assert found["sluicegate_request_duration_seconds", ("app", "0.5")] == 1
    assert found["sluicegate_request_duration_seconds#sum", ("app",)] == 0.3
    assert sum(value for (name, _), value in found.items() if not name.endswith("#sum")) == 1
