"""Sends an admitted request to its upstream and relays the answer."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from proxy.ai.dialects.fields import PREFIXES, sent
from proxy.core.errors import ERRORS, Fault, GatewayError, Reason
from proxy.gateway.exchange import Exchange
from proxy.gateway.relay import body_length, request_body, send_answer, send_interim, whole_body
from proxy.gateway.servertiming import ServerTimings
from proxy.identity.forwarding import STRIPPED_PREFIX
from proxy.policy.model import AuthMode, HostMode, Origin, RetryMode, Route, Timeouts, Upstream
from proxy.policy.target import rewritten_target
from proxy.tracing.trace import FORWARD
from proxy.upstream.framing import NO_BODY
from proxy.upstream.head import Block, RequestHeads
from proxy.upstream.response import Response
from proxy.upstream.upstreams import Attempt, Upstreams

# Nor can one answer whose connections are all taken by what it has not answered yet.
_OF_UPSTREAM: Final = {reason for reason, error in ERRORS.items() if error.fault is Fault.UPSTREAM} | {
    Reason.OVERLOADED
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is the same for all requests of a route."""

    upstream: Upstream
    heads: RequestHeads
    headers: tuple[tuple[bytes, bytes], ...]  # set by the policy
    timeouts: Timeouts
    retryable: bool
    preserve_host: bool
    strip_prefix: str
    add_prefix: str
    timings: ServerTimings | None = None  # where the policy lists names of Server-Timing
    failed: Callable[[str], None] = lambda _: None  # hears the reason of each request that was not answered

    @classmethod
    def of(
        cls,
        route: Route,
        upstream: Upstream,
        stripped: frozenset[bytes],
        timings: ServerTimings | None = None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> "Target":
        headers = tuple((name.encode(), value.encode()) for name, value in upstream.headers)
        drop = stripped | {name.lower() for name, _ in headers} | {b"x-request-id"}
        return cls(
            upstream=upstream,
            heads=_heads(route, drop),
            headers=headers,
            timeouts=route.timeouts or upstream.timeouts,
            retryable=route.retry is RetryMode.IDEMPOTENT,
            preserve_host=upstream.host is HostMode.PRESERVE,
            strip_prefix=route.strip_prefix,
            add_prefix=route.add_prefix,
            timings=timings,
            failed=failed,
        )

    def rewritten(self, exchange: Exchange) -> str:
        """The request target as the upstream knows it. Raises: GatewayError BAD_TARGET."""
        if not self.strip_prefix and not self.add_prefix:
            return exchange.target
        return rewritten_target(exchange.target, self.strip_prefix, self.add_prefix)


def _heads(route: Route, drop: frozenset[bytes]) -> RequestHeads:
    """An app's own upstream gets what its client says, a provider only what is meant for it."""
    if route.spending is None:
        return RequestHeads(drop, (STRIPPED_PREFIX,))
    only = sent(route.spending.dialect, own_credential=route.auth is AuthMode.NONE)
    return RequestHeads(drop, (STRIPPED_PREFIX,), only=only, only_prefixes=PREFIXES)


def check_length(exchange: Exchange, max_body: int) -> None:
    """Refuses a body that says it is too large, before it is asked for (RFC 9110 §10.1.1). Raises: GatewayError."""
    if body_length(exchange) > max_body:
        raise GatewayError(Reason.BODY_TOO_LARGE, f"at most {max_body} bytes", close=True)


async def forward(
    exchange: Exchange,
    target: Target,
    upstreams: Upstreams,
    told: Block,
    hidden: tuple[bytes, ...] = (),
    body: bytes | None = None,
) -> None:
    """Sends the request and relays the answer to the client; parameters as ``send``.

    Raises: GatewayError while nothing has been sent to the client; ConnectionError when the client leaves.
    """
    await send_answer(exchange, await send(exchange, target, upstreams, told, hidden, body))


async def send(
    exchange: Exchange,
    target: Target,
    upstreams: Upstreams,
    told: Block,
    hidden: tuple[bytes, ...] = (),
    body: bytes | None = None,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> Response:
    """The upstream's answer, as soon as its head is there.

    ``told`` are the fields that the gateway tells the upstream, ``hidden`` the lower-case names of those that only the
    gateway may read, ``extra`` more fields of this request; ``body`` is what goes upstream where the request's had to
    be read already. Raises: GatewayError.
    """
    assert exchange.route is not None
    if exchange.trace is not None:
        exchange.trace.mark(FORWARD)
        if exchange.route.spending is None:  # a provider is told nothing of it
            hidden, extra = (*hidden, *exchange.trace.replaced), (*extra, *exchange.trace.told)
    framing = body_length(exchange)
    content: bytes | AsyncIterator[bytes] | None = None
    if framing != NO_BODY:
        content = body if body is not None else whole_body(exchange)
        if content is None:
            content = request_body(exchange, exchange.route.max_body)
        elif len(content) > exchange.route.max_body:
            raise GatewayError(Reason.BODY_TOO_LARGE, f"at most {exchange.route.max_body} bytes", close=True)
    if isinstance(content, bytes):
        framing = len(content)
    method = exchange.method.encode()
    path = target.rewritten(exchange)
    raw_headers: Iterable[tuple[bytes, bytes]] = exchange.message.raw_headers
    if hidden:
        raw_headers = [field for field in raw_headers if field[0].lower() not in hidden]
    host = exchange.host if target.preserve_host else ""
    add = ((b"X-Request-ID", exchange.request_id.encode()), *target.headers, *extra)

    def head_for(origin: Origin) -> bytes:
        return target.heads.build(
            method,
            (origin.base_path + path).encode(),
            raw_headers,
            host=(host or origin.authority).encode(),
            add=add,
            framing=framing,
            block=told,
        )

    attempt = exchange.attempt = Attempt()
    started_s = monotonic()
    try:
        response = await upstreams.send(
            target.upstream,
            method,
            head_for,
            content,
            framing=framing,
            retryable=target.retryable,
            timeouts=target.timeouts,
            attempt=attempt,
            on_interim=lambda status, headers: send_interim(exchange, status, headers),
        )
    except GatewayError as error:
        if error.reason in _OF_UPSTREAM:
            target.failed(error.reason.value)
        raise
    finally:
        exchange.upstream_s = monotonic() - started_s
    if target.timings is not None:
        target.timings.observe(response.headers)
    return response
