"""The end of a request: counted once, and one log line.

What a line may hold is this list and nothing else: no token, key, cookie, body or query ever gets here.
"""

import re
import time
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.core.errors import ERRORS, GatewayError, Reason
from proxy.core.units import NANOS
from proxy.gateway.exchange import CacheResult, Exchange, Outcome
from proxy.policy.model import OTHER_TENANTS, Policy
from proxy.telemetry.log import LineWriter
from proxy.telemetry.metrics import (
    CACHE_BYTES_SERVED,
    CACHE_REQUESTS,
    DURATION,
    IN_FLIGHT,
    REFUSALS,
    REQUESTS,
    STORE_DURATION,
    TENANT_REQUESTS,
    UPSTREAM_DURATION,
    UPSTREAM_RETRIES,
    Histogram,
    Metrics,
)

NO_ROUTE: Final = "none"
NO_TIER: Final = "none"
_MEMO: Final = "gateway.lines"
MAX_KEPT: Final = 64  # beginnings of log lines that are remembered with one identity: routes, hosts, addresses
MAX_ANONYMOUS: Final = 4096  # and for all without
_MAX_PATH: Final = 512  # characters of a path in a log line
_PLAIN: Final = re.compile(r"[!#-\[\]-~]{1,512}")  # needs no escape in JSON
_LineKey = tuple[str, str, str, str, Outcome, str]
_RequestKey = tuple[str, str, int, Outcome]


@dataclass(frozen=True, slots=True)
class Line:
    """What all requests with the same bytes have in common, once a stored answer meets them."""

    requests: int  # slots
    gone: int
    cache: int
    served: int
    duration: Histogram
    tenant: int | None  # slots, where tenants are counted
    tenant_gone: int | None
    status: int
    path: bytes  # in JSON
    common: bytes


