"""Workers' counts are summed; counts outlive their worker, gauges do not."""

from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.exposition import OPENMETRICS, Exposition
from proxy.telemetry.metrics import DURATION, FAMILIES, IN_FLIGHT, REQUESTS, SENTRY_EVENTS, Kind, Metrics
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


def openmetrics(exposition: Exposition) -> list[Any]:
    """Every sample of what is exposed as OpenMetrics, read by a parser that takes nothing that is not."""
    text, content_type = exposition.scrape(f"{OPENMETRICS}; version=1.0.0")
    assert content_type.startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    assert text.endswith(b"\n# EOF\n")
    assert text.count(b"# EOF") == 1
    families = openmetrics_families(text.decode())  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def exemplars(exposition: Exposition) -> dict[tuple[str, str], Any]:
    return {(one.labels["route"], one.labels["le"]): one.exemplar for one in openmetrics(exposition) if one.exemplar}


def test_a_bucket_has_the_newest_traced_request_that_fell_into_it() -> None:
    """Of all workers; with its trace's id, what it took and when."""
    exposition = Exposition()
    for trace_id, value, at_s in (("a", 0.02, 1003.0), ("b", 0.021, 1005.5), ("c", 0.022, 1004.0), ("d", 99.0, 1001.0)):
        histogram = worker(exposition).histogram(DURATION, "app")
        histogram.observe(value)
        histogram.exemplify(value, trace_id * 32, at_s)
    found = exemplars(exposition)
    assert set(found) == {("app", "0.025"), ("app", "+Inf")}
    newest = found["app", "0.025"]
    assert (newest.labels, newest.value, float(newest.timestamp)) == ({"trace_id": "b" * 32}, 0.021, 1005.5)
    assert found["app", "+Inf"].labels == {"trace_id": "d" * 32}


def test_exemplars_outlive_their_worker_until_there_is_a_newer_one() -> None:
    exposition = Exposition()
    for at_s, trace_id in ((1000.0, "a"), (999.0, "b")):
        histogram = worker(exposition).histogram(DURATION, "app")
        histogram.observe(0.02)
        histogram.exemplify(0.02, trace_id * 32, at_s)
    exposition.retire(0)
    exposition.retire(1)
    assert exemplars(exposition)["app", "0.025"].labels == {"trace_id": "a" * 32}


def test_what_was_not_traced_has_none_and_the_text_format_neither() -> None:
    exposition = Exposition()
    histogram = worker(exposition).histogram(DURATION, "app")
    histogram.observe(0.02)
    assert exemplars(exposition) == {}
    histogram.exemplify(0.02, "a" * 32, 1000.0)
    assert b"trace_id" not in exposition.scrape("")[0]


def test_openmetrics_has_no_more_series_than_the_text_format() -> None:
    """``_created`` would be one more beside each count, in every Prometheus: it asks for OpenMetrics by itself."""
    exposition = Exposition()
    metrics = worker(exposition)
    metrics.inc(SENTRY_EVENTS, "sent")
    metrics.set(IN_FLIGHT, 5)
    metrics.histogram(DURATION, "app").observe(0.02)
    assert not [one.name for one in openmetrics(exposition) if one.name.endswith("_created")]


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
