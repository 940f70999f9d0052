"""Traced requests that have ended, of one worker: gathered for a moment, then handed to threads that write them down.

Each trace goes to those that hear of it: to Sentry as a transaction, to OpenTelemetry's collector as spans.
"""

import asyncio
import logging
import time
from functools import partial
from random import Random
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from proxy.core.units import NANOS
from proxy.gateway.about import name, request, tags, whose
from proxy.gateway.exchange import Exchange, Outcome
from proxy.identity.address import is_trusted
from proxy.otlp import waiting
from proxy.otlp.spans import written
from proxy.otlp.traced import Peer, ProviderCall, Traced
from proxy.policy.model import Policy
from proxy.policy.sentry import Sentry
from proxy.policy.tracing import Heeded
from proxy.sentry.envelope import envelope
from proxy.sentry.transaction import transaction
from proxy.sentry.waiting import Kind
from proxy.sentry.witness import Witness
from proxy.spooling.writer import Writer, said_of
from proxy.telemetry.metrics import OTLP_TRACES, SENTRY_TRACES, Metrics
from proxy.telemetry.private import query_names
from proxy.tracing.sampling import Sampling
from proxy.tracing.trace import Trace, Tracer

log = logging.getLogger("sluicegate.otlp")

GATHER_S: Final = 0.5  # traces are written together
_GONE: Final = 499

Ended = tuple[Trace, tuple[tuple[str, float], ...], dict[str, str], dict[str, str], dict[str, Any]]


class Traces:
    """``tracer`` is None where nobody hears of traces."""

    def __init__(self, witness: Witness, metrics: Metrics) -> None:
        self.tracer: Tracer | None = None
        self._witness = witness
        self._metrics = metrics
        self._sentry: Sentry | None = None
        self._over: tuple[int, ...] = ()  # slots, of those who hear of traces
        self._writer: Writer[waiting.Kind] = Writer("otlp", self._lost, _cannot_write)
        self._dropped = 0  # a slot, bound before the thread counts in it
        self._for_sentry: list[Ended] = []
        self._for_otlp: list[Traced] = []
        self._flushing: asyncio.TimerHandle | None = None

    def follow(self, policy: Policy) -> None:
        """From now on by this policy."""
        watching, metrics = policy.watching, self._metrics
        self._sentry = watching.sentry
        sampling = Sampling.of(watching)
        self.tracer = None if sampling is None else self._tracer(sampling, policy)
        over = []
        if sampling is not None and sampling.sentry is not None:
            over.append(metrics.slot(SENTRY_TRACES, "over"))
        if sampling is not None and sampling.otlp is not None:
            over.append(metrics.slot(OTLP_TRACES, "over"))
            self._writer.spool = waiting.spool_in(policy.data_dir)
            self._dropped = metrics.slot(OTLP_TRACES, "dropped")
        self._over = tuple(over)

    def _tracer(self, sampling: Sampling, policy: Policy) -> Tracer:
        tracing, trusted = policy.watching.tracing, policy.listen.trusted_proxies
        heeded = {
            Heeded.ANYONE: lambda _: True,
            Heeded.TRUSTED: lambda peer: is_trusted(peer, trusted),
            Heeded.NOBODY: lambda _: False,
        }[tracing.decisions]
        return Tracer(sampling, Random(), self._count_over, tracing.per_second, heeded)  # noqa: S311 - a sample

    def _count_over(self) -> None:
        for slot in self._over:
            self._metrics.values[slot] += 1

    def ended(self, exchange: Exchange, policy: Policy) -> None:
        """Kept as it is; what is told of it is made in the threads."""
        trace: Trace = exchange.trace
        ended_s, now_s = monotonic(), time.time()
        marks = tuple(trace.marks)
        sentry = self._sentry
        if trace.to_sentry and sentry is not None:
            told = {
                "name": name(exchange),
                "upstream": exchange.route.upstream if exchange.route is not None else "",
                "status": exchange.status,
                "started_s": exchange.started_s,
                "ended_s": ended_s,
                "now_s": now_s,
                "environment": sentry.environment,
                "release": sentry.release,
            }
            self._for_sentry.append((trace, marks, tags(exchange, policy), request(exchange), told))
        if trace.to_otlp and self._writer.spool is not None:
            self._for_otlp.append(_traced(exchange, policy, trace, marks, ended_s, now_s))
        if self._flushing is None and (self._for_sentry or self._for_otlp):
            self._flushing = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Hands what is gathered to the threads that write it."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        transactions, self._for_sentry = self._for_sentry, []
        tracer = self.tracer
        if transactions and tracer is not None:
            taken = self._witness.put(Kind.TRACE, [partial(_transaction, tracer, *one) for one in transactions])
            self._metrics.inc(SENTRY_TRACES, "captured" if taken else "dropped", by=len(transactions))
        traced, self._for_otlp = self._for_otlp, []
        if traced:
            taken = self._writer.put(waiting.Kind.TRACE, [partial(written, one) for one in traced])
            self._metrics.inc(OTLP_TRACES, "captured" if taken else "dropped", by=len(traced))

    def close(self) -> None:
        """Waits until what was flushed is written. Blocks."""
        self._writer.close()

    def _lost(self, _: waiting.Kind, count: int) -> None:
        self._metrics.values[self._dropped] += count


