"""Stored answers on their way to a client."""

from proxy.cache.answers import Answer, for_downstream
from proxy.core.headers import RawHeaders
from proxy.gateway.exchange import Exchange, Outcome
from proxy.gateway.relay import answer_heads, http_date
from proxy.policy.caching import Caching
from proxy.upstream.framing import NO_BODY


async def send_stored(exchange: Exchange, answer: Answer, caching: Caching, status_field: bytes) -> None:
    """Sends it with its Age, our own fields and, where the route says so, Cache-Status. Raises: ConnectionError."""
    connection = exchange.connection
    if not exchange.payload.is_eof() or connection.draining:
        exchange.close = True
    add: RawHeaders = [(b"Age", b"%d" % answer.age_s), (b"X-Request-ID", exchange.request_id.encode())]
    add += exchange.fields
    if caching.status_field:
        add.append((b"Cache-Status", status_field))
    if exchange.close:
        add.append((b"Connection", b"close"))
    head = answer_heads(exchange).build(
        answer.status,
        answer.reason,
        for_downstream(answer.headers, caching),
        add=add,
        framing=NO_BODY if answer.length is None else answer.length,
        date=http_date,
    )
    exchange.status = answer.status
    exchange.outcome = Outcome.CACHED
    exchange.bytes_out = len(answer.body)
    connection.send_last(head + answer.body if answer.body else head)
    if connection.writing_paused:
        await connection.drained()
