"""What becomes of a test's request before its meters are asked: refused, answered by the gateway itself, or let on with
its route and its caller. Pure: callers pass the time.

The order is the gateway's own (``gateway.handler``), and so are the checks. What is only in a body is left out: one
that the gateway itself reads (an envelope, web vitals) is taken as right.
"""

from dataclasses import dataclass, field

from multidict import CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.foresight.callers import anonymous, claimed, keyed
from proxy.foresight.judge import Call, Judge
from proxy.foresight.testwords import Caller
from proxy.gateway import cors
from proxy.gateway.accept import ALLOWED_METHODS, check_characters, check_method, check_upgrade
from proxy.gateway.batch import body_bound, trpc_calls
from proxy.gateway.beacons import METHODS, PATHS, TUNNEL
from proxy.gateway.ownusage import OWN_FIELDS, OWN_PREFIX, USAGE, USAGE_METHODS
from proxy.identity.attempts import AttemptMeter
from proxy.identity.flaws import missing
from proxy.policy.model import AuthMode, BatchKind, Policy, Route
from proxy.policy.sentry import Watching

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """A caller's request with nothing left out. ``size``: of its body, in bytes; ``batch``: operations in it."""

    caller: Caller
    method: str
    target: str
    host: str
    address: str
    headers: CIMultiDictProxy[str]
    call: Call | None
    batch: int | None
    size: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(slots=True)
class Arrival:
    """Filled in on the way. ``status``: of an answer of the gateway's own; ``factor``: how many calls it holds."""

    route: Route | None = None
    identity: Identity | None = None
    status: int | None = None
    factor: int = 1
    fields: Fields = field(default_factory=list)


class Doorway:
    """One policy's. Requests come in the order of their times."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._policy = judge.policy
        watching = judge.policy.watching
        self._beacons = {path: AttemptMeter(_per_minute(watching, path) or 0) for path in PATHS}

    def arrive(self, request: Request, arrival: Arrival, now_ms: int) -> None:
        """Raises: GatewayError; KeyError for a key that the policy does not have."""
        check_method(request.method)
        check_characters(request.target)
        if "Upgrade" in request.headers:
            check_upgrade(request.headers["Upgrade"])
        self._judge.check_address(request.address)
        if request.method == "OPTIONS" and request.headers.get("Max-Forwards") == "0":
            arrival.status, arrival.fields = 204, [(b"Allow", ALLOWED_METHODS)]
        elif request.path in PATHS:
            self._beacon(request, arrival, now_ms)
        elif request.path.startswith(OWN_PREFIX):
            self._usage(request, arrival, now_ms)
        elif not self._preflight(request, arrival):
            self._routed(request, arrival, now_ms)

    def _routed(self, request: Request, arrival: Arrival, now_ms: int) -> None:
        route = arrival.route = self._match(request, request.method)
        if route.cors is not None:
            arrival.fields += cors.answer_fields(route.cors, request.headers.get("Origin"))
        self._judge.check_maintenance(request.address)
        arrival.identity = _identity(self._policy, request, route.auth, now_ms, route.name)
        if request.size > body_bound(route):
            raise GatewayError(Reason.BODY_TOO_LARGE, f"at most {body_bound(route)} bytes")
        if route.batch is BatchKind.TRPC:
            arrival.factor = trpc_calls(request.path)
        elif route.batch is BatchKind.GRAPHQL:
            arrival.factor = request.batch or 1

    def _match(self, request: Request, method: str) -> Route:
        return self._judge.route(method, request.host, request.path, request.target.partition("?")[2], request.headers)

    def _preflight(self, request: Request, arrival: Arrival) -> bool:
        """Of CORS, answered by the route that the request to come would take."""
        headers = request.headers
        origin, method = headers.get("Origin"), headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not origin or not method:
            return False
        route = self._match(request, method)
        if route.cors is None:
            return False
        arrival.route, arrival.status = route, 204
        asked = headers.get("Access-Control-Request-Headers", "")
        arrival.fields = cors.preflight_fields(route.cors, origin, asked)
        return True

    def _usage(self, request: Request, arrival: Arrival, now_ms: int) -> None:
        if request.path != USAGE:
            raise GatewayError(Reason.NO_ROUTE)
        if request.method not in USAGE_METHODS:
            raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", ", ".join(USAGE_METHODS).encode()),))
        self._judge.check_maintenance(request.address)
        arrival.identity = _identity(self._policy, request, AuthMode.REQUIRED, now_ms)
        arrival.status, arrival.fields = 200, list(OWN_FIELDS)

    def _beacon(self, request: Request, arrival: Arrival, now_ms: int) -> None:
        """What browsers tell the gateway: errors, and web vitals."""
        if _per_minute(self._policy.watching, request.path) is None:
            raise GatewayError(Reason.NO_ROUTE)
        allowed, origin = self._policy.watching.cors, request.headers.get("Origin")
        if allowed is not None and request.method == "OPTIONS":
            asked = request.headers.get("Access-Control-Request-Headers", "")
            arrival.status = 204
            arrival.fields = cors.preflight_fields(allowed, origin, asked) if origin else []
            return
        if allowed is not None:
            arrival.fields += cors.answer_fields(allowed, origin)
        if request.method != "POST":
            raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", METHODS),))
        wait_ms = self._beacons[request.path].take(request.address, now_ms)
        if wait_ms:
            raise GatewayError(Reason.QUOTA_EXCEEDED, "too many from this address", retry_after_ms=wait_ms)
        arrival.status = 200 if request.path == TUNNEL else 204


def _per_minute(watching: Watching, path: str) -> int | None:
    """By address; None where the policy does not have such beacons."""
    if path == TUNNEL:
        tunnel = watching.sentry.tunnel if watching.sentry is not None else None
        return None if tunnel is None else tunnel.per_minute
    return None if watching.vitals is None else watching.vitals.per_minute


def _identity(policy: Policy, request: Request, auth: AuthMode, now_ms: int, route: str | None = None) -> Identity:
    """``route``: that keys must be for. Raises: GatewayError; KeyError for a key that the policy does not have."""
    caller = request.caller
    key = None
    if caller.key_name is not None:
        key = next((key for key in policy.identity.keys if key.name == caller.key_name), None)
        if key is None:
            raise KeyError(caller.key_name)
    if auth is AuthMode.NONE:
        return anonymous(policy)
    if key is not None:
        identity = keyed(policy, key.name, request.headers, now_ms)
        if key.routes is not None and route is not None and route not in key.routes:
            raise GatewayError(Reason.KEY_ROUTE_REFUSED)
        return identity
    identity = anonymous(policy)
    if caller.claims is not None:
        identity = claimed(policy, request.headers.get(policy.identity.tenant_header) or None, caller.claims)
    if auth is AuthMode.REQUIRED and identity.kind is IdentityKind.ANONYMOUS:
        raise missing()
    return identity
