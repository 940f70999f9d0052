"""Cached hits by the bytes of their requests: what was parsed, identified and routed once is not parsed again.

A request that a stored answer met is remembered by its client's address and its bytes. When they come again, at a
request's boundary and alone in their read, and policy, credential and stored answer still hold, they get that answer
from the connection itself, without a parser, a task or a record of their own. Whatever is not the same to the byte, and
whatever holds no longer, goes the ordinary way. Measured in tests/bench/README.md.
"""

import asyncio
import weakref
from functools import partial
from itertools import count
from time import monotonic
from typing import Final

from proxy.cache import cachestatus
from proxy.cache.entry import Stored
from proxy.cache.memory import Resource
from proxy.cache.reuse import PLAIN, Use, reuse
from proxy.gateway.admission import count_decision
from proxy.gateway.caches import Caches
from proxy.gateway.connection import Connection
from proxy.gateway.exchange import Exchange
from proxy.gateway.report import Line, Reporter
from proxy.gateway.runtime import Runtime
from proxy.metering.decision import Decision
from proxy.tracing.trace import SENTRY_TRACE, TRACEPARENT, Tracer

MOST_KNOWN: Final = 4096  # requests that are remembered; the oldest go
LONGEST: Final = 4096  # bytes of one


class Known:
    """A request that a stored answer met, and all that this rested on."""

    __slots__ = (
        "address",
        "caching",
        "entry",
        "fields",
        "identity",
        "key",
        "line",
        "place",
        "route",
        "runtime",
        "stored",
        "variants",
    )

    def __init__(self, exchange: Exchange, runtime: Runtime, resource: Resource, stored: Stored, line: Line) -> None:
        assert exchange.route is not None
        assert exchange.route.caching is not None
        assert exchange.identity is not None
        self.runtime = runtime
        self.route = exchange.route
        self.caching = exchange.route.caching
        self.identity = exchange.identity
        self.address = exchange.address
        self.key = resource.key
        self.stored = weakref.ref(stored)  # what memory has let go of is not held here
        self.place = resource.variants.index(stored)
        self.variants = len(resource.variants)
        self.line = line
        self.entry = runtime.authenticator.entry_of(exchange.headers)  # type: ignore[arg-type]
        self.fields = b"".join(b"%b: %b\r\n" % field for field in exchange.fields if field not in exchange.metered)

    def holds(self, resource: Resource, stored: Stored, now_ms: int) -> bool:
        """Whether the same credential still opens the same, and ``stored`` is the answer that it selects."""
        if self.entry is not None:
            if now_ms >= self.entry.until_ms or not self.entry.verified.key.trusted:
                return False
            self.entry.used = True
        variants = resource.variants
        return len(variants) == self.variants and variants[self.place] is stored


