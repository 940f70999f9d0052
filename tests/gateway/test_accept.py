"""What is looked at before anything else. From outside, number by number: tests/e2e/conformance."""

import pytest
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, LineTooLong

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.accept import accept, ends_here, parse_failure
from proxy.gateway.exchange import Exchange
from tests.gateway.conftest import exchange_of


def accepted(line: str, *fields: str, host: str = "app.test") -> Exchange:
    exchange = exchange_of("\r\n".join([line, f"Host: {host}", *fields, "", ""]).encode())
    accept(exchange)
    return exchange


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (LineTooLong(b"GET /...", 100), Reason.URI_TOO_LONG),
        (LineTooLong(b"X: ...", 200), Reason.FIELDS_TOO_LARGE),
        (BadHttpMessage("Too many headers received"), Reason.FIELDS_TOO_LARGE),
        (BadStatusLine("Invalid HTTP version"), Reason.VERSION_UNSUPPORTED),
        (BadHttpMessage("anything else"), Reason.MALFORMED),
        (ValueError("anything else"), Reason.MALFORMED),
    ],
)
def test_the_parsers_refusals_become_ours(exc: Exception, reason: Reason) -> None:
    """All of them close: after a parse error nobody knows where the next request begins."""
    error = parse_failure(exc, max_uri=100)
    assert (error.reason, error.close) == (reason, True)


@pytest.mark.parametrize(
    ("line", "host", "target", "path", "query"),
    [
        ("GET /a?b=c?d HTTP/1.1", "app.test", "/a?b=c?d", "/a", "b=c?d"),
        ("GET http://other.test?q HTTP/1.1", "other.test", "/?q", "/", "q"),
        ("GET https://other.test:8443/x HTTP/1.1", "other.test:8443", "/x", "/x", ""),
        ("OPTIONS * HTTP/1.1", "app.test", "*", "*", ""),
        ("OPTIONS http://other.test HTTP/1.1", "other.test", "*", "*", ""),
    ],
)
def test_targets_in_origin_form(line: str, host: str, target: str, path: str, query: str) -> None:
    """The authority of an absolute form replaces Host (RFC 9112 §3.2.2)."""
    exchange = accepted(line)
    assert (exchange.host, exchange.target, exchange.path, exchange.query) == (host, target, path, query)


def test_http_1_0_always_closes() -> None:
    """Also where it asks for keep-alive, which an intermediary may have passed on unread."""
    assert accepted("GET / HTTP/1.0", "Connection: keep-alive").close
    assert not accepted("GET / HTTP/1.1").close


@pytest.mark.parametrize(
    ("line", "field", "here"),
    [
        ("OPTIONS * HTTP/1.1", "A: b", True),
        ("OPTIONS /x HTTP/1.1", "Max-Forwards: 0", True),
        ("OPTIONS /x HTTP/1.1", "Max-Forwards: 1", False),
        ("OPTIONS /x HTTP/1.1", "A: b", False),
        ("GET /x HTTP/1.1", "Max-Forwards: 0", False),
    ],
)
def test_what_is_asked_of_the_gateway_itself(line: str, field: str, here: bool) -> None:
    assert ends_here(accepted(line, field)) is here


@pytest.mark.parametrize(("size", "fits"), [(16_000, True), (17_000, False)])
def test_fields_are_summed_where_the_connection_had_doubts(size: int, fits: bool) -> None:
    """The sum counts, not what else came in the same read."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"v" * (size // 4 - 5) + b"\r\n") * 4 + b"\r\n")
    exchange.connection.oversized = True
    if fits:
        accept(exchange)
    else:
        with pytest.raises(GatewayError) as refused:
            accept(exchange)
        assert refused.value.reason is Reason.FIELDS_TOO_LARGE


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (("Upgrade: websocket", "Connection: Upgrade"), Reason.UPGRADE_UNSUPPORTED),
        (("Upgrade: h2c", "Connection: Upgrade"), None),
        (("Expect: 100-continue",), None),
        (("Expect: 100-continue", "Expect: other"), Reason.EXPECTATION_FAILED),
    ],
)
def test_upgrades_and_expectations(fields: tuple[str, ...], reason: Reason | None) -> None:
    """h2c is ignored, and the connection closes after: the parser takes no further request on it."""
    if reason is None:
        assert accepted("GET / HTTP/1.1", *fields).close is fields[0].startswith("Upgrade")
        return
    with pytest.raises(GatewayError) as refused:
        accepted("GET / HTTP/1.1", *fields)
    assert (refused.value.reason, refused.value.close) == (reason, True)


@pytest.mark.parametrize(("length", "fits"), [(255, True), (300, False), (8_000, False)])
def test_a_host_is_no_longer_than_a_name_can_be(length: int, fits: bool) -> None:
    """What clients make up is remembered here and there: it must not fill a worker's memory."""
    exchange = exchange_of(f"GET / HTTP/1.1\r\nHost: {'a' * length}\r\n\r\n".encode())
    if fits:
        accept(exchange)
        return
    with pytest.raises(GatewayError) as caught:
        accept(exchange)
    assert caught.value.reason is Reason.BAD_HOST
