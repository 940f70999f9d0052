"""What Sentry gets of a traced request: a transaction with a span for each phase. Pure.

Source: https://develop.sentry.dev/sdk/data-model/event-payloads/transaction/.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.tracing.trace import FORWARD, Trace

_OPS: Final = {FORWARD: "http.client"}  # of a phase, where it is not the gateway's own work
_STATUS: Final = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    408: "deadline_exceeded",
    409: "already_exists",
    429: "resource_exhausted",
    499: "cancelled",
    501: "unimplemented",
    503: "unavailable",
    504: "deadline_exceeded",
}


def transaction(
    trace: Trace, marks: Sequence[tuple[str, float]], tags: Mapping[str, str], request: Mapping[str, str], **told: Any
) -> dict[str, Any]:
    """Sentry's payload. ``told``: name, status, event_id, started_s and ended_s (monotonic), now_s (epoch, at the
    end), environment, release, upstream."""
    to_epoch = told["now_s"] - told["ended_s"]
    spans = [
        {
            "trace_id": trace.trace_id,
            "span_id": phase.span_id,
            "parent_span_id": trace.span_id,
            "op": _OPS.get(phase.name, "gateway"),
            "description": f"{phase.name} {told['upstream']}" if phase.name == FORWARD else phase.name,
            "start_timestamp": phase.started_s + to_epoch,
            "timestamp": phase.ended_s + to_epoch,
        }
        for phase in trace.phases(marks, told["ended_s"])
    ]
    status = told["status"]
    word = "ok" if status < 400 else _STATUS.get(status, "internal_error" if status >= 500 else "invalid_argument")
    context = {
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "op": "http.server",
        "status": word,
        "data": {"http.response.status_code": status, "http.request.method": request.get("method", "")},
    }
    if trace.parent_id:
        context["parent_span_id"] = trace.parent_id
    return {
        "type": "transaction",
        "event_id": told["event_id"],
        "transaction": told["name"],
        "transaction_info": {"source": "route"},
        "start_timestamp": told["started_s"] + to_epoch,
        "timestamp": told["now_s"],
        "platform": "python",
        "environment": told["environment"],
        "release": told["release"],
        "tags": dict(tags),
        "request": dict(request),
        "contexts": {"trace": context},
        "spans": spans,
    }
