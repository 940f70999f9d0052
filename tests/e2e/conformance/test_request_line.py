"""Conformance 20 to 30: the request line, Host, and how large a request may be (RFC 9112 §3)."""

import gzip

import pytest

from tests.e2e.conformance.test_framing import cases
from tests.e2e.conformance.wire import HOST, SMUGGLED, forwarded, reached, refused, request, talk, within
from tests.e2e.gateway import Client, Gateway, get, once
from tests.e2e.origin import Exchange, Origin

GET = b"GET /app/x HTTP/1.1"
POST = b"POST /app/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
MIB = 2**20


@cases(
    {
        "missing": request(GET, host=b""),
        "empty": request(GET, host=b"Host:\r\n"),
        "double": request(GET, host=b"Host: app.test\r\nHost: other.test\r\n"),
        "double-the-same": request(GET, host=HOST + HOST),
        "double-in-another-case": request(GET, host=b"Host: app.test\r\nhOST: other.test\r\n"),
    }
    | {
        host.decode("latin-1"): request(GET, host=b"Host: " + host + b"\r\n")
        for host in (
            b"a b",
            b"a/b",
            b"user@a",
            b"a,b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:80:90",
            b"a:x",
            b"a:",
            b"a:99999",
            b"a:-1",
            b":80",
            b"%61",
            b"a%00",
            b"a..b",
            b".",
            b"caf\xc3\xa9",
            b"<a>",
            b"http://a",
            b"[::1",
            b"::1",
            b"[::1]x",
            b"[....]",
            b"[fe80::1%25eth0]",
            b"[fe80::1%eth0]",
            b"[1::2::3]",
        )
    }
)
async def test_20_missing_double_or_invalid_host_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Exactly one, and one that all servers read alike (§3.2)."""
    assert (await refused(gateway, origin, data)).status == 400


@pytest.mark.parametrize(
    "host", ["app.test", "app.test:8080", "APP.test.", "my_service", "127.0.0.1", "[::1]:80", "[2001:db8::1]"]
)
async def test_20_valid_hosts_go_on_as_they_came(gateway: Gateway, origin: Origin, host: str) -> None:
    _, seen = await forwarded(gateway, origin, request(GET, host=f"Host: {host}\r\n".encode()))
    assert seen.all("Host") == [host]


async def test_20_http_1_0_may_come_without_host(gateway: Gateway, origin: Origin) -> None:
    """It knew no Host; the upstream is told its own."""
    _, seen = await forwarded(gateway, origin, b"GET /app/x HTTP/1.0\r\n\r\n")
    assert seen.all("Host") == [f"127.0.0.1:{origin.port}"]


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/3.0"])
async def test_21_other_versions_than_1_0_and_1_1_are_505(gateway: Gateway, origin: Origin, version: bytes) -> None:
    """Whoever speaks another means other rules by the same bytes (RFC 9110 §15.6.6)."""
    told = await talk(gateway, request(b"GET /app/x " + version))
    assert told.statuses == [505]
    # Behind a version that keeps no connection, further bytes are an error of their own: 400, and no request either.
    assert set((await talk(gateway, request(b"GET /app/x " + version) + SMUGGLED)).statuses) <= {400, 505}
    assert await reached(gateway, origin) == []


@cases(
    {
        "lower-case": request(b"GET /app/x http/1.1"),
        "no-minor": request(b"GET /app/x HTTP/1"),
        "long-minor": request(b"GET /app/x HTTP/1.10"),
        "leading-zero": request(b"GET /app/x HTTP/01.1"),
        "other-protocol": request(b"GET /app/x HTCPCP/1.0"),
        "something-behind": request(b"GET /app/x HTTP/1.1 x"),
        "http2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "unknown-method": request(b"BREW /app/x HTTP/1.1"),
        "lower-case-method": request(b"get /app/x HTTP/1.1"),
        "method-with-a-colon": request(b"GET: /app/x HTTP/1.1"),
    }
)
async def test_21_malformed_versions_and_methods_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    assert (await refused(gateway, origin, data)).status in (400, 505)


@cases(
    {
        "no-version": b"GET /app/x\r\n\r\n",
        "no-version-with-fields": request(b"GET /app/x"),
        "named": request(b"GET /app/x HTTP/0.9"),
    }
)
async def test_22_http_0_9_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """Its answers have no head: nobody could be told anything."""
    assert (await refused(gateway, origin, data)).status == 400


@pytest.mark.parametrize(
    ("target", "host", "origin_form"),
    [
        ("http://other.test/app/y?q=1", "other.test", "/app/y?q=1"),
        ("HTTP://other.test:81/app/y", "other.test:81", "/app/y"),
        ("https://other.test/app/", "other.test", "/app/"),
        ("http://[::1]/app/y", "[::1]", "/app/y"),
    ],
)
async def test_23_absolute_form_its_authority_wins(
    gateway: Gateway, origin: Origin, target: str, host: str, origin_form: str
) -> None:
    """Host is replaced by the target's authority, and the origin form goes upstream (§3.2.2)."""
    _, seen = await forwarded(gateway, origin, request(f"GET {target} HTTP/1.1".encode()))
    assert seen.request_line == f"GET {origin_form} HTTP/1.1"
    assert seen.all("Host") == [host]
    assert seen.get("X-Forwarded-Host") == host