def _cannot_write(error: Exception) -> None:
    log.error("what the collector should hear cannot be kept", extra={"fields": {"error": said_of(error)}})


def _transaction(
    tracer: Tracer,
    trace: Trace,
    marks: tuple[tuple[str, float], ...],
    told_tags: dict[str, str],
    told_request: dict[str, str],
    told: dict[str, Any],
) -> bytes:
    payload = transaction(trace, marks, told_tags, told_request, event_id=token_hex(16), **told)
    return envelope("transaction", payload, {"trace": {**tracer.scope(trace), "transaction": told["name"]}})


def _traced(
    exchange: Exchange,
    policy: Policy,
    trace: Trace,
    marks: tuple[tuple[str, float], ...],
    ended_s: float,
    now_s: float,
) -> Traced:
    return Traced(
        trace=trace,
        marks=marks,
        started_s=exchange.started_s,
        ended_s=ended_s,
        now_s=now_s,
        method=exchange.method,
        scheme=exchange.scheme,
        version="1.0" if exchange.http10 else "1.1",
        status=exchange.status,
        path_pattern=exchange.route.match.path if exchange.route is not None else "",
        query=query_names(exchange.query),
        reason=exchange.reason.value if exchange.reason is not None else "",
        asked_redis=exchange.redis_s > 0,
        about=_about(exchange, policy),
        peer=_peer(exchange),
        call=_call(exchange),
    )


def _about(exchange: Exchange, policy: Policy) -> dict[str, str]:
    found = whose(exchange, policy) | {"outcome": exchange.outcome.value}
    if exchange.cache is not None:
        found["cache"] = exchange.cache.value
    if exchange.violated:
        found["limits"] = ",".join(exchange.violated)
    return found


def _peer(exchange: Exchange) -> Peer | None:
    """The answer's status is the upstream's own where it was relayed; what stood in for it says nothing of that."""
    attempt, outcome = exchange.attempt, exchange.outcome
    if attempt is None or exchange.route is None:
        return None
    relayed = outcome in (Outcome.FORWARDED, Outcome.CUT) or (
        outcome is Outcome.CLIENT_GONE and exchange.status != _GONE
    )
    status = exchange.status if relayed else 0
    resends = attempt.failed_connects + attempt.retried
    origin = attempt.origin
    if origin is None:
        return Peer(exchange.route.upstream, status=status, resends=resends)
    return Peer(exchange.route.upstream, origin.scheme, origin.host, origin.port, status, resends)


def _call(exchange: Exchange) -> ProviderCall | None:
    call, spent = exchange.call, exchange.spent
    if call is None:
        return None
    asked = ProviderCall(call.provider, call.kind.value, call.model, call.stream, call.output_cap)
    if spent is None:
        return asked
    tokens = spent.tokens
    return ProviderCall(
        asked.provider,
        asked.kind,
        asked.model,
        asked.stream,
        asked.most_output,
        cost_usd=spent.nanousd / NANOS,
        estimated=spent.estimated,
        input=tokens.input,
        output=tokens.output,
        cached_read=tokens.cached_read,
        cache_write=tokens.cache_write,
    )
