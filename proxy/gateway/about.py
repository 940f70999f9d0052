"""What may be told outside of a request: whose it was, which way it went, and the names in its query. Pure."""

from typing import Final

from proxy.core.identity import Identity
from proxy.gateway.exchange import Exchange
from proxy.policy.model import Policy
from proxy.sentry.event import About
from proxy.telemetry.private import query_names, scrubbed

NO_ROUTE: Final = "none"


def about(exchange: Exchange, policy: Policy) -> About:
    """For Sentry's events."""
    trace = exchange.trace
    context = {} if trace is None else {"trace_id": trace.trace_id, "span_id": trace.span_id, "op": "http.server"}
    return About(tags(exchange, policy), request(exchange), name(exchange), context)


def whose(exchange: Exchange, policy: Policy) -> dict[str, str]:
    route, identity = exchange.route, exchange.identity
    found = {
        "request_id": exchange.request_id,
        "route": route.name if route is not None else NO_ROUTE,
        "policy": policy.version,
    }
    if identity is not None:
        found |= proven(identity)
    return found


def proven(identity: Identity) -> dict[str, str]:
    """Tier and tenant as everybody outside is told, but not a tenant that is called by somebody's address."""
    if identity.tenant is None:
        return {"tier": identity.tier}
    return {"tier": identity.tier, "tenant": scrubbed(identity.tenant)}


def tags(exchange: Exchange, policy: Policy) -> dict[str, str]:
    return whose(exchange, policy) | {"process": "worker"}


def request(exchange: Exchange) -> dict[str, str]:
    """The route's pattern stands for the path, which may hold anything."""
    route = exchange.route
    found = {"method": exchange.method, "url": route.match.path if route is not None else ""}
    names = query_names(exchange.query)
    return {**found, "query_string": names} if names else found


def name(exchange: Exchange) -> str:
    return f"{exchange.method} {exchange.route.name if exchange.route is not None else NO_ROUTE}"
