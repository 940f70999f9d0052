"""A traced request as spans, in the form in which they wait: JSON that says what OTLP says, and needs no library. Pure.

The request's own is a server's; below it is one for each phase, of which the forwarding one is the parent of the
upstream's.
"""

from enum import IntEnum
from typing import Any, Final

import orjson

from proxy.otlp import conventions
from proxy.otlp.traced import Traced
from proxy.tracing.trace import FORWARD, Phase

ADMIT: Final = "admit"
_NANOS: Final = 1_000_000_000


class SpanKind(IntEnum):
    """As OTLP counts them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


def spans(traced: Traced) -> list[dict[str, Any]]:
    """The request's own first. Ids are hexadecimal, times nanoseconds since 1970."""
    trace = traced.trace
    to_epoch = traced.now_s - traced.ended_s
    name, attributes, failed = conventions.server(traced)
    whole = Phase(name, trace.span_id, traced.started_s, traced.ended_s)
    found = [_span(traced, whole, trace.parent_id, SpanKind.SERVER, attributes, to_epoch, failed=failed)]
    for phase in trace.phases(traced.marks, traced.ended_s):
        kind, attributes, failed = SpanKind.INTERNAL, {}, False
        if phase.name == FORWARD:
            kind = SpanKind.CLIENT
            name, attributes, failed = conventions.forwarded(traced)
            phase = Phase(name, phase.span_id, phase.started_s, phase.ended_s)
        elif phase.name == ADMIT and traced.asked_redis:
            kind, attributes = SpanKind.CLIENT, conventions.ADMITTED
        found.append(_span(traced, phase, trace.span_id, kind, attributes, to_epoch, failed=failed))
    return found


def _span(
    traced: Traced,
    phase: Phase,
    parent_id: str,
    kind: SpanKind,
    attributes: conventions.Attributes,
    to_epoch: float,
    *,
    failed: bool,
) -> dict[str, Any]:
    return {
        "trace": traced.trace.trace_id,
        "id": phase.span_id,
        "parent": parent_id,
        "remote": kind is SpanKind.SERVER and bool(parent_id),
        "name": phase.name,
        "kind": int(kind),
        "start": int((phase.started_s + to_epoch) * _NANOS),
        "end": int((phase.ended_s + to_epoch) * _NANOS),
        "attributes": attributes,
        "failed": failed,
    }


def written(traced: Traced) -> bytes:
    """What waits in the spool."""
    return orjson.dumps(spans(traced))