async def test_23_absolute_form_decides_the_route(gateway: Gateway, origin: Origin) -> None:
    """A route of other.test is not reached by Host, if the target says app.test, and the other way round."""
    by_target = request(b"GET http://other.test/hosted/x HTTP/1.1", host=b"Host: app.test\r\n")
    by_host = request(b"GET http://app.test/hosted/x HTTP/1.1", host=b"Host: other.test\r\n")
    assert (await once(gateway, by_target)).status == 200
    assert (await once(gateway, by_host)).status == 404


@cases(
    {
        target.decode(): request(b"GET " + target + b" HTTP/1.1")
        for target in (
            b"http://user@other.test/app/y",
            b"http://user:pw@other.test/app/y",
            b"http:///app/y",
            b"http://",
            b"http:/app/y",
            b"ftp://other.test/app/y",
            b"http://[::1/app/y",
            b"http://[fe80::1%eth0]/app/y",
            b"http://a:b/app/y",
            b"http://a:99999999/app/y",
            b"http://a,b/app/y",
            b"http:\\\\a\\app",
            b"app/x",
            b"app.test:80",
            b"javascript:1",
        )
    }
    | {"bad-host-beside": request(b"GET http://other.test/app/y HTTP/1.1", host=b"Host: a b\r\n")}
)
async def test_23_other_targets_are_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """User information, other schemes, authorities that nobody could resolve."""
    assert (await refused(gateway, origin, data)).status == 400


@pytest.mark.parametrize("target", [b"*", b"http://app.test"], ids=["asterisk", "absolute-without-a-path"])
async def test_24_options_asterisk_is_about_the_gateway(gateway: Gateway, origin: Origin, target: bytes) -> None:
    """It is kept as it is, not taken for a path, and answered for the server as a whole (§3.2.4)."""
    answer = await once(gateway, request(b"OPTIONS " + target + b" HTTP/1.1"))
    assert answer.status == 204
    assert "GET" in (answer.get("Allow") or "")
    assert await reached(gateway, origin) == []


@cases({method: request(method.encode() + b" * HTTP/1.1") for method in ("GET", "POST", "HEAD", "DELETE")})
async def test_24_an_asterisk_with_another_method_is_400(gateway: Gateway, origin: Origin, data: bytes) -> None:
    assert (await refused(gateway, origin, data)).status == 400


