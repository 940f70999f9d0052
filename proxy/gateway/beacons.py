"""What browsers tell the gateway itself: ``POST /_gateway/sentry``, the SDK's envelopes on their way to the policy's
project and no other; ``POST /_gateway/vitals``, a page's web vitals, which become histograms by route.

Nobody has to be known for it; who is, has the tenant told. Both are bounded in size, and by address and minute.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import orjson
from multidict import CIMultiDictProxy

from proxy.core.addresses import counted_address
from proxy.core.errors import GatewayError, Reason
from proxy.gateway import cors
from proxy.gateway.about import proven
from proxy.gateway.exchange import Exchange
from proxy.gateway.forward import check_length
from proxy.gateway.ownusage import OWN_PREFIX
from proxy.gateway.relay import read_body
from proxy.gateway.runtime import Runtime
from proxy.identity.attempts import AttemptMeter
from proxy.policy.model import AuthMode
from proxy.policy.sentry import SHIFT, TIMES, Sentry, Tunnel, Vitals, Watching
from proxy.policy.target import matched_path
from proxy.sentry.envelope import EnvelopeError, read_header, tagged
from proxy.sentry.waiting import Kind
from proxy.sentry.witness import Witness
from proxy.telemetry.metrics import LAYOUT_SHIFT, SENTRY_TUNNEL, WEB_VITALS

TUNNEL: Final = OWN_PREFIX + "sentry"
VITALS: Final = OWN_PREFIX + "vitals"
PATHS: Final = frozenset({TUNNEL, VITALS})
MOST_VITALS: Final = 4096  # bytes of one beacon
MOST_MS: Final = 600_000.0
MOST_SHIFT: Final = 100.0
_MOST_PATH: Final = 2048
_NO_ROUTE: Final = "none"
METHODS: Final = b"POST, OPTIONS"
_JSON: Final = (b"Content-Type", b"application/json")

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: Fields
    body: bytes = b""


class Beacons:
    """Of one worker, under one policy."""

    def __init__(self, watching: Watching, witness: Witness) -> None:
        self._watching = watching
        self._witness = witness
        tunnel = watching.sentry.tunnel if watching.sentry is not None else None
        self._envelopes = AttemptMeter(tunnel.per_minute if tunnel is not None else 0)
        self._vitals = AttemptMeter(watching.vitals.per_minute if watching.vitals is not None else 0)

    async def answer(self, exchange: Exchange, runtime: Runtime) -> Answer:
        """Raises: GatewayError; NO_ROUTE for what the policy does not have."""
        sentry, vitals, allowed = self._watching.sentry, self._watching.vitals, self._watching.cors
        tunnel = sentry.tunnel if sentry is not None else None
        if (tunnel if exchange.path == TUNNEL else vitals) is None:
            raise GatewayError(Reason.NO_ROUTE)
        origin = exchange.headers.get("Origin")
        if allowed is not None and exchange.method == "OPTIONS":
            asked = exchange.headers.get("Access-Control-Request-Headers", "")
            return Answer(204, cors.preflight_fields(allowed, origin, asked) if origin else [])
        if allowed is not None:
            exchange.fields += cors.answer_fields(allowed, origin)
        if exchange.method != "POST":
            raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", METHODS),))
        if exchange.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise GatewayError(Reason.MALFORMED, "no content coding is known here", field="Content-Encoding")
        if exchange.path == TUNNEL:
            assert sentry is not None
            assert tunnel is not None
            return await self._pass_on(exchange, runtime, sentry, tunnel)
        assert vitals is not None
        return await self._count(exchange, runtime, vitals)

    # --- the tunnel ---

    async def _pass_on(self, exchange: Exchange, runtime: Runtime, sentry: Sentry, tunnel: Tunnel) -> Answer:
        body = await self._read(exchange, runtime, self._envelopes, tunnel.max_body)
        try:
            # The SDK knows the DSN that it was made with: another's project is none of ours to reach.
            if read_header(body).get("dsn") != sentry.dsn:
                raise GatewayError(Reason.MALFORMED, "the envelope is not for this gateway's project")
            tags = await self._tags(exchange, runtime)
            written = tagged(body, tags)
        except EnvelopeError as error:
            raise GatewayError(Reason.MALFORMED, str(error)) from error
        if not self._witness.put(Kind.BROWSER, (lambda: written,), len(written)):
            raise GatewayError(Reason.OVERLOADED, retry_after_ms=1_000)
        runtime.shared.metrics.inc(SENTRY_TUNNEL, "taken")
        return Answer(200, [_JSON, *exchange.fields], b"{}")

    async def _tags(self, exchange: Exchange, runtime: Runtime) -> dict[str, str]:
        """Whose it is, as far as a credential proves it; one that does not hold is no reason to lose an error."""
        headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        authenticator = runtime.authenticator
        try:
            identity = authenticator.cached(headers, exchange.address, AuthMode.OPTIONAL)
            if identity is None:
                identity = await authenticator.identify(headers, exchange.address, AuthMode.OPTIONAL)
        except GatewayError:
            return {}
        exchange.identity = identity
        return proven(identity) if identity.tenant is not None else {}

    # --- web vitals ---

    async def _count(self, exchange: Exchange, runtime: Runtime, vitals: Vitals) -> Answer:
        body = await self._read(exchange, runtime, self._vitals, MOST_VITALS)
        path, values = read_vitals(body, vitals.measures)
        route = self._route_of(exchange, runtime, path)
        metrics = runtime.shared.metrics
        for name, value in values.items():
            if name == SHIFT:
                metrics.histogram(LAYOUT_SHIFT, route).observe(value)
            else:
                label = name.lower() if name in TIMES else name
                metrics.histogram(WEB_VITALS, route, label).observe(value / 1000)
        return Answer(204, exchange.fields)

    def _route_of(self, exchange: Exchange, runtime: Runtime, path: str) -> str:
        """Of the page, as the route of its GET."""
        listen = runtime.policy.listen
        try:
            matched = matched_path(path, listen.double_slash, listen.encoded_slash)
        except GatewayError:
            return _NO_ROUTE
        route = runtime.router.match("GET", exchange.host, matched, "", exchange.headers)
        return route.name if route is not None else _NO_ROUTE

    # --- both ---

    async def _read(self, exchange: Exchange, runtime: Runtime, meter: AttemptMeter, most: int) -> bytes:
        wait_ms = meter.take(counted_address(exchange.address), runtime.shared.clock.now_ms())
        if wait_ms:
            raise GatewayError(Reason.QUOTA_EXCEEDED, "too many from this address", retry_after_ms=wait_ms, close=True)
        check_length(exchange, most)
        return await read_body(exchange, most)


def read_vitals(body: bytes, measures: frozenset[str]) -> tuple[str, dict[str, float]]:
    """A beacon: ``{"path": "/reports/7", "values": {"LCP": 1800, "CLS": 0.02}}``, times in milliseconds.

    The page's path, without a query, and its values. Raises: GatewayError MALFORMED.
    """
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayError(Reason.MALFORMED, "the body is no JSON") from error
    if not isinstance(told, dict) or set(told) != {"path", "values"}:
        raise GatewayError(Reason.MALFORMED, "the body is an object of path and values")
    path, values = told["path"], told["values"]
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _MOST_PATH:
        raise GatewayError(Reason.MALFORMED, "path is that of the page", field="path")
    if not isinstance(values, dict) or not values:
        raise GatewayError(Reason.MALFORMED, "values is an object of numbers", field="values")
    found: dict[str, float] = {}
    for name, value in values.items():
        if name != SHIFT and name not in TIMES and name not in measures:
            raise GatewayError(Reason.MALFORMED, "a name is neither a web vital nor in vitals.measures", field="values")
        most = MOST_SHIFT if name == SHIFT else MOST_MS
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise GatewayError(Reason.MALFORMED, "a value is no number", field="values")
        if not 0 <= value <= most:
            raise GatewayError(Reason.MALFORMED, "a value is out of range", field="values")
        found[name] = float(value)
    return path.partition("?")[0], found
