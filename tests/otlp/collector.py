"""A collector on a loopback socket, which takes apart what it is sent as OpenTelemetry publishes its messages."""

import time
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.spooling.post_receiver import PostReceiver

Series = tuple[str, tuple[tuple[str, str], ...]]


def named(attributes: Any) -> dict[str, Any]:
    """Attributes by name, as they are typed."""
    found: dict[str, Any] = {}
    one: KeyValue
    for one in attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, kind) if kind else None
    return found


@dataclass(frozen=True)
class Span:
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    attributes: dict[str, Any]
    failed: bool
    flags: int


@dataclass
class Collector(PostReceiver):
    """``resources``: of all that came, in order."""

    spans: list[Span] = field(default_factory=list)
    pushes: list[ExportMetricsServiceRequest] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def accept(self, path: str, body: bytes) -> None:
        if path.endswith("/v1/traces"):
            self._take_spans(ExportTraceServiceRequest.FromString(body))
        else:
            self._take_metrics(ExportMetricsServiceRequest.FromString(body))

    def _take_metrics(self, push: ExportMetricsServiceRequest) -> None:
        self.resources += [named(one.resource.attributes) for one in push.resource_metrics]
        self.pushes.append(push)

    def _take_spans(self, request: ExportTraceServiceRequest) -> None:
        for whole in request.resource_spans:
            self.resources.append(named(whole.resource.attributes))
            for one in (span for scoped in whole.scope_spans for span in scoped.spans):
                ids = (one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex())
                times = (one.start_time_unix_nano, one.end_time_unix_nano)
                failed = one.status.code == 2
                self.spans.append(Span(*ids, one.name, one.kind, *times, named(one.attributes), failed, one.flags))

    def trace(self, trace_id: str, within_s: float = 15.0) -> list[Span]:
        """All spans of it, the server's first; waits for them: they come in one message."""
        deadline = time.monotonic() + within_s
        while not (found := [span for span in list(self.spans) if span.trace == trace_id]):
            assert time.monotonic() < deadline, {span.trace for span in self.spans}
            time.sleep(0.02)
        return found

    def points(self) -> dict[Series, Any]:
        """Of the last push, by name and attributes."""
        found = {}
        for metric in self.pushes[-1].resource_metrics[0].scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data") or "").data_points:
                found[metric.name, tuple(sorted(named(point.attributes).items()))] = point
        return found
