"""Answers, whole and cut anywhere: what is a head, a body, an end, and what is refused."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Reason
from proxy.core.headers import RawHeaders
from proxy.upstream.answer import BODY, BROKEN, DONE, FIELDS_LIMIT, HEAD, HEAD_LIMIT, INTERIM_LIMIT, AnswerReader


class NoSource:
    def reader_waits(self) -> None: ...
    def reader_took(self) -> None: ...
    def abort(self) -> None: ...


@dataclass
class Read:
    """What became of some bytes. ``reusable`` also means that none came after the end."""

    state: int
    reason: Reason | None
    status: int | None
    phrase: bytes
    headers: RawHeaders
    body: bytes
    reusable: bool
    interims: list[tuple[int, RawHeaders]]


def read(*pieces: bytes, head_request: bool = False, eof: bool = False) -> Read:
    interims: list[tuple[int, RawHeaders]] = []
    reader = AnswerReader(NoSource())
    reader.begin(head_request=head_request, on_interim=lambda status, headers: interims.append((status, headers)))
    state = HEAD
    left = False
    for piece in pieces:
        if state in (DONE, BROKEN):
            left = left or bool(piece)
        elif piece:
            state = reader.feed(piece)
    if eof and state in (HEAD, BODY):
        state = reader.end()
    response = reader.response
    broken = state == BROKEN
    return Read(
        state,
        reader.fault.reason if reader.fault else None,
        response.status if response else None,
        response.reason if response else b"",
        response.headers if response else [],
        response.take() if response else b"",
        reader.reusable and not left and not broken,
        interims,
    )


def test_an_answer_is_its_bytes() -> None:
    """Status, phrase, fields in order and in their own spelling, and the body."""
    got = read(
        b"HTTP/1.1 200 Quite Fine\r\nX-b: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok"
    )
    assert (got.state, got.status, got.phrase, got.body, got.reusable) == (DONE, 200, b"Quite Fine", b"ok", True)
    assert got.headers == [(b"X-b", b"1"), (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"Content-Length", b"2")]


@pytest.mark.parametrize("phrase", [b"", b" "])
def test_a_reason_phrase_may_be_empty(phrase: bytes) -> None:
    got = read(b"HTTP/1.1 200" + phrase + b"\r\nContent-Length: 0\r\n\r\n")
    assert (got.state, got.phrase) == (DONE, b"")


def test_obs_text_passes_intact() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 0\r\n\r\n").headers[0] == (b"X", b"caf\xe9")


# --- 53, 54: interim answers ---------------------------------------------------------------------------------------


def test_53_interim_answers_are_told_and_never_final() -> None:
    got = read(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    assert got.interims == [(103, [(b"Link", b"</a.css>")]), (102, [])]
    assert (got.status, got.headers, got.body, got.reusable) == (200, [(b"Content-Length", b"2")], b"ok", True)


def test_53_interim_answers_are_bounded() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert read(interim * INTERIM_LIMIT + final).state == DONE
    assert read(interim * (INTERIM_LIMIT + 1) + final).reason is Reason.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("fields", [b"", b"Connection: upgrade\r\nUpgrade: websocket\r\n"])
def test_54_a_101_was_not_asked_for(fields: bytes) -> None:
    got = read(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\nraw")
    assert (got.state, got.reason, got.status, got.reusable) == (BROKEN, Reason.UPSTREAM_PROTOCOL, None, False)


def test_an_interim_answer_cannot_change_the_version() -> None:
    got = read(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert got.reason is Reason.UPSTREAM_PROTOCOL


# --- 58: no body, whatever the fields say --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("framing", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_58_204_and_304_have_no_body(status: bytes, framing: bytes) -> None:
    got = read(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n")
    assert (got.state, got.body, got.reusable) == (DONE, b"", True)


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_58_an_answer_to_head_has_no_body(framing: bytes) -> None:
    """Its length is kept in the fields, and the connection serves on."""
    got = read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", head_request=True)
    assert (got.state, got.body, got.reusable) == (DONE, b"", True)


@pytest.mark.parametrize(
    "after", [b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"x\r\n\r\n"]
)
@pytest.mark.parametrize("framing", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_58_a_body_after_head_spoils_the_connection(framing: bytes, after: bytes) -> None:
    got = read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + after, head_request=True)
    assert (got.status, got.body) == (200, b"")
    assert not got.reusable


def test_58_the_parser_starts_afresh_after_head() -> None:
    """The half-fed parser of a HEAD does not swallow the next answer as a body."""
    reader = AnswerReader(NoSource())
    reader.begin(head_request=True, on_interim=None)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n") == DONE
    assert reader.reusable
    reader.begin(head_request=False, on_interim=None)
    assert reader.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno") == DONE
    assert reader.response is not None
    assert (reader.response.status, reader.response.take()) == (404, b"no")


# --- 59: bad framing and bad fields --------------------------------------------------------------------------------

BAD = {
    "cl and te": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "te and cl": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "cl and te identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
    "cls differ": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "cl listed": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "cl signed": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "cl negative": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "cl hexadecimal": b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    "cl with underscore": b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
    "cl empty": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "cl overflowing": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
    "te not alone": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "te chunked not last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok",
    "te twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te unknown": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok",
    "te empty": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\nok",
    "te in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "te in 1.0 after 103": b"HTTP/1.1 103 E\r\n\r\nHTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space before colon": b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
    "space before the first field": b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok",
    "name invalid": b"HTTP/1.1 200 OK\r\nX(y): a\r\nContent-Length: 2\r\n\r\nok",
    "name empty": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
    "name not ASCII": b"HTTP/1.1 200 OK\r\nX\xe9: a\r\nContent-Length: 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nXa\r\nContent-Length: 2\r\n\r\nok",
    "value with NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "value with CTL": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok",
    "value with bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "phrase with NUL": b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
    "phrase with DEL": b"HTTP/1.1 200 O\x7fK\r\nContent-Length: 2\r\n\r\nok",
    "phrase with bare CR": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status under 100": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "other protocol": b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no head at all": b"<html>hello</html>",
}

BAD_CHUNKS = {
    "size with prefix": b"0x2\r\nok\r\n0\r\n\r\n",
    "size negative": b"-2\r\nok\r\n0\r\n\r\n",
    "size with space": b"2 \r\nok\r\n0\r\n\r\n",
    "size overflowing": b"fffffffffffffffff\r\nok\r\n0\r\n\r\n",
    "size missing": b"\r\nok\r\n0\r\n\r\n",
    "bare LF after size": b"2\nok\r\n0\r\n\r\n",
    "bare LF after data": b"2\r\nok\n0\r\n\r\n",
    "data longer than its size": b"2\r\nokay\r\n0\r\n\r\n",
    "trailer malformed": b"2\r\nok\r\n0\r\nX y\r\n\r\n",
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_59_a_bad_head_is_refused(answer: bytes) -> None:
    """No answer comes of it, and its connection serves no more; the end of the stream makes it no better."""
    got = read(answer, eof=True)
    assert (got.state, got.reason, got.status, got.reusable) == (BROKEN, Reason.UPSTREAM_PROTOCOL, None, False)


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_59_a_bad_chunk_breaks_the_body(body: bytes) -> None:
    got = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert (got.state, got.reason, got.reusable) == (BROKEN, Reason.UPSTREAM_PROTOCOL, False)


def test_59_identical_lengths_are_refused_too() -> None:
    """RFC 9112 §6.3 allows to take them for one; the parser does not, and nobody misses it."""
    got = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
    assert got.reason is Reason.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    "after", [b"!", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTT", b"\r\n\r\nHTTP/1.1 200 OK"]
)
@pytest.mark.parametrize(
    "last", [b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_59_what_follows_the_end_spoils_the_connection(close: bytes, last: bytes, after: bytes) -> None:
    """A body longer than its length, a second answer, or a part of one: this answer is good, no other will be."""
    got = read(b"HTTP/1.1 200 OK\r\n" + close + last + after)
    assert (got.state, got.status, got.body, got.reusable) == (DONE, 200, b"ok", False)


# --- bounds --------------------------------------------------------------------------------------------------------


def test_the_number_of_fields_is_bounded() -> None:
    fields = b"X: y\r\n" * (FIELDS_LIMIT - 1)
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n").state == DONE
    got = read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nY: z\r\n" + fields + b"\r\n")
    assert got.reason is Reason.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("cut", [None, 1000])
def test_the_size_of_a_head_is_bounded(cut: int | None) -> None:
    """In one segment, or field by field, or inside one endless field; a large body beside it does not count."""
    size = cut or 1 << 20
    good = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nX: " + b"x" * (HEAD_LIMIT - 2000) + b"\r\n\r\n" + b"b" * 200_000
    )
    bad = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + b"x" * HEAD_LIMIT + b"\r\n\r\nok"
    assert read(*(good[at : at + size] for at in range(0, len(good), size))).state == DONE
    got = read(*(bad[at : at + size] for at in range(0, len(bad), size)))
    assert got.reason is Reason.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"2;ext="])
def test_13_15_extensions_and_trailers_are_bounded(endless: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    got = read(head, endless, *[b"x" * 1000] * (HEAD_LIMIT // 1000 + 1))
    assert (got.state, got.reason) == (BROKEN, Reason.UPSTREAM_PROTOCOL)


def test_66_trailers_are_dropped() -> None:
    """They become no fields of the answer; chunk extensions go as well."""
    trailers = b"X-Check: 1\r\nSet-Cookie: a=b\r\nConnection: close\r\n"
    got = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n" + trailers + b"\r\n")
    assert (got.state, got.body, got.reusable) == (DONE, b"ok", True)
    assert got.headers == [(b"Transfer-Encoding", b"chunked")]


def test_66_a_trailer_cannot_be_framing() -> None:
    got = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n")
    assert (got.state, got.reason) == (BROKEN, Reason.UPSTREAM_PROTOCOL)


# --- the end -------------------------------------------------------------------------------------------------------


def test_64_a_body_without_a_length_ends_with_the_connection() -> None:
    got = read(b"HTTP/1.1 200 OK\r\n\r\nok", eof=True)
    assert (got.state, got.body, got.reusable) == (DONE, b"ok", False)


@pytest.mark.parametrize(
    "cut_short",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    ],
)
def test_60_an_end_before_its_time_is_a_reset(cut_short: bytes) -> None:
    got = read(cut_short, eof=True)
    assert (got.state, got.reason) == (BROKEN, Reason.UPSTREAM_RESET)


PERSISTENCE = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
]


@pytest.mark.parametrize("head_request", [False, True])
@pytest.mark.parametrize(("answer", "persists"), PERSISTENCE)
def test_an_answer_says_whether_its_connection_serves_on(answer: bytes, persists: bool, head_request: bool) -> None:
    """RFC 9112 §9.3: HTTP/1.1 unless it says close, HTTP/1.0 only if it says keep-alive."""
    assert read(answer, head_request=head_request).reusable is persists


# --- segmentation --------------------------------------------------------------------------------------------------

GOOD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\nyou\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nX: \xe9\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
]


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    answer=st.sampled_from([*GOOD, *BAD.values()]),
    cuts=st.lists(st.integers(0, 130), max_size=12),
    head_request=st.booleans(),
    eof=st.booleans(),
)
def test_the_same_bytes_cut_anywhere_are_the_same_answer(
    answer: bytes, cuts: list[int], head_request: bool, eof: bool
) -> None:
    edges = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    pieces = [answer[start:end] for start, end in pairwise(edges)]
    assert read(*pieces, head_request=head_request, eof=eof) == read(answer, head_request=head_request, eof=eof)


@pytest.mark.parametrize("answer", [*GOOD, *BAD.values()])
def test_byte_by_byte_is_the_same_answer(answer: bytes) -> None:
    assert read(*(answer[at : at + 1] for at in range(len(answer)))) == read(answer)
