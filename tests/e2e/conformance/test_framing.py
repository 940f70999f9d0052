"""Conformance 1 to 19: how a request is delimited, and what its fields may be (RFC 9112 §5 to §7)."""

import pytest

from tests.e2e.conformance.wire import (
    SMUGGLED,
    forwarded,
    reached,
    refused,
    request,
    talk,
    within,
)
from tests.e2e.gateway import Client, Gateway, once
from tests.e2e.origin import Exchange, Origin, read_body

GET = b"GET /app/x HTTP/1.1"
POST = b"POST /app/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
ABC = b"3\r\nabc\r\n0\r\n\r\n"


def cases(table: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in table.items()])


async def refused_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    assert (await refused(gateway, origin, data)).status == 400


@cases(
    {
        "length-first": request(POST, b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
        "coding-first": request(POST, CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
        "length-hides-a-request": request(POST, b"Content-Length: 4", CHUNKED, body=ABC),
        "chunks-hide-a-request": request(POST, CHUNKED, b"Content-Length: 100", body=b"0\r\n\r\n"),
    }
)
async def test_01_cl_and_te_together_is_400_and_closes(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Two lengths are one too many (§6.3): no matter which of them would hold."""
    await refused_400(gateway, origin, data)


@cases(
    {
        "differing": request(POST, b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
        "listed": request(POST, b"Content-Length: 3, 4", body=b"abcd"),
        "listed-the-same": request(POST, b"Content-Length: 3, 3", body=b"abc"),
    }
)
async def test_02_differing_or_listed_content_lengths_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """A Content-Length is one number (§6.3)."""
    await refused_400(gateway, origin, data)


async def test_03_identical_duplicate_content_lengths_are_400(gateway: Gateway, origin: Origin) -> None:
    """They may be merged or refused (§6.3); refused they are."""
    await refused_400(gateway, origin, request(POST, b"Content-Length: 3", b"Content-Length: 3", body=b"abc"))


@cases(
    {
        value.decode() or "empty": request(POST, b"Content-Length: " + value, body=b"abc")
        for value in (
            b"",
            b"+3",
            b"-3",
            b"0x3",
            b"1_0",
            b"3.0",
            b"3 3",
            b"3;",
            b'"3"',
            b"3e0",
            b"18446744073709551616",
            b"9" * 40,
        )
    }
)
async def test_04_content_length_is_digits_only(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """No sign, hexadecimal, underscore, fraction, emptiness or overflow (RFC 9110 §8.6)."""
    await refused_400(gateway, origin, data)


async def test_04_white_space_around_content_length_is_no_part_of_it(gateway: Gateway, origin: Origin) -> None:
    """What goes on is made anew, without it."""
    _, seen = await forwarded(gateway, origin, request(POST, b"Content-Length: \t 3 ", body=b"abc"))
    assert seen.all("Content-Length") == ["3"]
    assert seen.body == b"abc"


@cases(
    {
        "not-last": request(POST, b"Transfer-Encoding: chunked, gzip", body=ABC),
        "not-last-in-two-fields": request(POST, CHUNKED, b"Transfer-Encoding: gzip", body=ABC),
        "twice": request(POST, b"Transfer-Encoding: chunked, chunked", body=ABC),
        "twice-in-two-fields": request(POST, CHUNKED, CHUNKED, body=ABC),
        "with-a-parameter": request(POST, b"Transfer-Encoding: chunked;q=1", body=ABC),
        "comma-behind": request(POST, b"Transfer-Encoding: chunked,", body=ABC),
    }
)
async def test_05_chunked_not_last_or_twice_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Chunked is the last coding, and applied once (§6.1)."""
    await refused_400(gateway, origin, data)


@cases(
    {
        value.decode("latin-1").strip("\t\x0b") or "empty": request(POST, b"Transfer-Encoding: " + value, body=ABC)
        for value in (
            b"gzip",
            b"gzip, chunked",
            b"identity",
            b"xchunked",
            b'"chunked"',
            b",chunked",
            b"chu nked",
            b"chunked\xff",
            b"\x0bchunked",
            b"",
        )
    }
)
async def test_06_unknown_transfer_codings_are_501_or_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """The gateway knows chunked and no other (§6.1)."""
    assert (await refused(gateway, origin, data)).status in (400, 501)


async def test_06_chunked_in_any_case_is_chunked(gateway: Gateway, origin: Origin) -> None:
    _, seen = await forwarded(gateway, origin, request(POST, b"transfer-encoding: ChunKed", body=ABC))
    assert seen.body == b"abc"


@pytest.mark.parametrize("fields", [(CHUNKED,), (CHUNKED, b"Connection: keep-alive")], ids=["plain", "keep-alive"])
async def test_07_te_on_http_1_0_is_400_and_closes(gateway: Gateway, origin: Origin, fields: tuple[bytes, ...]) -> None:
    """Someone between here and a sender of that age would not know where the message ends (§6.1)."""
    await refused_400(gateway, origin, request(b"POST /app/x HTTP/1.0", *fields, body=ABC))


@cases(
    {
        "space": request(POST, b"Content-Length : 3", body=b"abc"),
        "tab": request(POST, b"Transfer-Encoding\t: chunked", body=ABC),
        "vertical-tab": request(POST, b"Content-Length\x0b: 3", body=b"abc"),
    }
)
async def test_08_white_space_before_the_colon_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Servers disagree on which field it is (§5.1)."""
    await refused_400(gateway, origin, data)


@cases(
    {
        "value": request(GET, b"X: a\r\n b"),
        "length": request(POST, b"Content-Length:\r\n 3", body=b"abc"),
        "coding": request(POST, b"Transfer-Encoding:\r\n\tchunked", body=ABC),
        "after-host": b"GET /app/x HTTP/1.1\r\nHost: app.test\r\n X: y\r\n\r\n",
    }
)
async def test_09_obs_fold_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """§5.2."""
    await refused_400(gateway, origin, data)


@cases({f"{byte:02x}": request(GET, b"X: a" + bytes((byte,)) + b"b") for byte in (*range(9), 11, *range(13, 32), 127)})
async def test_10_cr_nul_and_controls_in_a_value_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """All controls but the tab (RFC 9110 §5.5)."""
    await refused_400(gateway, origin, data)


@cases(
    {
        "request-line": b"GET /app/x HTTP/1.1\nHost: app.test\r\n\r\n",
        "field": b"GET /app/x HTTP/1.1\r\nHost: app.test\nX: y\r\n\r\n",
        "empty-line": b"GET /app/x HTTP/1.1\r\nHost: app.test\r\n\n",
        "all": b"GET /app/x HTTP/1.1\nHost: app.test\n\n",
        "chunk-size": request(POST, CHUNKED, body=b"3\nabc\r\n0\r\n\r\n"),
        "chunk-extension": request(POST, CHUNKED, body=b"3;a\nabc\r\n0\r\n\r\n"),
        "chunk-data": request(POST, CHUNKED, body=b"3\r\nabc\n0\r\n\r\n"),
        "last-chunk": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\n\r\n"),
        "trailer": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nX: y\n\r\n"),
    }
)
async def test_11_bare_lf_is_refused_in_chunk_lines_too(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """A line ends with CRLF; what takes LF alone disagrees with what does not (§2.2)."""
    await refused_400(gateway, origin, data)


@cases(
    {
        size.decode() or "empty": request(POST, CHUNKED, body=size + b"\r\nabc\r\n0\r\n\r\n")
        for size in (b"", b"0x3", b"+3", b"-3", b" 3", b"3 ", b"3\t", b"3g", b"3_", b"f" * 16 + b"3", b"3\r")
    }
)
async def test_12_chunk_sizes_are_strict_and_bounded(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Hexadecimal digits and nothing else, 64 bits at the most (§7.1)."""
    await refused_400(gateway, origin, data)


async def test_12_a_chunk_size_that_breaks_in_a_later_segment_is_400_at_once(gateway: Gateway, origin: Origin) -> None:
    """The upload is under way by then: it never looks complete, and nobody waits for the body's deadline."""

    async def wait_for_body(exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)

    origin.answers["/app/x"] = wait_for_body
    start, rest = request(POST, CHUNKED, body=b"3\r\nabc\r\n"), b"zz\r\nabc\r\n0\r\n\r\n"
    told = await talk(gateway, start, rest + SMUGGLED, gap_s=0.1, within_s=5)
    assert told.statuses == [400]
    assert [seen.request_line for seen in await reached(gateway, origin)] == ["POST /app/x HTTP/1.1"]


async def test_13_chunk_extensions_are_dropped(gateway: Gateway, origin: Origin) -> None:
    """§7.1.1: a recipient ignores those it does not know, and none are passed on."""
    chunks = b'1;name=value\r\na\r\n2;q="a;b"\r\nbc\r\n0;end\r\n\r\n'

    async def record(exchange: Exchange) -> None:
        raw.append(await exchange.reader.readuntil(b"0\r\n\r\n"))
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    raw: list[bytes] = []
    origin.answers["/app/x"] = record
    async with await Client.connect(gateway) as client:
        await client.send(request(POST, CHUNKED))
        await within(lambda: origin.seen)
        await client.send(chunks)
        assert (await client.answer()).status == 200
    assert b";" not in raw[0]
    assert b"name" not in raw[0]


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 8190 + b"\r\na\r\n", b"x" * 8192], ids=["many", "one"])
async def test_13_chunk_extensions_are_bounded(gateway: Gateway, origin: Origin, endless: bytes) -> None:
    """A body that is mostly framing is refused long before it is read to its end."""
    parts = [request(POST, CHUNKED, body=b"1;"), *[endless] * 512]
    told = await talk(gateway, *parts, within_s=10)
    assert told.statuses in ([400], [])  # the answer may be lost to the reset of what was still being sent
    assert "/app/x" not in [seen.request_line.split(" ")[1] for seen in origin.seen if seen.body]


@pytest.mark.parametrize(
    "start",
    [
        request(POST, CHUNKED, body=b"3\r\nabc\r\n"),
        request(POST, CHUNKED, body=b"5\r\nabc"),
        request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\n"),
        request(POST, b"Content-Length: 5", body=b"abc"),
    ],
    ids=["between-chunks", "in-a-chunk", "before-the-last-line", "length"],
)
@pytest.mark.parametrize("leaves", ["closes", "half-closes"])
async def test_14_a_body_cut_short_never_looks_complete(
    gateway: Gateway, origin: Origin, start: bytes, leaves: str
) -> None:
    """The origin's connection is dropped inside the body, as the client's was (§8)."""
    ended: list[bytes] = []

    async def read(exchange: Exchange) -> None:
        ended.append(await exchange.rest())

    origin.answers["/app/x"] = read
    async with await Client.connect(gateway) as client:
        await client.send(start)
        await within(lambda: origin.seen)
        if leaves == "half-closes":
            client.writer.write_eof()
            assert await client.closed()
    await within(lambda: ended or not origin.open_connections)
    for body in ended:
        assert not body.endswith(b"0\r\n\r\n")
        assert len(body) < 5 or CHUNKED in start


async def test_15_trailers_are_never_framing_auth_or_routing(gateway: Gateway, origin: Origin) -> None:
    """Fields after the body are dropped (RFC 9110 §6.5.1): they authorise nothing and reach nobody."""
    trailers = b"0\r\nX-Trailer: v\r\nAuthorization: Bearer x\r\nX-User-ID: root\r\nHost: other.test\r\n\r\n"
    _, seen = await forwarded(gateway, origin, request(POST, CHUNKED, body=b"3\r\nabc\r\n" + trailers))
    assert seen.body == b"abc"
    for word in (b"X-Trailer", b"Bearer", b"other.test", b"root"):
        assert word not in seen.head
    private = request(b"POST /private/x HTTP/1.1", CHUNKED, body=b"3\r\nabc\r\n" + trailers)
    assert (await once(gateway, private)).status == 401


@cases(
    {
        "length": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nContent-Length: 7\r\n\r\n"),
        "coding": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n"),
        "host": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nHost: other.test\r\nX: y\r\n\r\n"),
        "malformed": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nX Y: v\r\n\r\n"),
    }
)
async def test_15_trailers_that_pretend_to_frame_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    await refused_400(gateway, origin, data)


@cases(
    {
        "one": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\nX: " + b"v" * 20_000 + b"\r\n\r\n"),
        "many": request(POST, CHUNKED, body=b"3\r\nabc\r\n0\r\n" + b"X: v\r\n" * 200 + b"\r\n"),
    }
)
async def test_15_trailers_are_bounded(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """By the same limits as the header section."""
    assert (await refused(gateway, origin, data)).status == 431


@cases(
    {
        name.decode("latin-1") or "empty": request(GET, name + b": a")
        for name in (b"", b"X Y", b"X\xe9", b"X(Y)", b"X/Y", b"X@Y", b'X"', b"X\x00", b"[X]", b"X{", b"X\x01", b"X,Y")
    }
    | {"no-colon": request(GET, b"X")}
)
async def test_16_bad_empty_or_non_ascii_field_names_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """A name is a token (RFC 9110 §5.1)."""
    await refused_400(gateway, origin, data)


@pytest.mark.parametrize(
    "value", [b"caf\xc3\xa9", b"caf\xe9", b"\xff\xfe", b"a\tb"], ids=["utf8", "latin1", "ff", "tab"]
)
async def test_17_obs_text_in_values_goes_on_intact(gateway: Gateway, origin: Origin, value: bytes) -> None:
    """Opaque bytes (RFC 9110 §5.5): the same in as out, both ways."""
    origin.answers["/app/x"] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Back: " + value + b"\r\n\r\n"
    answer, seen = await forwarded(gateway, origin, request(GET, b"X-Opaque: " + value))
    assert b"\r\nX-Opaque: " + value + b"\r\n" in seen.head
    assert answer.get("X-Back") == value.decode("latin-1")


async def test_18_underscore_twins_are_dropped(gateway: Gateway, origin: Origin) -> None:
    """``X_User_ID`` is ``X-User-ID`` to CGI and to many frameworks: no name with an underscore goes on."""
    twins = (
        b"Transfer_Encoding: chunked",
        b"Content_Length: 7",
        b"X_Forwarded_For: 1.1.1.1",
        b"X_User_ID: root",
        b"X_Tenant-ID: acme",
        b"Harmless_Name: v",
    )
    _, seen = await forwarded(gateway, origin, request(POST, *twins, b"Content-Length: 3", body=b"abc"))
    assert not [name for name, _ in seen.headers if "_" in name]
    assert seen.body == b"abc"
    for word in (b"root", b"acme", b"1.1.1.1"):
        assert word not in seen.head


@cases(
    {
        "host": b"GET /app/x HTTP/1.1\r\n Host: app.test\r\n\r\n",
        "another": b"GET /app/x HTTP/1.1\r\n X: y\r\nHost: app.test\r\n\r\n",
        "tab": b"GET /app/x HTTP/1.1\r\n\tX: y\r\nHost: app.test\r\n\r\n",
    }
)
async def test_19_white_space_before_the_first_field_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """§2.2: or a field hides in what others read as part of the request line."""
    await refused_400(gateway, origin, data)
