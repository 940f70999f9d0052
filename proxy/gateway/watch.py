"""What a worker tells of its requests beside counts and lines: faults to Sentry, traces to whoever hears of them.

Near to nothing where nothing is told: a subtraction and two look-ups a request, and none of it where nobody hears.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from proxy.core.errors import ERRORS, Fault, Reason
from proxy.gateway.about import about
from proxy.gateway.exchange import Exchange
from proxy.gateway.traces import Traces
from proxy.policy.model import Policy
from proxy.policy.sentry import Reported
from proxy.sentry.witness import Witness
from proxy.telemetry.metrics import Metrics
from proxy.tracing.trace import Tracer

_FIRST_SERVER_ERROR: Final = 500
_NO_MORE: Final[Mapping[str, str]] = {}
_SERVED: Final = {"served": "stored"}  # a tag: what stood in for the upstream's answer
_REASONS: Final = {Reason(word.value): word for word in Reported if word is not Reported.UPSTREAM_5XX}


class Watch:
    """Of one worker. ``tracer`` is None where nobody hears of traces."""

    def __init__(self, witness: Witness, metrics: Metrics) -> None:
        self.witness = witness
        self.tracer: Tracer | None = None  # read by each request
        self._traces = Traces(witness, metrics)
        self._reasons: frozenset[Reason] = frozenset()
        self._server_errors = False

    def follow(self, policy: Policy) -> None:
        self.witness.follow(policy)
        self._traces.follow(policy)
        self.tracer = self._traces.tracer
        sentry = policy.watching.sentry
        report = sentry.report if sentry is not None else frozenset()
        self._reasons = frozenset(reason for reason, word in _REASONS.items() if word in report)
        self._server_errors = Reported.UPSTREAM_5XX in report

    def ended(self, exchange: Exchange, policy: Policy) -> None:
        """A request, after its line was written."""
        reason = exchange.reason
        if reason is not None:
            if reason in self._reasons:
                self._upstream_failed(exchange, policy, reason.value)
        elif exchange.status >= _FIRST_SERVER_ERROR and self._server_errors and exchange.attempt is not None:
            self._upstream_failed(exchange, policy, Reported.UPSTREAM_5XX.value)
        if exchange.trace is not None:
            self._traces.ended(exchange, policy)

    def unseen(self, exchange: Exchange, policy: Policy, failure: Reason | int) -> None:
        """An upstream's failure, by its status or why no answer came: its client gets what is stored."""
        if isinstance(failure, int):
            if self._server_errors:
                self._tell(exchange, policy, Reported.UPSTREAM_5XX.value, Fault.UPSTREAM, failure, _SERVED)
        elif failure in self._reasons:
            error = ERRORS[failure]
            self._tell(exchange, policy, failure.value, error.fault, error.status, _SERVED)

    def _upstream_failed(self, exchange: Exchange, policy: Policy, reason: str) -> None:
        fault = ERRORS[exchange.reason].fault if exchange.reason is not None else Fault.UPSTREAM
        self._tell(exchange, policy, reason, fault, exchange.status)

    def _tell(
        self,
        exchange: Exchange,
        policy: Policy,
        reason: str,
        fault: Fault,
        status: int,
        more: Mapping[str, str] = _NO_MORE,
    ) -> None:
        whose = exchange.route.upstream if exchange.route is not None and fault is Fault.UPSTREAM else fault.value
        told = about(exchange, policy)
        self.witness.upstream(reason, whose, status, replace(told, tags={**told.tags, **more}))

    def flush(self) -> None:
        """Hands what is gathered of traces to the threads that write it."""
        self._traces.flush()

    def close(self) -> None:
        """Waits until that is written. Blocks."""
        self._traces.close()
