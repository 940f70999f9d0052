"""A collector on a loopback socket, which takes apart what it is sent as OpenTelemetry publishes its messages."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

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
class Collector:
    """``answers``: (status, fields, body), given in turn, the last for ever."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)
    pushes: list[ExportMetricsServiceRequest] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path and fields
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(200, {}, b"")])
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Again on the same port, if it was there before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, path: str, fields: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.append((path, fields))
        if answer[0] == 200:
            self.raw.append(body)
            if path.endswith("/v1/traces"):
                self._take_spans(ExportTraceServiceRequest.FromString(body))
            else:
                self._take_metrics(ExportMetricsServiceRequest.FromString(body))
        return answer

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


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector._server is not self.server:  # it is away: a connection from before is none either
                self.close_connection = True
                return
            fields = {name.lower(): value for name, value in self.headers.items()}
            status, more, told = collector.take(self.path, fields, body)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
