"""A request's way, readable in one sitting: each step names one decision and at most one IO.

accept → address → match → preflight → identify → admit → forward → report. What a step refuses it raises as a
GatewayError; here is the one place where that becomes an answer.
"""

import asyncio
import logging
import secrets
from itertools import count
from time import monotonic, time

from proxy.cache.answers import for_downstream
from proxy.core.clock import Clock
from proxy.core.errors import Fault, GatewayError, Reason
from proxy.core.identity import Identity
from proxy.gateway import cors
from proxy.gateway.about import about
from proxy.gateway.accept import ALLOWED_METHODS, accept, ends_here
from proxy.gateway.admission import admit
from proxy.gateway.batch import body_bound, calls
from proxy.gateway.beacons import PATHS, Beacons
from proxy.gateway.cachefill import refuse_another
from proxy.gateway.cachepost import Posted
from proxy.gateway.cacheway import answer_cached
from proxy.gateway.calls import Calls
from proxy.gateway.connection import Connection
from proxy.gateway.control import Start
from proxy.gateway.exchange import Exchange, Outcome
from proxy.gateway.failures import Failures
from proxy.gateway.forward import check_length, send
from proxy.gateway.ownusage import OWN_FIELDS, OWN_PREFIX, own_answer
from proxy.gateway.problem import CONTENT_TYPE, problem_body, reason_phrase, retry_fields
from proxy.gateway.recall import Recall
from proxy.gateway.relay import http_date, read_body, send_answer
from proxy.gateway.report import Reporter
from proxy.gateway.runtime import Runtime, Shared
from proxy.gateway.spending import spend
from proxy.gateway.watch import Watch
from proxy.metering.budgets import Grants
from proxy.policy.caching import CacheScope
from proxy.policy.model import BatchKind, Policy, Route
from proxy.sentry.witness import ABOUT, Witness
from proxy.telemetry.log import LineWriter
from proxy.telemetry.metrics import Metrics
from proxy.upstream.response import Response

log = logging.getLogger("sluicegate.handler")


