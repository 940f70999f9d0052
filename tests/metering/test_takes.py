"""The widths of sub-windows and the bytes that go to the script and come back."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.takes import (
    LEAST_WIDTHS,
    REPLY_HEAD,
    Ask,
    Outcome,
    ReplyFlag,
    Take,
    answer_struct,
    pack_whole,
    unpack_reply,
    window_width,
)
from proxy.policy.model import MeterKind


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 366 * 86_400_000))
def test_widths_are_powers_of_two_and_fine_enough(window_ms: int) -> None:
    """So they nest, and at most 2% of a window is lost to them; a store never holds more than 102 of one window."""
    width = window_width(window_ms, exact=False)
    assert width & (width - 1) == 0
    assert width == 1 or width * LEAST_WIDTHS <= window_ms < 2 * width * LEAST_WIDTHS
    assert window_width(window_ms, exact=True) == 1


def test_a_key_travels_once_however_often_it_is_taken_from() -> None:
    takes = [Take(key, MeterKind.WINDOW, False, 1, 2, 60_000, 1) for key in (b"a", b"b", b"a")]
    keys, packed = pack_whole(7, [Ask(takes[:2]), Ask(takes[2:], 5, b"l" * 16)], memory_ms=9)
    assert keys == [b"a", b"b"]
    assert struct.unpack_from("<BHddd", packed) == (1, 2, 7, 0, 9)
    take_bytes = 2 + 5 * 8
    assert len(packed) == 27 + (10 + 2 * 2 + 2 * take_bytes) + (10 + 16 + 2 + take_bytes)


def test_a_reply_is_read_by_the_sizes_asked_for() -> None:
    head = struct.pack("<BBHd", 1, 2, 2, 123.0)
    assert len(head) == REPLY_HEAD
    body = answer_struct(1).pack(1, 0, 5, 6) + answer_struct(0).pack(4)
    reply = unpack_reply(head + body, [1, 0])
    assert (reply.flags, reply.clock_ms) == (ReplyFlag.CLOCK_CLAMPED, 123)
    assert [(answer.outcome, answer.meters) for answer in reply.answers] == [
        (Outcome.ADMITTED, (0, 5, 6)),
        (Outcome.EXPIRED, ()),
    ]
