"""Workers' counts are summed; counts outlive their worker, gauges do not."""

from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import DURATION, FAMILIES, IN_FLIGHT, REQUESTS, Kind, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader


def worker(exposition: Exposition) -> Metrics:
    files = SheetFiles.make()
    exposition.attach(SheetReader(files))
    return Metrics(Sheet(files))


def samples(exposition: Exposition) -> dict[str, float]:
    text, content_type = exposition.scrape("")
    assert content_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_workers_are_summed() -> None:
    exposition = Exposition()
    for count in (1, 2):
        worker(exposition).inc(REQUESTS, "app", "trial", "200", "forwarded", by=count)
    found = samples(exposition)
    assert found["sluicegate_requests_total{outcome=forwarded,route=app,status=200,tier=trial}"] == 3


def test_counts_outlive_their_worker_and_gauges_do_not() -> None:
    exposition = Exposition()
    dying, living = worker(exposition), worker(exposition)
    for metrics in (dying, living):
        metrics.inc(REQUESTS, "app", "trial", "200", "forwarded")
        metrics.set(IN_FLIGHT, 5)
        metrics.histogram(DURATION, "app").observe(0.003)
    exposition.retire(0)
    found = samples(exposition)
    assert found["sluicegate_requests_total{outcome=forwarded,route=app,status=200,tier=trial}"] == 2
    assert found["sluicegate_requests_in_flight{}"] == 5
    assert found["sluicegate_request_duration_seconds_count{route=app}"] == 2


def test_histogram_buckets_accumulate() -> None:
    """Each bucket counts all that is no larger than its bound; a value on the bound is in it."""
    exposition = Exposition()
    histogram = worker(exposition).histogram(DURATION, "app")
    for value in (0.001, 0.0011, 0.3, 99.0):
        histogram.observe(value)
    found = samples(exposition)
    bucket = "sluicegate_request_duration_seconds_bucket{le=%s,route=app}"
    assert found[bucket % "0.001"] == 1
    assert found[bucket % "0.0025"] == 2
    assert found[bucket % "0.5"] == 3
    assert found[bucket % "60.0"] == 3
    assert found[bucket % "+Inf"] == 4
    assert found["sluicegate_request_duration_seconds_sum{route=app}"] == 99.3021


def test_openmetrics_on_request() -> None:
    _, content_type = Exposition().scrape("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")


def test_families_are_named_as_prometheus_asks() -> None:
    """Names are unique, counters carry no _total of their own, durations are in seconds."""
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.startswith("sluicegate_")
        assert not family.name.endswith("_total")
        assert family.help.endswith(".")
        if family.kind is Kind.HISTOGRAM:
            assert family.name.endswith(("_seconds", "_ratio"))
            assert list(family.buckets) == sorted(family.buckets)


def test_no_two_sheets_have_one_number() -> None:
    """Whoever attaches them: the first of one kind of process ending must not end the first of another's."""
    exposition = Exposition()
    readers = [SheetReader(SheetFiles.make()) for _ in range(3)]
    keys = [exposition.attach(reader) for reader in readers[:2]]
    exposition.retire(keys[0])
    keys.append(exposition.attach(readers[2]))
    assert len(set(keys)) == 3
    exposition.retire(keys[1])
