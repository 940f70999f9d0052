"""How many calls one request holds, for routes that weigh by it. Pure.

tRPC joins procedure names with commas in the path; GraphQL servers take a JSON array of operations. What a server might
read as a larger batch than is counted here is refused: else a client would choose its own weight.
"""

import re
from typing import Final
from urllib.parse import unquote

import orjson

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.exchange import Exchange
from proxy.policy.model import BatchKind, Route

MAX_CALLS: Final = 250
MAX_BODY: Final = 2**20  # bytes of a body that is looked into: it is held in memory before the limits are asked
MAX_NODES: Final = 50_000  # objects and arrays in a batch: what parsing it may cost, some milliseconds

_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_MARKS: Final = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")


def trpc_calls(path: str) -> int:
    """One more than the commas of the whole decoded path, whether or not the query says that it is a batch.

    Raises: GatewayError for more than MAX_CALLS.
    """
    return _bounded(unquote(path, "latin-1").count(",") + 1, "path")


def graphql_calls(body: bytes, content_type: str, content_encoding: str) -> int:
    """The length of a batch; 1 for a single operation.

    Raises: GatewayError for a batch that is empty, too long or no JSON, and for a body in a coding, a charset or a form
    that could hide one.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        raise GatewayError(Reason.MALFORMED, "the body must not be compressed here", field="Content-Encoding")
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8"):
        raise GatewayError(Reason.MALFORMED, "the body must be UTF-8", field="Content-Type")
    if content_type.lstrip().lower().startswith("multipart/"):
        raise GatewayError(Reason.MALFORMED, "the body must not be multipart here", field="Content-Type")
    if body.startswith(_MARKS) or b"\0" in body[:4]:
        raise GatewayError(Reason.MALFORMED, "the body must be UTF-8 without a byte order mark", field="body")
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return 1
    if body.count(b"{") + body.count(b"[") > MAX_NODES:
        raise GatewayError(Reason.MALFORMED, "the batch holds too many values", field="body")
    try:
        batch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Other parsers take what this one does not (lone surrogates, 1e999): what is in it cannot be counted.
        raise GatewayError(Reason.MALFORMED, "the batch is not strict JSON", field="body") from error
    return _bounded(len(batch), "body")


def _bounded(count: int, field: str) -> int:
    if not 1 <= count <= MAX_CALLS:
        raise GatewayError(Reason.MALFORMED, f"a batch holds 1 to {MAX_CALLS} calls", field=field)
    return count


def calls(exchange: Exchange, route: Route, body: bytes | None) -> int:
    """What the request counts as on this route. ``body`` is there where the route has to look into it."""
    match route.batch:
        case BatchKind.TRPC:
            return trpc_calls(exchange.path)
        case BatchKind.GRAPHQL if body is not None:
            headers = exchange.headers
            return graphql_calls(body, headers.get("Content-Type", ""), headers.get("Content-Encoding", ""))
        case _:
            return 1


def body_bound(route: Route) -> int:
    """The longest body that the route takes, in bytes."""
    return min(route.max_body, MAX_BODY) if route.batch is BatchKind.GRAPHQL else route.max_body
