"""How an answer goes on, and how long its connection lives."""

import pytest

from proxy.core.headers import RawHeaders
from proxy.upstream.framing import (
    CHUNKED,
    KEEP_LENGTH,
    NO_BODY,
    answer_framing,
    idle_limit_s,
    is_chunked_alone,
    is_reason,
    may_persist,
)


@pytest.mark.parametrize(
    ("status", "headers", "head_request", "framing"),
    [
        (200, [(b"content-LENGTH", b"5")], False, KEEP_LENGTH),
        (200, [(b"Transfer-Encoding", b"chunked")], False, CHUNKED),
        (200, [], False, CHUNKED),
        (200, [], True, KEEP_LENGTH),
        (304, [], False, KEEP_LENGTH),
        (204, [(b"Content-Length", b"5")], False, NO_BODY),
        (103, [], False, NO_BODY),
    ],
)
def test_58_how_an_answer_goes_on(status: int, headers: RawHeaders, head_request: bool, framing: int) -> None:
    assert answer_framing(status, headers, head_request=head_request) == framing


@pytest.mark.parametrize(
    ("codings", "http10", "alone"),
    [
        ([b"chunked"], False, True),
        ([b"\tChunked "], False, True),
        ([b"chunked"], True, False),
        ([b"gzip, chunked"], False, False),
        ([b"chunked", b"chunked"], False, False),
        ([b"chunked;q=1"], False, False),
        ([b""], False, False),
    ],
)
def test_59_chunked_is_the_only_coding(codings: list[bytes], http10: bool, alone: bool) -> None:
    assert is_chunked_alone(codings, http10=http10) is alone


@pytest.mark.parametrize(
    ("headers", "http10", "persists"),
    [
        ([], False, True),
        ([], True, False),
        ([(b"connection", b"Keep-Alive")], True, True),
        ([(b"Connection", b"keep-alive"), (b"CONNECTION", b"x,close")], False, False),
        ([(b"Connection", b"keep-alive, close")], True, False),
    ],
)
def test_persistence(headers: RawHeaders, http10: bool, persists: bool) -> None:
    """RFC 9112 §9.3; close wins."""
    assert may_persist(headers, http10=http10) is persists


@pytest.mark.parametrize(
    ("headers", "limit_s"),
    [
        ([], None),
        ([(b"Keep-Alive", b"timeout=5")], 4.0),
        ([(b"keep-alive", b"max=100, timeout = 72")], 71.0),
        ([(b"Keep-Alive", b"timeout=0")], 0.0),
        ([(b"Keep-Alive", b"max=100")], None),
        ([(b"Keep-Alive", b"mytimeout=5")], None),
        ([(b"Keep-Alive", b"timeout=forever")], None),
    ],
)
def test_the_upstreams_own_idle_time_is_known(headers: RawHeaders, limit_s: float | None) -> None:
    """A second less than it says, so that it never closes while a request is on the way."""
    assert idle_limit_s(headers) == limit_s


def test_a_reason_phrase_has_no_controls() -> None:
    assert is_reason(b"Fine \t \xe9")
    assert not any(is_reason(b"a" + bytes([code]) + b"b") for code in (*range(9), *range(10, 32), 127))
