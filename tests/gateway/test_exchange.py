"""The record of a request begins with nothing decided."""

from proxy.gateway.exchange import Outcome
from tests.gateway.conftest import exchange_of


def test_an_exchange_begins_undecided() -> None:
    """Until something is known a request counts as failed, and has no status."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (exchange.status, exchange.outcome, exchange.route, exchange.identity) == (0, Outcome.FAILED, None, None)


def test_exchanges_share_nothing() -> None:
    first, second = (exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(2))
    first.fields.append((b"a", b"b"))
    assert second.fields == []


def test_http10_and_close_are_told_by_the_head() -> None:
    assert exchange_of(b"GET / HTTP/1.0\r\n\r\n").http10
    assert exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").close
