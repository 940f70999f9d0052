"""Stored answers on their way to a client."""

from proxy.cache.answers import Answer, for_downstream
from proxy.cache.entry import Stored
from proxy.gateway.exchange import Exchange, Outcome
from proxy.gateway.relay import answer_heads, http_date
from proxy.policy.caching import Caching
from proxy.upstream.framing import NO_BODY


async def send_stored(
    exchange: Exchange, stored: Stored, answer: Answer, caching: Caching, status_field: bytes, *, aged: bool = True
) -> None:
    """Sends it with its Age, our own fields and, where the route says so, Cache-Status. Raises: ConnectionError.

    ``answer`` is what ``stored`` says to this request; not ``aged``: the app itself has just answered or confirmed it.
    """
    connection = exchange.connection
    if not exchange.payload.is_eof() or connection.draining:
        exchange.close = True
    if answer.whole:
        ready = stored.ready
        head = ready[1] if ready is not None and ready[0] is caching else _prepared(exchange, stored, answer, caching)
    else:
        head = _head(exchange, answer, caching)
    age = b"Age: %d\r\n" % answer.age_s if aged else b""
    parts = [head, age, b"X-Request-ID: %b\r\n" % exchange.request_id.encode()]
    parts += [b"%b: %b\r\n" % field for field in exchange.fields]
    if caching.status_field:
        parts.append(b"Cache-Status: %b\r\n" % status_field)
    parts += (b"Connection: close\r\n\r\n" if exchange.close else b"\r\n", answer.body)
    exchange.status = answer.status
    exchange.outcome = Outcome.CACHED
    exchange.bytes_out = len(answer.body)
    connection.send_last(b"".join(parts))
    if connection.writing_paused:
        await connection.drained()


def _prepared(exchange: Exchange, stored: Stored, answer: Answer, caching: Caching) -> bytes:
    """Made once for all hits under one policy: only what is added differs from hit to hit."""
    head = _head(exchange, answer, caching)
    stored.ready = (caching, head)
    return head


def _head(exchange: Exchange, answer: Answer, caching: Caching) -> bytes:
    """Up to where our own fields begin."""
    return answer_heads(exchange).build(
        answer.status,
        answer.reason,
        for_downstream(answer.headers, caching),
        framing=NO_BODY if answer.length is None else answer.length,
        date=http_date,
    )[:-2]