class Reporter:
    """Counts and logs for one worker; outlives policies."""

    def __init__(self, metrics: Metrics, lines: LineWriter) -> None:
        self._metrics = metrics
        self._values = metrics.values
        self._lines = lines
        self._in_flight = metrics.slot(IN_FLIGHT)
        self._redis = metrics.histogram(STORE_DURATION)
        self._requests: dict[_RequestKey, int] = {}
        self._durations: dict[str, Histogram] = {}
        self._upstreams: dict[str, Histogram] = {}
        self._caches: dict[tuple[str, str, CacheResult, str], int] = {}
        self._served: dict[str, int] = {}
        self._tenants: dict[tuple[str, Outcome], int] = {}
        self._anonymous: dict[_LineKey, bytes] = {}

    def begin(self) -> None:
        self._values[self._in_flight] += 1

    def end(self, exchange: Exchange, policy: Policy, now_s: float) -> None:
        values = self._values
        values[self._in_flight] -= 1
        route = exchange.route
        route_name = route.name if route is not None else NO_ROUTE
        identity = exchange.identity
        tier = identity.tier if identity is not None else NO_TIER
        key = (route_name, tier, exchange.status, exchange.outcome)
        slot = self._requests.get(key)
        if slot is None:
            slot = self._requests[key] = self._metrics.slot(
                REQUESTS, route_name, tier, str(exchange.status), exchange.outcome.value
            )
        values[slot] += 1
        if policy.counted_tenants:
            tenant = self._tenant_slot(exchange, policy, exchange.outcome)
            if tenant is not None:
                values[tenant] += 1
        elapsed_s = now_s - exchange.started_s
        histogram = self._durations.get(route_name)
        if histogram is None:
            histogram = self._durations[route_name] = self._metrics.histogram(DURATION, route_name)
        histogram.observe(elapsed_s)
        if exchange.trace is not None:
            histogram.exemplify(elapsed_s, exchange.trace.trace_id, time.time())
        if exchange.redis_s:
            self._redis.observe(exchange.redis_s)
        if exchange.upstream_s and route is not None:
            upstream = self._upstreams.get(route.upstream)
            if upstream is None:
                upstream = self._upstreams[route.upstream] = self._metrics.histogram(UPSTREAM_DURATION, route.upstream)
            upstream.observe(exchange.upstream_s)
            if exchange.trace is not None:
                upstream.exemplify(exchange.upstream_s, exchange.trace.trace_id, time.time())
            if exchange.attempt.retried:
                self._metrics.inc(UPSTREAM_RETRIES, route.upstream)
        if exchange.cache is not None:
            self._count_cache(exchange, route_name, tier)
        if exchange.reason is not None:
            self._metrics.inc(REFUSALS, ERRORS[exchange.reason].fault.value, exchange.reason.value)
        self._lines.write(self._line(exchange, policy, route_name, tier, elapsed_s))

    def _tenant_slot(self, exchange: Exchange, policy: Policy, outcome: Outcome) -> int | None:
        """Of the tenants that the policy lists, each has its own; None: the policy lists none, or nobody is known."""
        identity, counted = exchange.identity, policy.counted_tenants
        if not counted or identity is None or identity.tenant is None:
            return None
        name = identity.tenant if identity.tenant in counted else OTHER_TENANTS
        slot = self._tenants.get((name, outcome))
        if slot is None:
            slot = self._tenants[name, outcome] = self._metrics.slot(TENANT_REQUESTS, name, outcome.value)
        return slot

    def line_of(self, exchange: Exchange, policy: Policy) -> Line:
        """Of a request that has been reported as a hit."""
        assert exchange.route is not None
        assert exchange.identity is not None
        assert exchange.cache is not None
        route, tier, metrics = exchange.route.name, exchange.identity.tier, self._metrics
        gone = Outcome.CLIENT_GONE.value
        return Line(
            requests=metrics.slot(REQUESTS, route, tier, str(exchange.status), exchange.outcome.value),
            gone=metrics.slot(REQUESTS, route, tier, "499", gone),
            cache=metrics.slot(CACHE_REQUESTS, route, tier, exchange.cache.value, exchange.cache_why),
            served=metrics.slot(CACHE_BYTES_SERVED, route),
            duration=metrics.histogram(DURATION, route),
            tenant=self._tenant_slot(exchange, policy, exchange.outcome),
            tenant_gone=self._tenant_slot(exchange, policy, Outcome.CLIENT_GONE),
            status=exchange.status,
            path=_path(exchange.path),
            common=b'"in":0,"out":%%d,%b,"cache":"%b"'
            % (_common(exchange, policy, route, tier).replace(b"%", b"%%"), exchange.cache.value.encode()),
        )

    def recalled(
        self, line: Line, request_id: bytes, bytes_out: int, now_ms: int, elapsed_s: float, redis_s: float
    ) -> None:
        """A hit that was known by its bytes; ``now_ms``: epoch."""
        values = self._values
        values[line.requests] += 1
        values[line.cache] += 1
        values[line.served] += bytes_out
        if line.tenant is not None:
            values[line.tenant] += 1
        line.duration.observe(elapsed_s)
        written = b'{"ts":%.3f,"id":"%b","path":%b,"status":%d,"ms":%.2f,%b' % (
            now_ms / 1000,
            request_id,
            line.path,
            line.status,
            elapsed_s * 1000,
            line.common % bytes_out,
        )
        if redis_s:
            self._redis.observe(redis_s)
            written = b'%b,"redis_ms":%.2f' % (written, redis_s * 1000)
        self._lines.write(written + b"}\n")

    def left(self, line: Line, request_id: bytes, elapsed_s: float) -> None:
        """Its client did not wait for the answer."""
        self._values[line.gone] += 1
        if line.tenant_gone is not None:
            self._values[line.tenant_gone] += 1
        self._metrics.inc(REFUSALS, ERRORS[Reason.CLIENT_GONE].fault.value, Reason.CLIENT_GONE.value)
        line.duration.observe(elapsed_s)
        written = b'{"ts":%.3f,"id":"%b","path":%b,"status":499,"ms":%.2f,%b,"reason":"%b"}\n' % (
            time.time(),
            request_id,
            line.path,
            elapsed_s * 1000,
            line.common % 0,
            Reason.CLIENT_GONE.value.encode(),
        )
        self._lines.write(written)

    def _count_cache(self, exchange: Exchange, route_name: str, tier: str) -> None:
        assert exchange.cache is not None
        key = (route_name, tier, exchange.cache, exchange.cache_why)
        slot = self._caches.get(key)
        if slot is None:
            slot = self._caches[key] = self._metrics.slot(
                CACHE_REQUESTS, route_name, tier, exchange.cache.value, exchange.cache_why
            )
        values = self._values
        values[slot] += 1
        if exchange.outcome is Outcome.CACHED:
            served = self._served.get(route_name)
            if served is None:
                served = self._served[route_name] = self._metrics.slot(CACHE_BYTES_SERVED, route_name)
            values[served] += exchange.bytes_out

    def refused(self, request_id: str, address: str, error: GatewayError) -> None:
        """What was no request: a head that could not be parsed, or did not arrive in time."""
        reason, status = error.reason, error.status
        self._metrics.inc(REQUESTS, NO_ROUTE, NO_TIER, str(status), Outcome.REFUSED.value)
        self._metrics.inc(REFUSALS, error.error_class.fault.value, reason.value)
        line = {
            "ts": round(time.time(), 3),
            "id": request_id,
            "status": status,
            "msg": "request",
            "route": NO_ROUTE,
            "outcome": Outcome.REFUSED.value,
            "tier": NO_TIER,
            "ip": address,
            "reason": reason.value,
        }
        self._lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _line(self, exchange: Exchange, policy: Policy, route_name: str, tier: str, elapsed_s: float) -> bytes:
        """One JSON object. What most requests have in common is made once and kept; a request adds its numbers."""
        key = (exchange.method, exchange.host, exchange.address, route_name, exchange.outcome, policy.version)
        identity = exchange.identity
        kept = self._anonymous if identity is None else identity.memo.get(_MEMO)
        if kept is None:
            kept = identity.memo[_MEMO] = {}  # type: ignore[union-attr]  # the anonymous have theirs
        common = kept.get(key)
        if common is None:
            if len(kept) >= (MAX_ANONYMOUS if identity is None else MAX_KEPT):
                kept.clear()
            common = kept[key] = _common(exchange, policy, route_name, tier)
        line = b'{"ts":%.3f,"id":"%b","path":%b,"status":%d,"ms":%.2f,"in":%d,"out":%d,%b' % (
            time.time(),
            exchange.request_id.encode(),
            _path(exchange.path),
            exchange.status,
            elapsed_s * 1000,
            exchange.bytes_in,
            exchange.bytes_out,
            common,
        )
        if exchange.cache is not None:
            line = b'%b,"cache":"%b"' % (line, exchange.cache.value.encode())
            if exchange.cache_why:
                line = b'%b,"cache_why":"%b"' % (line, exchange.cache_why.encode())
        attempt = exchange.attempt
        if attempt is not None and attempt.origin is not None:
            line = b'%b,"upstream":"%b","upstream_ms":%.2f' % (
                line,
                attempt.origin.authority.encode(),
                exchange.upstream_s * 1000,
            )
            if attempt.retried or attempt.failed_connects:
                line = b'%b,"retries":%d,"failed":%b' % (
                    line,
                    attempt.failed_connects + attempt.retried,
                    orjson.dumps([{"upstream": origin.authority, "why": why} for origin, why in attempt.failures]),
                )
        if exchange.redis_s:
            line = b'%b,"redis_ms":%.2f' % (line, exchange.redis_s * 1000)
        if exchange.saved_nanousd:
            line = b'%b,"cost_usd":0,"saved_usd":%.9f' % (line, exchange.saved_nanousd / NANOS)
        if exchange.held is not None:
            nanousd, tokens = exchange.held
            line = b'%b,"held_usd":%.9f,"held_tokens":%d' % (line, nanousd / NANOS, tokens)
        if exchange.spent is not None:
            spent = exchange.spent
            line = b'%b,"cost_usd":%.9f,"tokens_in":%d,"tokens_out":%d' % (
                line,
                spent.nanousd / NANOS,
                spent.tokens.input + spent.tokens.cached_read + spent.tokens.cache_write,
                spent.tokens.output,
            )
            if spent.estimated:
                line += b',"estimated":true'
        if exchange.trace is not None:
            line = b'%b,"trace":"%b"' % (line, exchange.trace.trace_id.encode())
        if exchange.reason is not None:
            line = b'%b,"reason":"%b"' % (line, exchange.reason.value.encode())
        if exchange.violated:
            line = b'%b,"limits":%b' % (line, orjson.dumps(exchange.violated))
        return line + b"}\n"


def _common(exchange: Exchange, policy: Policy, route_name: str, tier: str) -> bytes:
    identity = exchange.identity
    fields: dict[str, str] = {
        "msg": "request",
        "method": exchange.method,
        "host": exchange.host.encode("ascii", "backslashreplace").decode(),
        "route": route_name,
        "outcome": exchange.outcome.value,
        "tier": tier,
        "ip": exchange.address,
        "policy": policy.version,
    }
    if identity is not None and identity.tenant is not None:
        fields["tenant"] = identity.tenant
    if identity is not None and identity.user is not None:
        fields["user"] = identity.user
    if identity is not None and identity.credential:
        fields["key"] = identity.credential
    return orjson.dumps(fields)[1:-1]


def _path(path: str) -> bytes:
    return b'"%b"' % path.encode() if _PLAIN.fullmatch(path) else _escaped(path)


def _escaped(path: str) -> bytes:
    """A path of any bytes as a JSON string; what was refused may hold anything, and may be long."""
    return orjson.dumps(path[:_MAX_PATH].encode("ascii", "backslashreplace").decode())
