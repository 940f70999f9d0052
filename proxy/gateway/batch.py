"""How many calls one request holds, for routes that weigh by it. Pure.

tRPC joins procedure names with commas in the last path segment when ``batch=1`` is in the query; GraphQL servers take
a JSON array of operations.
"""

from typing import Final

import orjson

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.exchange import Exchange
from proxy.policy.model import BatchKind, Route

MAX_CALLS: Final = 1000


def trpc_calls(path: str, query: str) -> int:
    """1 unless it is a batch link's request."""
    if "batch=1" not in query.split("&"):
        return 1
    names = path.rpartition("/")[2].replace("%2C", ",").replace("%2c", ",")
    return min(names.count(",") + 1, MAX_CALLS)


def graphql_calls(body: bytes) -> int:
    """The length of a batch; 1 for a single operation. Raises: GatewayError for a batch that is empty or too long.

    A body that is no JSON counts as one: the upstream refuses it.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return 1
    try:
        batch = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 1
    if not 1 <= len(batch) <= MAX_CALLS:
        raise GatewayError(Reason.MALFORMED, f"a batch holds 1 to {MAX_CALLS} operations", field="body")
    return len(batch)


def calls(exchange: Exchange, route: Route, body: bytes | None) -> int:
    """What the request counts as on this route. ``body`` is there where the route has to look into it."""
    match route.batch:
        case BatchKind.TRPC:
            return trpc_calls(exchange.path, exchange.query)
        case BatchKind.GRAPHQL:
            return graphql_calls(body or b"")
        case None:
            return 1