@cases(
    {
        "connect": request(b"CONNECT app.test:80 HTTP/1.1"),
        "connect-to-a-path": request(b"CONNECT /app/x HTTP/1.1"),
        "trace": request(b"TRACE /app/x HTTP/1.1"),
    }
)
async def test_25_connect_and_trace_are_refused(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """No tunnels, and no echo of what other proxies added (RFC 9110 §9.3.6, §9.3.8)."""
    answer = await refused(gateway, origin, data)
    assert answer.status in (400, 405)
    if answer.status == 405:
        assert "TRACE" not in (answer.get("Allow") or "TRACE")


@pytest.mark.parametrize("line", [b"ANNOUNCE /app/x RTSP/1.0", b"SETUP /app/x RTSP/1.0", b"SOURCE /app/x ICE/1.0"])
async def test_25_methods_of_other_protocols_are_refused(gateway: Gateway, origin: Origin, line: bytes) -> None:
    """The parser knows them, and would pass them off as HTTP/1.0."""
    assert (await refused(gateway, origin, request(line))).status == 405


@cases(
    {
        repr(target): request(b"GET " + target + b" HTTP/1.1")
        for target in (
            b"/app/a b",
            b"/app/a\tb",
            b"/app/\x01",
            b"/app/\x7f",
            b"/app/\xe9",
            b"/app/caf\xc3\xa9",
            b"/app/x#f",
            b"/app/x?q#f",
            b"/app/\x00",
            b"/app/x\r",
        )
    }
)
async def test_26_space_ctl_non_ascii_and_fragment_in_the_target_are_400(
    gateway: Gateway, origin: Origin, data: bytes
) -> None:
    """What a URI may not hold is not mended (§3.2): others would mend it in another way."""
    assert (await refused(gateway, origin, data)).status == 400


@pytest.mark.parametrize("apart", [1, 1000], ids=["whole", "in-pieces"])
async def test_27_a_uri_that_is_too_long_is_414(gateway: Gateway, origin: Origin, apart: int) -> None:
    """4 KiB here; also before the request line has come to its end."""
    line = b"GET /app/" + b"x" * 5000 + b" HTTP/1.1"
    assert (await refused(gateway, origin, request(line))).status == 414
    told = await talk(gateway, *[line[at : at + apart * 1000] for at in range(0, 5000, apart * 1000)])
    assert told.statuses == [414]


async def test_27_the_longest_uri_is_served(gateway: Gateway, origin: Origin) -> None:
    target = "/app/" + "x" * (4096 - 5)
    _, seen = await forwarded(gateway, origin, get(target))
    assert seen.request_line == f"GET {target} HTTP/1.1"


@cases(
    {
        "one-field": request(GET, b"X: " + b"v" * 9000),
        "one-name": request(GET, b"X" * 9000 + b": v"),
        "too-many": request(GET, *[b"X-%d: v" % n for n in range(60)]),
        "all-together": request(GET, *[b"X-%d: " % n + b"v" * 1000 for n in range(9)]),
    }
)
async def test_28_fields_too_large_or_too_many_are_431(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """8 KiB for one and for all together, and 50 of them."""
    assert (await refused(gateway, origin, data)).status == 431


async def test_28_fields_are_summed_however_the_head_is_cut(gateway: Gateway, origin: Origin) -> None:
    """A head that begins in a read with an earlier request, or arrives in many, is as large as it is."""
    large = request(b"GET /app/large HTTP/1.1", *[b"X-%d: " % n + b"v" * 1000 for n in range(9)])
    first = request(b"GET /app/first HTTP/1.1")
    for cut in (10, 5000, len(large) - 4):
        told = await talk(gateway, first + large[:cut], large[cut:] + SMUGGLED, gap_s=0.05)
        assert told.statuses == [200, 431]
    pieces = [large[at : at + 1000] for at in range(0, len(large), 1000)]
    assert (await talk(gateway, *pieces, gap_s=0.005)).statuses == [431]
    upload = request(b"POST /app/first HTTP/1.1", b"Content-Length: 3")
    told = await talk(gateway, upload, b"abc" + large[:8000], large[8000:], gap_s=0.05)
    assert told.statuses == [200, 431]
    # A body that has to wait for its upstream holds up what stands behind it in the same read.
    paused = request(b"POST /app/first HTTP/1.1", b"Content-Length: 200000", body=b"x" * 200_000)
    for _ in range(5):
        told = await talk(gateway, paused + large[:8000], large[8000:], gap_s=0.1)
        assert told.statuses == [200, 431]
    assert {seen.request_line.split(" ")[1] for seen in await reached(gateway, origin)} == {"/app/first"}


async def test_28_many_small_requests_in_one_read_are_not_too_large(gateway: Gateway, origin: Origin) -> None:
    """Each head counts for itself."""
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x", "X-Filler: " + "v" * 1500) * 30)
        for _ in range(30):
            assert (await client.answer()).status == 200


async def test_28_an_endless_head_is_cut_off_in_its_turn(gateway: Gateway, origin: Origin) -> None:
    """An earlier request is answered first: an error must not pass for the answer to it."""
    origin.answers["/app/slow"] = lambda exchange: exchange.pause_then_ok(0.3)
    head = b"".join(b"X-%d: " % n + b"v" * 400 + b"\r\n" for n in range(49))
    told = await talk(gateway, get("/app/slow"), b"GET /app/x HTTP/1.1\r\n" + HOST, head[:15_000], gap_s=0.02)
    assert told.statuses == [200, 431]


@cases(
    {
        "declared": request(b"POST /small/x HTTP/1.1", b"Content-Length: 11", body=b"x" * 11),
        "declared-only": request(b"POST /small/x HTTP/1.1", b"Content-Length: 11"),
        "declared-huge": request(b"POST /small/x HTTP/1.1", b"Content-Length: 18446744073709551614"),
        "chunked": request(b"POST /small/x HTTP/1.1", CHUNKED, body=b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n"),
        "asking-first": request(b"POST /small/x HTTP/1.1", b"Content-Length: 11", b"Expect: 100-continue"),
    }
)
async def test_29_a_body_too_large_is_413(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """By the route's max_body, and before ``100 Continue`` where that is asked for."""
    answer = await refused(gateway, origin, data)
    assert answer.status == 413
    assert answer.interim == []


@cases(
    {
        "declared": request(b"POST /small/x HTTP/1.1", b"Content-Length: 10", body=b"x" * 10),
        "chunked": request(b"POST /small/x HTTP/1.1", CHUNKED, body=b"5\r\nxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n"),
    }
)
async def test_29_a_body_of_exactly_the_limit_is_forwarded(gateway: Gateway, origin: Origin, data: bytes) -> None:
    _, seen = await forwarded(gateway, origin, data)
    assert seen.body == b"x" * 10


async def test_29_a_chunked_body_that_grows_too_large_never_looks_complete(gateway: Gateway, origin: Origin) -> None:
    """What was forwarded by then stays without its end."""
    ended: list[bytes] = []

    async def read(exchange: Exchange) -> None:
        ended.append(await exchange.rest())

    origin.answers["/app/x"] = read
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    told = await talk(gateway, request(POST, CHUNKED), *[chunk] * 17, b"0\r\n\r\n" + SMUGGLED)
    assert told.statuses == [413]
    await within(lambda: ended)
    assert not ended[0].endswith(b"0\r\n\r\n")
    assert len(ended[0]) < MIB + 17 * 16


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_30_nothing_is_decompressed(gateway: Gateway, origin: Origin, coding: str) -> None:
    """A bomb goes through as the few bytes that it is, in both directions."""
    bomb = gzip.compress(b"\0" * 4 * MIB)
    origin.answers["/app/x"] = (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb
    )
    answer, seen = await forwarded(
        gateway, origin, get("/app/x", f"Content-Encoding: {coding}", method="POST", body=bomb)
    )
    assert seen.body == bomb
    assert answer.body == bomb
