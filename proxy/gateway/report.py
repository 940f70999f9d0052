"""The end of a request: counted once, and one log line.

What a line may hold is this list and nothing else: no token, key, cookie, body or query ever gets here.
"""

import time
from typing import Any, Final

import orjson

from proxy.core.errors import ERRORS
from proxy.gateway.exchange import Exchange
from proxy.policy.model import Policy
from proxy.telemetry.log import LineWriter
from proxy.telemetry.metrics import (
    DURATION,
    IN_FLIGHT,
    REFUSALS,
    REQUESTS,
    STORE_DURATION,
    UPSTREAM_DURATION,
    UPSTREAM_RETRIES,
    Histogram,
    Metrics,
)

NO_ROUTE: Final = "none"
NO_TIER: Final = "none"
_MAX_PATH: Final = 512  # characters of a path in a log line
_RequestKey = tuple[str, str, int, str]


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

    def begin(self) -> None:
        self._values[self._in_flight] += 1

    def end(self, exchange: Exchange, policy: Policy, now_s: float) -> None:
        values = self._values
        values[self._in_flight] -= 1
        route = exchange.route
        route_name = route.name if route is not None else NO_ROUTE
        identity = exchange.identity
        tier = identity.tier if identity is not None else NO_TIER
        key = (route_name, tier, exchange.status, exchange.outcome.value)
        slot = self._requests.get(key)
        if slot is None:
            slot = self._requests[key] = self._metrics.slot(
                REQUESTS, route_name, tier, str(exchange.status), exchange.outcome.value
            )
        values[slot] += 1
        elapsed_s = now_s - exchange.started_s
        histogram = self._durations.get(route_name)
        if histogram is None:
            histogram = self._durations[route_name] = self._metrics.histogram(DURATION, route_name)
        histogram.observe(elapsed_s)
        if exchange.redis_s:
            self._redis.observe(exchange.redis_s)
        if exchange.upstream_s and route is not None:
            upstream = self._upstreams.get(route.upstream)
            if upstream is None:
                upstream = self._upstreams[route.upstream] = self._metrics.histogram(UPSTREAM_DURATION, route.upstream)
            upstream.observe(exchange.upstream_s)
            if exchange.attempt.retried:
                self._metrics.inc(UPSTREAM_RETRIES, route.upstream)
        if exchange.reason is not None:
            self._metrics.inc(REFUSALS, ERRORS[exchange.reason].fault.value, exchange.reason.value)
        self._lines.write(self._line(exchange, policy, route_name, tier, elapsed_s))

    @staticmethod
    def _line(exchange: Exchange, policy: Policy, route_name: str, tier: str, elapsed_s: float) -> bytes:
        identity = exchange.identity
        line: dict[str, Any] = {
            "ts": round(time.time(), 3),
            "msg": "request",
            "id": exchange.request_id,
            "method": exchange.method,
            "path": exchange.path[:_MAX_PATH],
            "host": exchange.host,
            "route": route_name,
            "status": exchange.status,
            "outcome": exchange.outcome.value,
            "tier": tier,
            "ip": exchange.address,
            "ms": round(elapsed_s * 1000, 2),
            "in": exchange.bytes_in,
            "out": exchange.bytes_out,
            "policy": policy.version,
        }
        if identity is not None and identity.tenant is not None:
            line["tenant"] = identity.tenant
        if identity is not None and identity.user is not None:
            line["user"] = identity.user
        if identity is not None and identity.credential:
            line["key"] = identity.credential
        if exchange.reason is not None:
            line["reason"] = exchange.reason.value
        if exchange.redis_s:
            line["redis_ms"] = round(exchange.redis_s * 1000, 2)
        attempt = exchange.attempt
        if attempt is not None and attempt.origin is not None:
            line["upstream"] = attempt.origin.authority
            line["upstream_ms"] = round(exchange.upstream_s * 1000, 2)
            if attempt.retried or attempt.failed_connects:
                line["retries"] = attempt.failed_connects + attempt.retried
        if exchange.violated:
            line["limits"] = exchange.violated
        # surrogates stand for bytes that are not UTF-8 in a target; they were refused, and are logged as escapes
        try:
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:
            line["path"] = ascii(exchange.path[:_MAX_PATH])
            line["host"] = ascii(exchange.host)
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
