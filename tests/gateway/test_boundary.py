"""What is known of a connection's boundaries is true, however its bytes are cut; and the plain case is known."""

import asyncio
from unittest import mock

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.boundary import MOST_BEGUN, Boundary

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
OTHER = b"GET /b?x=%0D%0A HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\r\n"
EMPTY_POST = b"POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
POST = b"POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n\r\n\r\nGET /"
CHUNKED = b"POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n"
REQUESTS = (GET, OTHER, EMPTY_POST, POST, CHUNKED)


def parser(loop):
    return HttpRequestParser(BaseProtocol(loop), loop, 2**16, payload_exception=Exception)


class Stand:
    """A connection's reading side: a real parser, the boundary, and who answers what was parsed."""

    def __init__(self, loop):
        self.parser = parser(loop)
        self.boundary = Boundary()
        self.waiting = 0

    def read(self, data):
        messages, _, _ = self.parser.feed_data(data)
        self.waiting += len(messages)
        last = messages[-1][0] if messages else None
        self.boundary.passed(data, len(messages), last, alone=self.waiting == 1)

    def answer(self):
        """The next in the queue; its whole read, if it is known."""
        self.waiting -= 1
        return self.boundary.take_whole()


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@given(st.data())
def test_no_certainty_is_ever_wrong(data):
    """A read is only taken for a request where it is exactly that one, and a start for a start."""
    sent = data.draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6))
    stream = b"".join(sent)
    ends = [len(b"".join(sent[: count + 1])) for count in range(len(sent))]
    cuts = data.draw(st.lists(st.integers(1, len(stream)), max_size=8) | st.just(ends))
    loop = asyncio.new_event_loop()
    try:
        stand = Stand(loop)
        answered = at = 0
        for end in sorted({*cuts, len(stream)}):
            stand.read(stream[at:end])
            at = end
            assert not stand.boundary.at_start or at in ends
            while stand.waiting and data.draw(st.booleans()):
                whole = stand.answer()
                assert whole in (None, sent[answered])
                answered += 1
    finally:
        loop.close()


def test_requests_that_come_one_by_one_are_known(loop):
    """Also after one with a body."""
    stand = Stand(loop)
    for request in (GET, POST, OTHER, EMPTY_POST, GET):
        assert stand.boundary.at_start
        stand.read(request)
        assert stand.answer() == (None if request is POST else request)
    assert stand.boundary.at_start


def test_a_head_or_a_body_in_two_reads_is_no_end_of_certainty(loop):
    stand = Stand(loop)
    for request in (GET, POST):
        stand.read(request[:-5])
        assert not stand.boundary.at_start
        stand.read(request[-5:])
        assert stand.answer() is None
        assert stand.boundary.at_start
    stand.read(GET)
    assert stand.answer() == GET


@pytest.mark.parametrize("doubt", [CHUNKED, GET + GET, GET + GET[:9], b"\r\n\r\n" + GET])
def test_a_doubt_lasts(loop, doubt):
    stand = Stand(loop)
    stand.read(doubt)
    assert not stand.boundary.at_start
    assert stand.boundary.take_whole() is None
    rest = GET[9:] if doubt == GET + GET[:9] else b""
    if rest:
        stand.read(rest)
    stand.waiting = 0
    stand.read(GET)
    assert stand.answer() is None


def test_the_read_of_one_request_is_never_taken_for_that_of_another(loop):
    """The second came before the first was looked at."""
    stand = Stand(loop)
    stand.read(GET)
    stand.read(OTHER)
    assert stand.answer() is None
    assert stand.answer() is None


def test_a_head_without_end_is_not_kept():
    boundary = Boundary()
    boundary.passed(b"a" * MOST_BEGUN, 0, None, alone=False)
    boundary.passed(b"a", 0, None, alone=False)
    assert not boundary.at_start
    boundary.passed(GET, 1, mock.Mock(), alone=True)
    assert boundary.take_whole() is None
