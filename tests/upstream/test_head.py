"""Heads that go on: what is stripped, what is kept byte for byte, what can't be smuggled in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import GatewayError, Reason
from proxy.core.headers import FORWARDING, HOP_BY_HOP
from proxy.upstream.framing import CHUNKED, KEEP_LENGTH, NO_BODY
from proxy.upstream.head import (
    MEMO_LIMIT,
    MEMO_NAME,
    RequestHeads,
    ResponseHeads,
    block_of,
    forwards_left,
    standard_reason,
    via_contains,
    via_extended,
)

Raw = list[tuple[bytes, bytes]]
NONE: Raw = []


def request(
    raw: Raw, *, method: bytes = b"GET", add: Raw = NONE, framing: int = NO_BODY, drop: bytes = b""
) -> list[bytes]:
    heads = RequestHeads(frozenset(drop.split()))
    first = heads.build(method, b"/a?b", raw, host=b"app.example", add=add, framing=framing)
    again = heads.build(method, b"/a?b", raw, host=b"app.example", add=add, framing=framing)
    assert first == again, "what the memo remembers is what was decided"
    lines = first.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert lines[:2] == [method + b" /a?b HTTP/1.1", b"Host: app.example"]
    return lines[2:]


def answer(raw: Raw, *, add: Raw = NONE, framing: int = NO_BODY, drop: bytes = b"") -> list[bytes]:
    head = ResponseHeads(frozenset(drop.split())).build(200, b"OK", raw, add=add, framing=framing)
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    return lines[1:]


# --- requests ------------------------------------------------------------------------------------------------------


def test_fields_go_on_byte_for_byte_in_order() -> None:
    raw = [(b"aCCept", b"*/*"), (b"X-A", b" two  words\t"), (b"Cookie", b"a=1"), (b"cookie", b"b=\xe9"), (b"X-A", b"")]
    assert request(raw) == [b"aCCept: */*", b"X-A:  two  words\t", b"Cookie: a=1", b"cookie: b=\xe9", b"X-A: "]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | FORWARDING | {b"host", b"expect", b"x-forwarded-anything"}))
def test_42_hop_by_hop_and_rebuilt_fields_stop(name: bytes) -> None:
    """Proxy-*, Keep-Alive, HTTP2-Settings and Upgrade (55) too, in any case."""
    assert request([(name.title(), b"x"), (name.upper(), b"x"), (b"Y", b"y")]) == [b"Y: y"]


@pytest.mark.parametrize("connection", [b"X-Secret", b"close, x-secret", b"keep-alive,\tX-SECRET ,"])
def test_41_fields_named_by_connection_stop(connection: bytes) -> None:
    raw = [(b"X-Secret", b"1"), (b"Connection", connection), (b"x-secret", b"2"), (b"X-Other", b"3")]
    assert request(raw) == [b"X-Other: 3"]
    assert answer(raw) == [b"X-Other: 3"]


def test_where_only_some_fields_go_on_all_others_stop() -> None:
    heads = RequestHeads(frozenset({b"b"}), only=frozenset({b"a", b"b"}), only_prefixes=(b"x-ours-",))
    raw = [(b"A", b"1"), (b"B", b"2"), (b"C", b"3"), (b"X-Ours-1", b"4"), (b"x_ours_1", b"5"), (b"Max-Forwards", b"6")]
    for _ in range(2):
        head = heads.build(b"GET", b"/", raw, host=b"h", add=[(b"C", b"ours")], framing=NO_BODY)
        assert head == b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nX-Ours-1: 4\r\nC: ours\r\n\r\n"


def test_41_every_connection_field_counts() -> None:
    raw = [(b"Connection", b"a"), (b"A", b"1"), (b"Connection", b"keep-alive"), (b"Connection", b"b"), (b"B", b"2")]
    assert request(raw) == []
    assert answer(raw) == []


def test_43_connection_cannot_take_away_what_is_ours() -> None:
    """Identity, forwarding fields, Host and the framing come after Connection was obeyed."""
    named = b"x-tenant-id, x-forwarded-for, host, content-length, transfer-encoding, via"
    ours = [(b"X-Tenant-ID", b"acme"), (b"X-Forwarded-For", b"10.0.0.1"), (b"Via", b"1.1 sluicegate")]
    lines = request([(b"Connection", named)], add=ours, framing=3)
    assert lines == [b"X-Tenant-ID: acme", b"X-Forwarded-For: 10.0.0.1", b"Via: 1.1 sluicegate", b"Content-Length: 3"]
    assert answer([(b"Connection", b"x-request-id")], add=[(b"X-Request-Id", b"7")]) == [b"X-Request-Id: 7"]


def test_48_dropped_names_stop_in_any_case() -> None:
    raw = [(b"X-Tenant-ID", b"evil"), (b"x-tenant-id", b"evil"), (b"X-TENANT-ID", b"evil")]
    assert request(raw, add=[(b"X-Tenant-ID", b"acme")], drop=b"x-tenant-id") == [b"X-Tenant-ID: acme"]


@pytest.mark.parametrize("name", [b"X_Tenant_ID", b"Transfer_Encoding", b"Content_Length", b"x-forwarded_for", b"_"])
def test_18_names_with_an_underscore_stop(name: bytes) -> None:
    assert request([(name, b"x")]) == []


@pytest.mark.parametrize(
    ("te", "kept"),
    [
        ([b"trailers"], True),
        ([b" Trailers "], True),
        ([b"trailers, deflate"], False),
        ([b"gzip"], False),
        ([b"trailers", b"gzip"], False),
        ([], False),
    ],
)
def test_44_te_is_kept_for_trailers_alone(te: list[bytes], kept: bool) -> None:
    """And then Connection names it, as RFC 9110 §10.1.4 asks."""
    expected = [b"TE: trailers", b"Connection: TE"] if kept else []
    assert request([(b"TE", value) for value in te] + [(b"Connection", b"TE")]) == expected


@pytest.mark.parametrize(
    ("method", "value", "sent"),
    [
        (b"OPTIONS", b"5", b"4"),
        (b"TRACE", b"1", b"0"),
        (b"OPTIONS", b"0", b"0"),
        (b"GET", b"5", b"5"),
        (b"OPTIONS", b"many", b"many"),
        (b"OPTIONS", b"9" * 5000, b"9999999998"),
    ],
)
def test_46_max_forwards_counts_down_for_options_and_trace(method: bytes, value: bytes, sent: bytes) -> None:
    assert request([(b"Max-Forwards", value)], method=method) == [b"Max-Forwards: " + sent]


def test_46_at_zero_the_request_stops_here() -> None:
    assert forwards_left(b"OPTIONS", [(b"MAX-forwards", b"0")]) == 0
    assert forwards_left(b"OPTIONS", [(b"Max-Forwards", b"3")]) == 3
    assert forwards_left(b"OPTIONS", []) is None
    assert forwards_left(b"OPTIONS", [(b"Max-Forwards", b"-1")]) is None
    assert forwards_left(b"GET", [(b"Max-Forwards", b"0")]) is None


@pytest.mark.parametrize(
    ("framing", "line"),
    [
        (NO_BODY, []),
        (0, [b"Content-Length: 0"]),
        (12, [b"Content-Length: 12"]),
        (CHUNKED, [b"Transfer-Encoding: chunked"]),
    ],
)
def test_framing_is_made_anew(framing: int, line: list[bytes]) -> None:
    theirs = [(b"Content-Length", b"99"), (b"Transfer-Encoding", b"gzip, chunked"), (b"content-length", b"98")]
    assert request(theirs, framing=framing) == line
    assert answer(theirs, framing=framing) == line


@pytest.mark.parametrize("poison", [b"a\r\nEvil: 1", b"a\nEvil: 1", b"a\rEvil: 1", b"a\0", b"\r\n\r\nGET / HTTP/1.1"])
def test_10_no_part_of_a_head_can_hold_a_line_end_or_nul(poison: bytes) -> None:
    """Not a value, a name, the target, the method, the host, one of ours, the reason."""
    heads, answers = RequestHeads(), ResponseHeads()
    builds = [
        lambda: heads.build(b"GET", b"/", [(b"X", poison)], host=b"h", add=(), framing=0),
        lambda: heads.build(b"GET", b"/", [(poison, b"x")], host=b"h", add=(), framing=0),
        lambda: heads.build(b"GET", poison, [], host=b"h", add=(), framing=0),
        lambda: heads.build(poison, b"/", [], host=b"h", add=(), framing=0),
        lambda: heads.build(b"GET", b"/", [], host=poison, add=(), framing=0),
        lambda: heads.build(b"GET", b"/", [], host=b"h", add=[(b"X", poison)], framing=0),
        lambda: heads.build(b"GET", b"/", [], host=b"h", add=[(poison, b"x")], framing=0),
    ]
    for build in builds:
        with pytest.raises(GatewayError) as caught:
            build()
        assert caught.value.reason is Reason.MALFORMED
    for reason, raw, add in [(poison, [], []), (b"OK", [(b"X", poison)], []), (b"OK", [], [(b"X", poison)])]:
        with pytest.raises(GatewayError) as caught:
            answers.build(200, reason, raw, add=add, framing=KEEP_LENGTH)
        assert caught.value.reason is Reason.UPSTREAM_PROTOCOL


def test_the_memo_is_bounded() -> None:
    heads = RequestHeads()
    for number in range(MEMO_LIMIT + 100):
        heads.build(b"GET", b"/", [(b"X-%d" % number, b"y")], host=b"h", add=(), framing=NO_BODY)
    assert len(heads._memo) == MEMO_LIMIT
    long = RequestHeads()
    long.build(b"GET", b"/", [(b"X" * (MEMO_NAME + 1), b"y")], host=b"h", add=(), framing=NO_BODY)
    assert not long._memo
    assert b"\r\nX-New: y\r\n" in heads.build(b"GET", b"/", [(b"X-New", b"y")], host=b"h", add=(), framing=NO_BODY)


# --- answers -------------------------------------------------------------------------------------------------------


def test_51_set_cookie_is_never_joined_and_keeps_its_order() -> None:
    raw = [(b"Set-Cookie", b"a=1; Path=/"), (b"X", b"y"), (b"set-cookie", b"b=2, c"), (b"Set-Cookie", b"a=3")]
    assert answer(raw) == [b"Set-Cookie: a=1; Path=/", b"X: y", b"set-cookie: b=2, c", b"Set-Cookie: a=3"]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_42_hop_by_hop_fields_stop_on_the_way_back(name: bytes) -> None:
    assert answer([(name.title(), b"x"), (b"Y", b"y")]) == [b"Y: y"]


def test_58_the_length_of_a_body_that_is_not_sent_is_kept() -> None:
    raw = [(b"content-length", b"0123"), (b"Connection", b"content-length")]
    assert answer(raw, framing=KEEP_LENGTH) == [b"Content-Length: 0123"]
    assert answer([], framing=KEEP_LENGTH) == []


def test_dropped_names_of_answers_stop() -> None:
    assert answer([(b"RateLimit", b"x"), (b"X", b"y")], drop=b"ratelimit") == [b"X: y"]


def test_a_reason_phrase_goes_on() -> None:
    head = ResponseHeads().build(299, b"Very \xe9 Fine", [], framing=NO_BODY)
    assert head == b"HTTP/1.1 299 Very \xe9 Fine\r\n\r\n"


def test_a_missing_reason_phrase_can_be_had() -> None:
    assert standard_reason(404) == b"Not Found"
    assert standard_reason(799) == b""


# --- via -----------------------------------------------------------------------------------------------------------


def test_45_via_says_each_hop_in_order() -> None:
    assert via_extended([]) == b"1.1 sluicegate"
    assert via_extended([b"1.0 a, 1.1 b", b"2 c"], version=b"1.0") == b"1.0 a, 1.1 b, 2 c, 1.0 sluicegate"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], False),
        ([b"1.1 other"], False),
        ([b"1.1 sluicegate"], True),
        ([b"1.1 a", b"HTTP/1.0 b, 1.1\tSluicegate (edge)"], True),
        ([b"1.1 sluicegate-west"], False),
        ([b"1.1 a (1.1 sluicegate)"], False),
        ([b"sluicegate"], False),
    ],
)
def test_45_a_loop_is_found_by_our_name_in_via(values: list[bytes], found: bool) -> None:
    assert via_contains(values) is found


# --- property ------------------------------------------------------------------------------------------------------

_token = st.text("abcXYZ-!#_", min_size=1, max_size=8).map(str.encode)
_value = st.binary(max_size=10)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    raw=st.lists(st.tuples(st.one_of(_token, _value), _value), max_size=6), target=_value, framing=st.integers(-2, 99)
)
def test_a_head_has_the_lines_it_should_or_is_refused(raw: Raw, target: bytes, framing: int) -> None:
    """Whatever the parts hold: each field passed on is one line of its own, and the empty line is the last."""
    try:
        head = RequestHeads().build(b"GET", target, raw, host=b"h", add=(), framing=framing)
    except GatewayError:
        assert any(
            bad in part for part in (target, *(p for pair in raw for p in pair)) for bad in (b"\r", b"\n", b"\0")
        )
        return
    lines = head.split(b"\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert lines.index(b"") == len(lines) - 2
    theirs = [name + b": " + value for name, value in raw]
    assert all(line in theirs for line in lines[2:-2] if not line.startswith((b"Content-Length", b"Transfer-Encoding")))


def test_48_whole_families_of_fields_can_be_taken_out() -> None:
    """A prefix takes out every name that begins with it, whatever follows and however it is spelled."""
    heads = RequestHeads(prefixes=(b"sluicegate-",))
    fields = [(b"Sluicegate-Tenant", b"acme"), (b"SLUICEGATE-Anything", b"x"), (b"Sluice", b"kept")]
    head = heads.build(b"GET", b"/", fields, host=b"h", add=(), framing=NO_BODY)
    assert head == b"GET / HTTP/1.1\r\nHost: h\r\nSluice: kept\r\n\r\n"


def test_a_date_is_added_where_there_is_none() -> None:
    """However theirs is spelled (RFC 9110 §6.6.1)."""
    heads = ResponseHeads()
    for name in (b"Date", b"date", b"DATE"):
        head = heads.build(200, b"OK", [(name, b"then")], framing=NO_BODY, date=lambda: b"now")
        assert head == b"HTTP/1.1 200 OK\r\nDate: then\r\n\r\n"
    assert heads.build(200, b"OK", [], framing=NO_BODY, date=lambda: b"now").endswith(b"\r\nDate: now\r\n\r\n")


def test_a_field_goes_on_under_another_name() -> None:
    heads = ResponseHeads(rename={b"x-request-id": b"X-Upstream-Request-ID"})
    head = heads.build(200, b"OK", [(b"x-Request-Id", b"7")], add=[(b"X-Request-ID", b"1")], framing=NO_BODY)
    assert head == b"HTTP/1.1 200 OK\r\nX-Upstream-Request-ID: 7\r\nX-Request-ID: 1\r\n\r\n"


def test_a_block_of_fields_is_checked_like_the_rest() -> None:
    """A line end in one of its values is found, however long ago the block was made."""
    build = RequestHeads().build
    good, bad = block_of([(b"X-A", b"1"), (b"X-B", b"2")]), block_of([(b"X-A", b"1\r\nX-Evil: 1")])
    head = build(b"GET", b"/", [], host=b"h", add=(), framing=NO_BODY, block=good)
    assert head == b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: 2\r\n\r\n"
    with pytest.raises(GatewayError):
        build(b"GET", b"/", [], host=b"h", add=(), framing=NO_BODY, block=bad)