class Handler:
    """Answers every request of one worker."""

    def __init__(
        self, start: Start, metrics: Metrics, lines: LineWriter, clock: Clock, witness: Witness | None = None
    ) -> None:
        self.watch = Watch(witness or Witness("worker", metrics), metrics)
        self._shared = Shared(start, metrics, clock, self.watch.unseen)
        self._metrics = metrics
        self._reporter = Reporter(metrics, lines)
        self.failures = Failures()
        self._id_prefix = secrets.token_hex(6)
        self._ids = count()
        self.recall = Recall(self._shared.caches, self._reporter, self._id_prefix)
        self.runtime: Runtime

    @property
    def calls(self) -> Calls:
        return self._shared.calls

    def grant(self, granted: Grants) -> None:
        """On top of budgets, from the next call on."""
        self._shared.calls.granted = granted
        self.runtime.call_planner.grant(granted)

    async def open(self, policy: Policy) -> None:
        await self._shared.open()
        self.runtime = await Runtime.make(policy, self._shared)
        self._shared.caches.keep_only(self.runtime.shelves)
        self._watch(policy)

    async def apply(self, policy: Policy) -> None:
        """Requests from now on are decided by this policy; those under way keep the one they began with."""
        self.runtime = await Runtime.make(policy, self._shared)
        self.recall.forget()
        self._shared.caches.keep_only(self.runtime.shelves)
        self._watch(policy)

    def _watch(self, policy: Policy) -> None:
        self.watch.follow(policy)
        self.recall.tracer = self.watch.tracer
        self._beacons = Beacons(policy.watching, self.watch.witness)

    async def close(self) -> None:
        self.watch.flush()
        await asyncio.to_thread(self.watch.close)
        await self._shared.close()

    async def __call__(self, exchange: Exchange) -> None:
        runtime = self.runtime
        exchange.request_id = f"{self._id_prefix}{next(self._ids):010x}"
        self._reporter.begin()
        tracer = self.watch.tracer
        if tracer is not None:
            exchange.trace = tracer.begin(exchange.headers, exchange.started_s, exchange.connection.peer)
        try:
            await self._answer(exchange, runtime)
        except GatewayError as error:
            self._refuse(exchange, error)
        except ConnectionError:
            exchange.outcome, exchange.reason, exchange.close = Outcome.CLIENT_GONE, Reason.CLIENT_GONE, True
        except asyncio.CancelledError:
            exchange.outcome, exchange.reason = Outcome.CLIENT_GONE, Reason.CLIENT_GONE
            raise
        except Exception as error:  # a request ends here, whatever happened; it is ours to mend
            told = {"fields": {"id": exchange.request_id}, ABOUT: about(exchange, runtime.policy)}
            log.exception("unhandled error", extra=told)
            self._refuse(exchange, GatewayError(Reason.INTERNAL, close=True))
            exchange.error = error
        finally:
            if exchange.status == 0:
                exchange.status = 499
            self._reporter.end(exchange, runtime.policy, monotonic())
            if exchange.status >= 500 or exchange.reason is not None:
                self.failures.ended(exchange, round(time() * 1000), monotonic() - exchange.started_s)
            if tracer is not None:
                self.watch.ended(exchange, runtime.policy)
        if exchange.recallable is not None and runtime is self.runtime:
            self.recall.learn(exchange, runtime)

    async def _answer(self, exchange: Exchange, runtime: Runtime) -> None:
        accept(exchange)
        runtime.locate(exchange)
        if ends_here(exchange):
            self._send(exchange, 204, [(b"Allow", ALLOWED_METHODS)])
            return
        if exchange.path in PATHS:
            told = await self._beacons.answer(exchange, runtime)
            self._send(exchange, told.status, told.fields, told.body)
            return
        if exchange.path.startswith(OWN_PREFIX):
            self._send(exchange, 200, OWN_FIELDS, await own_answer(exchange, runtime))
            return
        if self._answer_preflight(exchange, runtime):
            return
        route = exchange.route = runtime.match(exchange, exchange.method)
        if route.cors is not None:
            exchange.fields += cors.answer_fields(route.cors, exchange.headers.get("Origin"))
        runtime.check_maintenance(exchange)
        trace = exchange.trace
        if trace is not None:
            trace.mark("identify")
        identity = exchange.identity = runtime.known(exchange, route) or await runtime.identify(exchange, route)
        if route.spending is not None:
            await spend(exchange, runtime, route, identity)
            return
        if route.caching is not None:
            if trace is not None:
                trace.mark("look up")
            if await answer_cached(exchange, runtime, route, identity):
                return
        check_length(exchange, body_bound(route))
        body = await read_body(exchange, body_bound(route)) if route.batch is BatchKind.GRAPHQL else None
        decision = await admit(exchange, runtime, route, identity, calls(exchange, route, body))
        posted = Posted.begun(exchange, runtime, route, identity)
        answered = False
        try:
            response = await send(
                exchange,
                runtime.target(route),
                runtime.shared.upstreams,
                runtime.told(exchange, identity),
                runtime.hidden_fields(exchange),
                body,
            )
            answered = True
            keeps = posted is not None and posted.judged(response)
            purged = self._heard(exchange, runtime, route, identity, response)
            if posted is not None and keeps:
                await posted.relay(purged)
            else:
                await send_answer(exchange, response)
        finally:
            if not answered:
                runtime.invalidation.unheard(exchange, identity, runtime.shared.caches)
            if decision is not None:
                runtime.shared.meters.release(decision)

    def _heard(
        self, exchange: Exchange, runtime: Runtime, route: Route, identity: Identity, response: Response
    ) -> tuple[int, ...]:
        """What an answer that did not come through the cache does to what is stored: what it purges.

        Raises: GatewayError TENANT_MISMATCH where it names another tenant than its caller's.
        """
        purged: tuple[int, ...] = ()
        if runtime.invalidation.concerns(exchange.method):
            caches = runtime.shared.caches
            purged = runtime.invalidation.heard(exchange, identity, response.status, response.headers, caches)
        if route.caching is not None:
            if route.caching.scope is not CacheScope.PUBLIC:
                refuse_another(exchange, identity.tenant, runtime, route, response)
            response.headers = for_downstream(response.headers, route.caching)
        return purged

    def _answer_preflight(self, exchange: Exchange, runtime: Runtime) -> bool:
        """Answers a CORS preflight, by the route that the request to come would take; it brings no credential."""
        if exchange.method != "OPTIONS":
            return False
        headers = exchange.headers
        origin, method = headers.get("Origin"), headers.get("Access-Control-Request-Method")
        if not origin or not method:
            return False
        route = runtime.match(exchange, method)
        if route.cors is None:
            return False
        exchange.route = route
        asked = headers.get("Access-Control-Request-Headers", "")
        self._send(exchange, 204, cors.preflight_fields(route.cors, origin, asked))
        return True

    # --- answers of our own ---

    def _send(self, exchange: Exchange, status: int, fields: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        exchange.status = status
        exchange.outcome = Outcome.ANSWERED
        if not exchange.payload.is_eof() or exchange.connection.draining:
            exchange.close = True
        head = own_head(status, exchange.request_id, fields, len(body) if status != 204 else None, exchange.close)
        exchange.connection.send(head + (b"" if exchange.method == "HEAD" else body))
        exchange.bytes_out = len(body)

    def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Tells the client why, unless an answer has begun already: then it is cut."""
        exchange.reason = error.reason
        if exchange.status:
            exchange.outcome, exchange.close = Outcome.CUT, True
            exchange.connection.cut(visibly=True)
            return
        if error.close:
            exchange.close = True
        fields = [(b"Content-Type", CONTENT_TYPE), *error.headers, *exchange.fields, *retry_fields(error)]
        try:
            self._send(exchange, error.status, fields, problem_body(error, exchange.request_id, exchange.violated))
        except ConnectionError:
            exchange.close = True
        # Some of what clients bring on themselves has a status from 500 on: 501, 505, 508, and 504 of only-if-cached.
        exchange.outcome = Outcome.REFUSED if error.error_class.fault is Fault.CLIENT else Outcome.FAILED

    def refuse_connection(self, connection: Connection, error: GatewayError, _now_s: float) -> None:
        """Answers what never became a request."""
        request_id = f"{self._id_prefix}{next(self._ids):010x}"
        body = problem_body(error, request_id)
        self._reporter.refused(request_id, connection.peer, error)
        fields = [(b"Content-Type", CONTENT_TYPE), *error.headers]
        connection.send(own_head(error.status, request_id, fields, len(body), close=True) + body)


def own_head(status: int, request_id: str, fields: list[tuple[bytes, bytes]], length: int | None, close: bool) -> bytes:
    lines = [b"%s: %s\r\n" % field for field in fields]
    if length is not None:
        lines.append(b"Content-Length: %d\r\n" % length)
    if close:
        lines.append(b"Connection: close\r\n")
    return b"HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-ID: %s\r\n%s\r\n" % (
        status,
        reason_phrase(status),
        http_date(),
        request_id.encode(),
        b"".join(lines),
    )