class Recall:
    """Of one worker."""

    def __init__(self, caches: Caches, reporter: Reporter, id_prefix: str) -> None:
        self._caches = caches
        self._reporter = reporter
        self._prefix = id_prefix.encode()
        self._ids = count()
        self._known: dict[tuple[str, bytes], Known] = {}
        self.tracer: Tracer | None = None

    def forget(self) -> None:
        """Under another policy everything is looked at anew."""
        self._known.clear()

    def learn(self, exchange: Exchange, runtime: Runtime) -> None:
        """Remembers a request that has just been answered with a hit, if its bytes alone decide what it gets."""
        resource: Resource
        stored: Stored
        resource, stored = exchange.recallable
        raw, identity, route = exchange.raw, exchange.identity, exchange.route
        if raw is None or len(raw) > LONGEST or identity is None or route is None:
            return
        if exchange.method != "GET" or exchange.close or exchange.http10:
            return
        authenticator = runtime.authenticator
        if identity.credential or authenticator.cached(exchange.headers, exchange.address, route.auth) is not identity:  # type: ignore[arg-type]
            return
        if stored not in resource.variants or stored.ready is None:
            return
        if self.tracer is not None and (SENTRY_TRACE in exchange.headers or TRACEPARENT in exchange.headers):
            return  # it says itself whether it is traced
        known = self._known
        if len(known) >= MOST_KNOWN:
            del known[next(iter(known))]
        line = self._reporter.line_of(exchange, runtime.policy)
        known[exchange.connection.peer, raw] = Known(exchange, runtime, resource, stored, line)

    def __call__(self, connection: Connection, data: bytes) -> bool:
        """Answers a read, or begins to. False: it has to be parsed."""
        known = self._known.get((connection.peer, data))
        if known is None:
            return False
        tracer = self.tracer
        if tracer is not None and tracer.left <= 1:
            return False  # the next request is traced: the handler draws it
        started_s = monotonic()
        caches = self._caches
        now_ms = caches.clock.now_ms()
        resource = caches.memory.get(known.key)
        stored = known.stored()
        if resource is None or stored is None or not known.holds(resource, stored, now_ms):
            del self._known[connection.peer, data]
            return False
        if reuse(stored, PLAIN, now_ms) is not Use.FRESH or not caches.log.may_reuse(stored, started_s * 1000):
            return False
        runtime, plan = known.runtime, None
        share = known.caching.hits_pay
        if share and known.route.limits:
            plan = runtime.planner.plan(known.route, known.identity, known.address, now_ms, 1, share)
            if plan.leased:
                return False
        if known.caching.early and caches.is_due(stored, now_ms):
            return False
        if tracer is not None:
            tracer.left -= 1
        if plan is None:
            connection.served += 1
            self._answer(connection, known, stored, now_ms, started_s, b"", 0.0)
            connection.idle_since = connection.loop.time()
            return True
        connection.hold()
        deciding = asyncio.ensure_future(runtime.shared.meters.admit(plan))
        deciding.add_done_callback(partial(self._decided, connection, known, stored, data, now_ms, started_s))
        return True

    def _decided(
        self,
        connection: Connection,
        known: Known,
        stored: Stored,
        data: bytes,
        now_ms: int,
        started_s: float,
        deciding: asyncio.Future[Decision],
    ) -> None:
        if connection.transport is None:
            if not deciding.cancelled():
                deciding.exception()  # heard; there is nobody to tell
            self._reporter.left(known.line, self._next_id(), monotonic() - started_s)
            return
        if deciding.cancelled() or deciding.exception() is not None or not deciding.result().admitted:
            connection.go_on(data)  # refused, or Redis is away: what the route says then is not for here
            return
        decision = deciding.result()
        count_decision(known.runtime, known.route, decision)
        fields = b"".join([b"%b: %b\r\n" % field for field in decision.fields(now_ms)])
        connection.served += 1
        self._answer(connection, known, stored, now_ms, started_s, fields, monotonic() - started_s)
        if connection.draining:
            connection.end_soon()
        else:
            connection.go_on()

    def _next_id(self) -> bytes:
        return b"%br%09x" % (self._prefix, next(self._ids))

    def _answer(
        self,
        connection: Connection,
        known: Known,
        stored: Stored,
        now_ms: int,
        started_s: float,
        fields: bytes,
        redis_s: float,
    ) -> None:
        assert stored.ready is not None
        terms = stored.terms
        age_ms = terms.age_ms(now_ms)
        request_id = self._next_id()
        parts = [
            stored.ready[1],
            b"Age: %d\r\nX-Request-ID: %b\r\n" % (age_ms // 1000, request_id),
            known.fields,
            fields,
        ]
        if known.caching.status_field:
            parts.append(b"Cache-Status: %b\r\n" % cachestatus.hit(terms.lifetime_ms - age_ms))
        if connection.draining:
            parts.append(b"Connection: close\r\n")
        parts += (b"\r\n", stored.body)
        connection.send_last(b"".join(parts))
        self._reporter.recalled(known.line, request_id, len(stored.body), now_ms, monotonic() - started_s, redis_s)
