"""The heads of answers that the gateway makes itself."""

import pytest

from proxy.gateway.handler import own_head


@pytest.mark.parametrize(
    ("length", "close", "expected"),
    [
        (2, False, b"Content-Length: 2\r\n"),
        (None, True, b"Connection: close\r\n"),
        (0, True, b"Content-Length: 0\r\nConnection: close\r\n"),
    ],
)
def test_own_heads_are_framed(length: int | None, close: bool, expected: bytes) -> None:
    """A 204 has no length; what closes says so; each head ends once."""
    head = own_head(204 if length is None else 200, "r1", [(b"A", b"b")], length, close)
    assert head.startswith(b"HTTP/1.1 20")
    assert b"X-Request-ID: r1\r\n" in head
    assert b"\r\nDate: " in head
    assert head.endswith(b"A: b\r\n" + expected + b"\r\n")
    assert head.count(b"\r\n\r\n") == 1
