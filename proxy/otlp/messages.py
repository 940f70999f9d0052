"""OTLP's messages, made of what waits and of what is counted. Pure; alone imports the extra ``otlp``.

Names of metrics are those of docs/metrics.md without ``_total``, with their unit: what OpenTelemetry's mapping to
Prometheus makes of them is that page's name again. Counts are cumulative since the gateway began.
Sources: https://opentelemetry.io/docs/specs/otlp/, https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from proxy import __version__
from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import Family, Kind
from proxy.telemetry.points import Distribution, Number, Told

_NANOS: Final = 1_000_000_000
_SAMPLED: Final = 0x01
_HAS_REMOTE: Final = 0x100  # it is known whether the parent is somewhere else
_IS_REMOTE: Final = 0x200
_UNITS: Final = {"_seconds": "s", "_bytes": "By", "_ratio": "1", "_usd": "{USD}"}  # UCUM, by a name's end
_CUMULATIVE: Final = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE


class Messages:
    """Of one gateway as a resource."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._resource = Resource(attributes=_attributes(resource))
        self._scope = InstrumentationScope(name="sluicegate", version=__version__)

    def traces(self, waiting: Iterable[bytes]) -> bytes:
        """Of what ``spans.written`` made. Raises: ValueError, where it was not that."""
        found = [_span(one) for envelope in waiting for one in orjson.loads(envelope)]
        scoped = trace_pb2.ScopeSpans(scope=self._scope, spans=found)
        whole = trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scoped])
        return ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString()

    def metrics(self, told: Iterable[Told], began_s: float, now_s: float) -> bytes:
        """Times are seconds since 1970. A metric of which nothing was counted is not told."""
        times = (int(began_s * _NANOS), int(now_s * _NANOS))
        found = [_metric(one, *times) for one in told if one.numbers or one.distributions]
        scoped = metrics_pb2.ScopeMetrics(scope=self._scope, metrics=found)
        whole = metrics_pb2.ResourceMetrics(resource=self._resource, scope_metrics=[scoped])
        return ExportMetricsServiceRequest(resource_metrics=[whole]).SerializeToString()

    @staticmethod
    def rejected_spans(answer: bytes) -> int:
        """Of those that were sent, how many the collector did not take. What is no answer says of none."""
        try:
            return ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
        except DecodeError:
            return 0

    @staticmethod
    def rejected_points(answer: bytes) -> int:
        """As ``rejected_spans``, of metrics."""
        try:
            return ExportMetricsServiceResponse.FromString(answer).partial_success.rejected_data_points
        except DecodeError:
            return 0


def _attributes(named: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in named.items()]


def _value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=str(value))


def _span(one: Mapping[str, Any]) -> trace_pb2.Span:
    """Raises: ValueError."""
    try:
        error = trace_pb2.Status.STATUS_CODE_ERROR if one["failed"] else trace_pb2.Status.STATUS_CODE_UNSET
        return trace_pb2.Span(
            trace_id=bytes.fromhex(one["trace"]),
            span_id=bytes.fromhex(one["id"]),
            parent_span_id=bytes.fromhex(one["parent"]),
            flags=_SAMPLED | _HAS_REMOTE | (_IS_REMOTE if one["remote"] else 0),
            name=one["name"],
            kind=one["kind"],
            start_time_unix_nano=one["start"],
            end_time_unix_nano=one["end"],
            attributes=_attributes(one["attributes"]),
            status=trace_pb2.Status(code=error),
        )
    except (KeyError, TypeError) as wrong:
        raise ValueError("no span") from wrong


def _metric(one: Told, began: int, now: int) -> metrics_pb2.Metric:
    family = one.family
    metric = metrics_pb2.Metric(name=family.name, description=family.help, unit=_unit(family))
    match family.kind:
        case Kind.COUNTER:
            metric.sum.aggregation_temporality = _CUMULATIVE
            metric.sum.is_monotonic = True
            metric.sum.data_points.extend(_number(family, number, began, now) for number in one.numbers)
        case Kind.GAUGE:
            there = [number for number in one.numbers if not isnan(number.value)]  # NaN: it is no more
            metric.gauge.data_points.extend(_number(family, number, 0, now) for number in there)
        case Kind.HISTOGRAM:
            metric.histogram.aggregation_temporality = _CUMULATIVE
            metric.histogram.data_points.extend(
                _distribution(family, distribution, began, now) for distribution in one.distributions
            )
    return metric


def _unit(family: Family) -> str:
    return next((unit for end, unit in _UNITS.items() if family.name.endswith(end)), "")


def _labels(family: Family, labels: Sequence[str]) -> list[KeyValue]:
    return _attributes(dict(zip(family.labels, labels, strict=True)))


def _number(family: Family, number: Number, began: int, now: int) -> metrics_pb2.NumberDataPoint:
    return metrics_pb2.NumberDataPoint(
        attributes=_labels(family, number.labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        as_double=number.value,
    )


def _distribution(family: Family, one: Distribution, began: int, now: int) -> metrics_pb2.HistogramDataPoint:
    counts = [int(count) for count in one.counts]
    return metrics_pb2.HistogramDataPoint(
        attributes=_labels(family, one.labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=sum(counts),
        sum=one.total,
        bucket_counts=counts,
        explicit_bounds=family.buckets,
        exemplars=[_exemplar(exemplar) for exemplar in one.exemplars if exemplar is not None],
    )


def _exemplar(one: Exemplar) -> metrics_pb2.Exemplar:
    return metrics_pb2.Exemplar(
        trace_id=bytes.fromhex(one.trace_id), as_double=one.value, time_unix_nano=int(one.at_s * _NANOS)
    )
