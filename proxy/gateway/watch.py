"""What a worker tells of its requests beside counts and lines: to Sentry their faults and traces.

Near to nothing where nothing is told: a subtraction and two look-ups a request, and none of it without a project.
"""

import asyncio
import time
from random import Random
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from proxy.core.errors import ERRORS, Fault, Reason
from proxy.gateway.exchange import Exchange
from proxy.policy.model import Policy
from proxy.policy.sentry import Reported, Sentry
from proxy.sentry.envelope import envelope
from proxy.sentry.event import About
from proxy.sentry.transaction import transaction
from proxy.sentry.waiting import Kind
from proxy.sentry.witness import Witness
from proxy.telemetry.metrics import SENTRY_TRACES, Metrics
from proxy.telemetry.private import query_names
from proxy.tracing.trace import Tracer

GATHER_S: Final = 0.5  # traces are written together
_NO_ROUTE: Final = "none"
_FIRST_SERVER_ERROR: Final = 500
_REASONS: Final = {Reason(word.value): word for word in Reported if word is not Reported.UPSTREAM_5XX}

Ended = tuple[Any, tuple[tuple[str, float], ...], dict[str, str], dict[str, str], dict[str, Any]]


class Watch:
    """Of one worker; ``tracer`` is None where the policy names no project."""

    def __init__(self, witness: Witness, metrics: Metrics) -> None:
        self.witness = witness
        self.tracer: Tracer | None = None
        self._metrics = metrics
        self._sentry: Sentry | None = None
        self._reasons: frozenset[Reason] = frozenset()
        self._server_errors = False
        self._ended: list[Ended] = []
        self._flushing: asyncio.TimerHandle | None = None

    def follow(self, policy: Policy) -> None:
        self.witness.follow(policy)
        self._sentry = sentry = policy.watching.sentry
        if sentry is None:
            self.tracer = None
            return
        self._reasons = frozenset(reason for reason, word in _REASONS.items() if word in sentry.report)
        self._server_errors = Reported.UPSTREAM_5XX in sentry.report
        self.tracer = Tracer(sentry, Random(), lambda: self._metrics.inc(SENTRY_TRACES, "over"))  # noqa: S311 - a sample

    def ended(self, exchange: Exchange, policy: Policy) -> None:
        """A request, after its line was written."""
        reason = exchange.reason
        if reason is not None:
            if reason in self._reasons:
                self._upstream_failed(exchange, policy, reason.value)
        elif exchange.status >= _FIRST_SERVER_ERROR and self._server_errors and exchange.attempt is not None:
            self._upstream_failed(exchange, policy, Reported.UPSTREAM_5XX.value)
        if exchange.trace is not None:
            self._trace_ended(exchange, policy)

    def _upstream_failed(self, exchange: Exchange, policy: Policy, reason: str) -> None:
        fault = ERRORS[exchange.reason].fault if exchange.reason is not None else Fault.UPSTREAM
        whose = exchange.route.upstream if exchange.route is not None and fault is Fault.UPSTREAM else fault.value
        self.witness.upstream(reason, whose, exchange.status, about(exchange, policy))

    # --- traces ---

    def _trace_ended(self, exchange: Exchange, policy: Policy) -> None:
        """Kept as it is; what Sentry gets of it is made in the witness' thread."""
        sentry = self._sentry
        if sentry is None:
            return
        told = {
            "name": _name(exchange),
            "upstream": exchange.route.upstream if exchange.route is not None else "",
            "status": exchange.status,
            "started_s": exchange.started_s,
            "ended_s": monotonic(),
            "now_s": time.time(),
            "environment": sentry.environment,
            "release": sentry.release,
        }
        self._ended.append(
            (exchange.trace, tuple(exchange.trace.marks), _tags(exchange, policy), _request(exchange), told)
        )
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Hands what is gathered to the thread that writes it."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        ended, self._ended = self._ended, []
        tracer = self.tracer
        if not ended or tracer is None:
            return
        taken = self.witness.put(Kind.TRACE, lambda: [_transaction(tracer, *one) for one in ended])
        self._metrics.inc(SENTRY_TRACES, "captured" if taken else "dropped", by=len(ended))


def _transaction(
    tracer: Tracer,
    trace: Any,
    marks: tuple[tuple[str, float], ...],
    tags: dict[str, str],
    request: dict[str, str],
    told: dict[str, Any],
) -> bytes:
    payload = transaction(trace, marks, tags, request, event_id=token_hex(16), **told)
    return envelope("transaction", payload, {"trace": {**tracer.scope(trace), "transaction": told["name"]}})


def about(exchange: Exchange, policy: Policy) -> About:
    """What may be told of a request: who it was for, which way it went, and the names in its query."""
    trace = exchange.trace
    context = {} if trace is None else {"trace_id": trace.trace_id, "span_id": trace.span_id, "op": "http.server"}
    return About(_tags(exchange, policy), _request(exchange), _name(exchange), context)


def _tags(exchange: Exchange, policy: Policy) -> dict[str, str]:
    identity, route = exchange.identity, exchange.route
    tags = {
        "request_id": exchange.request_id,
        "route": route.name if route is not None else _NO_ROUTE,
        "policy": policy.version,
        "process": "worker",
    }
    if identity is not None:
        tags["tier"] = identity.tier
        if identity.tenant is not None:
            tags["tenant"] = identity.tenant
    return tags


def _request(exchange: Exchange) -> dict[str, str]:
    """The route's pattern stands for the path, which may hold anything."""
    route = exchange.route
    request = {"method": exchange.method, "url": route.match.path if route is not None else ""}
    names = query_names(exchange.query)
    return {**request, "query_string": names} if names else request


def _name(exchange: Exchange) -> str:
    return f"{exchange.method} {exchange.route.name if exchange.route is not None else _NO_ROUTE}"
