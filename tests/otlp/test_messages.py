"""Messages say what was counted and traced, by OpenTelemetry's own reading of them."""

from math import nan
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from proxy.otlp.messages import Messages
from proxy.otlp.spans import written
from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import AI_SPEND, CACHE_BYTES, DURATION, FAMILIES, IN_FLIGHT, REQUESTS, Family, Kind
from proxy.telemetry.points import Distribution, Number, Told
from tests.otlp.collector import Collector, named
from tests.otlp.test_traced import CALL, TRACE, traced

MESSAGES = Messages({"service.name": "edge"})
LABELS = ("app", "trial", "200", "forwarded")
SECOND = 1_000_000_000


def metrics(*told: Told) -> dict[str, Any]:
    request = ExportMetricsServiceRequest.FromString(MESSAGES.metrics(told, 1000.0, 2000.5))
    (whole,) = request.resource_metrics
    assert named(whole.resource.attributes) == {"service.name": "edge"}
    (scoped,) = whole.scope_metrics
    assert scoped.scope.name == "sluicegate"
    return {metric.name: metric for metric in scoped.metrics}


def test_a_count_is_a_cumulative_sum_since_the_gateway_began() -> None:
    one = metrics(Told(REQUESTS, (Number(LABELS, 3.0),)))["sluicegate_requests"]
    assert (one.sum.is_monotonic, one.sum.aggregation_temporality) == (True, 2)
    (point,) = one.sum.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1000 * SECOND, 2000 * SECOND + SECOND // 2)
    assert point.as_double == 3.0
    assert named(point.attributes) == dict(zip(REQUESTS.labels, LABELS, strict=True))


def test_a_gauge_is_one_and_what_is_no_more_is_not_told() -> None:
    one = metrics(Told(IN_FLIGHT, (Number((), 5.0), Number((), nan))))["sluicegate_requests_in_flight"]
    assert [point.as_double for point in one.gauge.data_points] == [5.0]


def test_a_histogram_has_its_buckets_its_sum_and_its_exemplars() -> None:
    buckets = len(DURATION.buckets) + 1
    counts = (2.0, *[0.0] * (buckets - 2), 1.0)
    exemplars = (Exemplar(TRACE, 0.0005, 1500.0), *[None] * (buckets - 1))
    told = Told(DURATION, distributions=(Distribution(("app",), counts, 61.5, exemplars),))
    one = metrics(told)["sluicegate_request_duration_seconds"]
    (point,) = one.histogram.data_points
    assert (one.unit, one.histogram.aggregation_temporality, point.count, point.sum) == ("s", 2, 3, 61.5)
    assert tuple(point.bucket_counts) == counts
    assert tuple(point.explicit_bounds) == DURATION.buckets
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id.hex(), exemplar.as_double, exemplar.time_unix_nano) == (TRACE, 0.0005, 1500 * SECOND)


@pytest.mark.parametrize(("family", "unit"), [(CACHE_BYTES, "By"), (AI_SPEND, "{USD}"), (IN_FLIGHT, "")])
def test_a_unit_is_the_end_of_its_name(family: Family, unit: str) -> None:
    labels = ("x",) * len(family.labels)
    assert metrics(Told(family, (Number(labels, 1.0),)))[family.name].unit == unit


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_lead_back_to_those_of_the_page(family: Family) -> None:
    """OpenTelemetry's mapping to Prometheus appends a unit that the name does not end with: none does here."""
    labels = ("x",) * len(family.labels)
    none = (None,) * (len(family.buckets) + 1)
    told = Told(family, distributions=(Distribution(labels, (1.0,) * len(none), 1.0, none),))
    if family.kind is not Kind.HISTOGRAM:
        told = Told(family, (Number(labels, 1.0),))
    one = metrics(told)[family.name]
    words = {"s": "seconds", "By": "bytes", "1": "ratio", "{USD}": "", "": ""}
    assert one.name.endswith(words[one.unit])
    assert one.description == family.help


def test_what_nothing_was_counted_of_is_not_told() -> None:
    assert metrics(Told(REQUESTS), Told(DURATION)) == {}


def test_spans_are_read_as_they_were_written() -> None:
    body = MESSAGES.traces([written(traced(call=CALL)), written(traced(status=503))])
    collector = Collector()
    collector._take_spans(ExportTraceServiceRequest.FromString(body))
    first, second = [span for span in collector.spans if span.kind == 2]
    assert (first.trace, first.parent, first.id) == (TRACE, "b7ad6b7169203331", "1" * 16)
    assert (first.start, first.end) == (999 * SECOND, 1000 * SECOND)
    assert (first.failed, second.failed) == (False, True)
    assert first.attributes["http.response.status_code"] == 200
    call = next(span for span in collector.spans if span.name == "chat gpt-4o")
    assert (call.attributes["sluicegate.cost_usd"], call.attributes["sluicegate.stream"]) == (0.25, True)
    assert [span.flags for span in collector.spans[:2]] == [0x301, 0x101]


@pytest.mark.parametrize("waiting", [b"no json", b"[1]", b'[{"trace": "x"}]', b"{}" * 2])
def test_what_is_no_span_is_refused(waiting: bytes) -> None:
    with pytest.raises(ValueError):
        MESSAGES.traces([waiting])


def test_what_a_collector_left_out_is_read_from_its_answer() -> None:
    spans = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=3))
    points = ExportMetricsServiceResponse(partial_success=ExportMetricsPartialSuccess(rejected_data_points=4))
    assert MESSAGES.rejected_spans(spans.SerializeToString()) == 3
    assert MESSAGES.rejected_points(points.SerializeToString()) == 4
    for nothing in (b"", b"<html>"):
        assert (MESSAGES.rejected_spans(nothing), MESSAGES.rejected_points(nothing)) == (0, 0)
