"""Conformance 41 to 56: what goes on to the upstream, what stops here, and what is asked for first (RFC 9110)."""

import asyncio

import pytest

from tests.e2e.conformance.conftest import KEY
from tests.e2e.conformance.test_framing import cases
from tests.e2e.conformance.wire import SMUGGLED, forwarded, reached, refused, request, talk, within
from tests.e2e.gateway import Client, Gateway, bearer, get, once
from tests.e2e.origin import OK, Exchange, Origin, read_body

GET = b"GET /app/x HTTP/1.1"
POST = b"POST /app/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"


async def test_41_fields_named_by_connection_are_stripped_both_ways(gateway: Gateway, origin: Origin) -> None:
    """§7.6.1: they are for the next hop alone, which is the gateway."""
    origin.answers["/app/x"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
        b"Connection: X-Hop-Back, keep-alive\r\nX-Hop-Back: 1\r\nX-End: 2\r\n\r\n"
    )
    fields = ("X-Hop: 1", "X-End: 2", "Connection: x-hop", "Connection: keep-alive,X-OTHER", "X-Other: 3")
    answer, seen = await forwarded(gateway, origin, get("/app/x", *fields))
    assert (seen.get("X-Hop"), seen.get("X-Other"), seen.get("X-End")) == (None, None, "2")
    assert seen.get("Connection") is None
    assert (answer.get("X-Hop-Back"), answer.get("X-End")) == (None, "2")
    assert answer.get("Connection") is None


HOP = (
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eA==",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: x",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Trailer: X-End",
    "TE: gzip",
)


async def test_42_hop_by_hop_fields_are_stripped_both_ways(gateway: Gateway, origin: Origin) -> None:
    """Also where no Connection names them, as senders forget to."""
    lines = "".join(line + "\r\n" for line in (*HOP, "Upgrade: h2c")).encode()
    origin.answers["/app/x"] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n"
    answer, seen = await forwarded(gateway, origin, get("/app/x", *HOP))
    for line in (*HOP, "Upgrade: h2c"):
        name = line.partition(":")[0]
        assert seen.get(name) is None
        assert answer.get(name) is None


@pytest.mark.parametrize(
    "named",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Via",
        "X-User-ID",
        "X-Tenant-ID",
        "X-Tier",
        "X-Request-ID",
        "Host",
        "Content-Length",
    ],
)
async def test_43_connection_cannot_strip_what_the_gateway_tells(gateway: Gateway, origin: Origin, named: str) -> None:
    """Identity and forwarding fields are added last, whatever a client calls hop-by-hop."""
    fields = (bearer(), f"Connection: {named}", f"connection: close, {named.lower()}")
    _, seen = await forwarded(gateway, origin, get("/private/x", *fields, method="POST", body=b"abc"))
    assert len(seen.all(named)) == 1
    assert seen.body == b"abc"


@pytest.mark.parametrize(
    ("asked", "told"),
    [("trailers", "trailers"), ("gzip", None), ("trailers, gzip", None), ("TRAILERS", "trailers"), ("", None)],
)
async def test_44_te_only_trailers(gateway: Gateway, origin: Origin, asked: str, told: str | None) -> None:
    """§10.1.4: other codings would be for this hop, and the gateway takes none."""
    _, seen = await forwarded(gateway, origin, get("/app/x", f"TE: {asked}", "Connection: TE"))
    assert seen.get("TE") == told


async def test_45_via_is_extended(gateway: Gateway, origin: Origin) -> None:
    """§7.6.3: theirs first, with the version in which the message came."""
    _, seen = await forwarded(gateway, origin, get("/app/x", "Via: 1.0 fred, 1.1 p.example (comment)"))
    (via,) = seen.all("Via")
    assert via.startswith("1.0 fred, 1.1 p.example (comment), 1.1 sluicegate")


async def test_45_a_loop_is_found(gateway: Gateway, origin: Origin) -> None:
    """A request that has been here is 508: else it would go round until something breaks."""
    _, seen = await forwarded(gateway, origin, get("/app/x"))
    answer = await once(gateway, get("/app/x", "Via: 1.1 other", f"Via: {seen.get('Via')}, 1.1 more"))
    assert answer.status == 508
    assert len(await reached(gateway, origin)) == 1


async def test_46_max_forwards(gateway: Gateway, origin: Origin) -> None:
    """For OPTIONS it is counted down, and at 0 answered here (§7.6.2); for others it is any field."""
    answer = await once(gateway, get("/app/x", "Max-Forwards: 0", method="OPTIONS"))
    assert answer.status == 204
    assert "GET" in (answer.get("Allow") or "")
    assert await reached(gateway, origin) == []
    for method, value, told in (("OPTIONS", "3", "2"), ("OPTIONS", "1", "0"), ("GET", "0", "0")):
        origin.seen.clear()
        _, seen = await forwarded(gateway, origin, get("/app/x", f"Max-Forwards: {value}", method=method))
        assert seen.all("Max-Forwards") == [told]


FORGED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Anything: evil.test",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=evil.test;proto=gopher",
)


async def test_47_forwarding_fields_of_strangers_are_not_believed(gateway: Gateway, origin: Origin) -> None:
    """Nor passed on (RFC 7239 §8.1): an app behind the gateway reads what the gateway saw."""
    _, seen = await forwarded(gateway, origin, get("/app/x", *FORGED))
    assert b"6.6.6.6" not in seen.head
    assert b"evil.test" not in seen.head
    assert b"gopher" not in seen.head
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("X-Forwarded-Host") == ["app.test"]


async def test_47_a_trusted_proxy_is_believed_right_to_left(gateway: Gateway, origin: Origin) -> None:
    """127.0.0.2 is one: the nearest address that is none of ours is the client, what stands left of it is hearsay."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=("127.0.0.2", 0))
    async with Client(reader, writer) as client:
        await client.send(get("/app/x", "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2", "X-Forwarded-Proto: https"))
        answer = await client.answer()
    assert answer.status == 200
    (seen,) = await reached(gateway, origin)
    assert seen.all("X-Forwarded-For") == ["203.0.113.9, 127.0.0.2"]
    assert seen.all("X-Forwarded-Proto") == ["https"]
    assert gateway.request_line(answer.get("X-Request-ID") or "")["ip"] == "203.0.113.9"


IDENTITY = ("X-User-ID: root", "X-Tier: enterprise", "x-user-id: other", "X-TIER: growth_team")


@pytest.mark.parametrize("path", ["/app/x", "/private/x"])
async def test_48_identity_fields_of_a_client_are_always_stripped(gateway: Gateway, origin: Origin, path: str) -> None:
    """On open routes too: an upstream that reads them must be able to believe them."""
    fields = (*IDENTITY, *([bearer(user="u1")] if path == "/private/x" else []))
    _, seen = await forwarded(gateway, origin, get(path, *fields))
    assert b"root" not in seen.head
    assert b"enterprise" not in seen.head
    if path == "/private/x":
        assert seen.all("X-Tenant-ID") == ["acme"]
        assert seen.all("X-User-ID") == ["u1"]
        assert seen.all("X-Tier") == ["growth_team"]
    else:
        assert seen.all("X-User-ID") == []
        assert seen.all("X-Tenant-ID") == []
        assert seen.all("X-Tier") == ["anonymous"]


@pytest.mark.parametrize("what", ["Tenant", "User", "Tier", "Feature", "Cost-Centre", "Anything"])
async def test_48_sluicegate_fields_are_stripped(gateway: Gateway, origin: Origin, what: str) -> None:
    """Only keys that may act for others are read by them; nobody's reach the upstream."""
    field = f"Sluicegate-{what}"
    _, seen = await forwarded(gateway, origin, get("/private/x", bearer(), f"{field}: other"))
    assert seen.get(field) is None
    assert b"other" not in seen.head


@pytest.mark.parametrize("field", [f"Authorization: Bearer {KEY}", f"X-Api-Key: {KEY}", f"x-goog-api-key: {KEY}"])
async def test_48_gateway_keys_never_reach_the_origin(gateway: Gateway, origin: Origin, field: str) -> None:
    """A key opens the gateway, and is nobody else's to know."""
    answer, seen = await forwarded(gateway, origin, get("/private/x", field))
    assert answer.status == 200
    assert KEY.encode() not in seen.head
    assert seen.get("X-Tenant-ID") == "acme"


async def test_48_a_token_goes_on_to_the_app(gateway: Gateway, origin: Origin) -> None:
    """Unlike a gateway key it was made for the app."""
    field = bearer()
    _, seen = await forwarded(gateway, origin, get("/private/x", field))
    assert f"Authorization: {seen.get('Authorization')}" == field


@pytest.mark.parametrize(
    "path",
    [
        "/app/..%2fprivate/x",
        "/app/%2e%2e/private/x",
        "/app/../private/x",
        "/app/./x",
        "/app/..",
        "//private/x",
        "/app//private",
        "/app/..;/private/x",
        "/app/..%3b/private/x",
        "/app\\..\\private",
        "/app/%5c..%5cprivate",
        "/app/%252e%252e/private/x",
        "/app/%252fprivate",
        "/app/%25252e%25252e/x",
        "/app/%c0%ae%c0%ae/private",
        "/app/%",
        "/app/%zz",
        "/app/%00",
        "/app/%0d%0aX:y",
        "/app%2fx",
    ],
)
async def test_49_paths_that_can_be_read_in_two_ways_are_refused(gateway: Gateway, origin: Origin, path: str) -> None:
    """The path that is authorised is the path that is forwarded: what servers read differently is 400."""
    assert (await once(gateway, get(path))).status == 400
    assert await reached(gateway, origin) == []


@pytest.mark.parametrize(
    "path",
    ["/app/a%20b", "/app/caf%C3%A9", "/app/%61%62", "/app/a;v=1/b", "/app/a,b:c@d!$&'()*+=~", "/app/.well-known"],
)
async def test_49_other_paths_go_on_byte_for_byte(gateway: Gateway, origin: Origin, path: str) -> None:
    _, seen = await forwarded(gateway, origin, get(path))
    assert seen.request_line == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize("path", ["/%70rivate/x", "/private;v=1/x", "/priv%61te/x"])
async def test_49_another_spelling_of_a_path_needs_the_same_credential(
    gateway: Gateway, origin: Origin, path: str
) -> None:
    assert (await once(gateway, get(path))).status == 401


@pytest.mark.parametrize(
    "query", ["?", "??", "?a=b&a=c&&=", "?q=%2f..%2F%00%zz", "?a=b?c/d/../e", "?'\"<>`{}|^[]\\", "?%", "?a;b,c+d%20e"]
)
async def test_50_the_query_goes_on_byte_for_byte(gateway: Gateway, origin: Origin, query: str) -> None:
    """It is the app's business alone."""
    _, seen = await forwarded(gateway, origin, get("/app/x" + query))
    assert seen.request_line == f"GET /app/x{query} HTTP/1.1"


async def test_51_set_cookie_is_never_joined_and_order_is_kept(gateway: Gateway, origin: Origin) -> None:
    """RFC 9110 §5.3: the one field whose lines can't be joined; the order of others means something too."""
    cookies = ["a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "b=2", "a=3; Path=/"]
    links = ["<1>", "<2>, <3>"]
    lines = [f"Set-Cookie: {cookies[0]}", f"Link: {links[0]}", *(f"Set-Cookie: {c}" for c in cookies[1:])]
    lines.append(f"Link: {links[1]}")
    origin.answers["/app/x"] = ("HTTP/1.1 200 OK\r\n" + "\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()
    answer, seen = await forwarded(gateway, origin, get("/app/x", "X-A: 1", "X-B: 2", "X-A: 3", "Cookie: a=1; b=2"))
    assert answer.all("Set-Cookie") == cookies
    assert answer.all("Link") == links
    assert [field for field in seen.headers if field[0] in ("X-A", "X-B")] == [("X-A", "1"), ("X-B", "2"), ("X-A", "3")]
    assert seen.all("Cookie") == ["a=1; b=2"]


async def test_52_the_body_is_asked_for_when_all_is_decided(gateway: Gateway, origin: Origin) -> None:
    """``100 Continue`` comes from the gateway, once the upstream takes the request; Expect itself stops here."""
    async with await Client.connect(gateway) as client:
        await client.send(request(POST, b"Content-Length: 3", b"Expect: 100-Continue"))
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        (seen,) = await within(lambda: origin.seen)
        await client.send(b"abc")
        answer = await client.answer()
    assert (answer.status, answer.interim) == (200, [])
    assert seen.get("Expect") is None
    assert seen.body == b"abc"


async def test_52_a_client_that_does_not_wait_gets_no_100(gateway: Gateway, origin: Origin) -> None:
    answer, seen = await forwarded(
        gateway, origin, request(POST, b"Content-Length: 3", b"Expect: 100-continue", body=b"abc")
    )
    assert answer.interim == []
    assert seen.body == b"abc"


EXPECT = b"Expect: 100-continue"


@cases(
    {
        "401": request(b"POST /private/x HTTP/1.1", b"Content-Length: 3", EXPECT),
        "404": request(b"POST /nowhere HTTP/1.1", b"Content-Length: 3", EXPECT),
        "405": request(b"PATCH /posts HTTP/1.1", b"Content-Length: 3", EXPECT),
        "413": request(b"POST /small/x HTTP/1.1", b"Content-Length: 30", EXPECT),
        "502": request(b"POST /closed/x HTTP/1.1", b"Content-Length: 3", EXPECT),
    }
)
async def test_52_auth_and_limits_are_decided_before_100(
    gateway: Gateway, origin: Origin, data: bytes, request: pytest.FixtureRequest
) -> None:
    """Who is refused is never asked to send."""
    told = await talk(gateway, data)
    assert told.statuses == [int(request.node.callspec.id)]
    assert told.answers[0].interim == []
    assert told.answers[0].get("Connection") == "close"


async def test_52_a_limit_refuses_before_100(gateway: Gateway, origin: Origin) -> None:
    field = bearer(user="u52")
    assert (await once(gateway, get("/once/x", field))).status == 200
    told = await talk(gateway, request(b"POST /once/x HTTP/1.1", field.encode(), b"Content-Length: 3", EXPECT))
    assert told.statuses == [429]
    assert told.answers[0].interim == []


@cases(
    {
        "unknown": request(POST, b"Content-Length: 3", b"Expect: 200-ok", body=b"abc"),
        "listed": request(POST, b"Content-Length: 3", b"Expect: 100-continue, other", body=b"abc"),
        "second": request(POST, b"Content-Length: 3", EXPECT, b"Expect: other", body=b"abc"),
        "without-a-body": request(GET, b"Expect: 200-ok"),
    }
)
async def test_52_an_unknown_expectation_is_417(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """RFC 9110 §10.1.1."""
    assert (await refused(gateway, origin, data)).status == 417


async def test_52_http_1_0_is_not_asked(gateway: Gateway, origin: Origin) -> None:
    """It knows no 1xx: the expectation is ignored, and the body awaited."""
    async with await Client.connect(gateway) as client:
        await client.send(request(b"POST /app/x HTTP/1.0", b"Content-Length: 3", EXPECT))
        await within(lambda: origin.seen)
        await client.send(b"abc")
        answer = await client.answer()
    assert (answer.status, answer.interim) == (200, [])


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"


async def test_53_1xx_are_relayed_as_they_come_and_never_final(gateway: Gateway, origin: Origin) -> None:
    """A 103 is there before the answer is; an upstream's 100 is the gateway's own business."""
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hint(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(goes_on.wait(), loop))
        await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" + OK)

    origin.answers["/app/x"] = hint
    async with await Client.connect(gateway) as client:
        await client.send(get("/app/x"))
        early = await client.reader.readuntil(b"\r\n\r\n")
        assert early == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        goes_on.set()
        answer = await client.answer()
        assert [status for status, _ in answer.interim] == [102]
        assert (answer.status, answer.body) == (200, b"ok")
        await client.send(get("/app/y"))
        assert (await client.answer()).status == 200


async def test_53_1xx_are_bounded(gateway: Gateway, origin: Origin) -> None:
    """An upstream that hints without end is not HTTP any more: 502."""

    async def hint(exchange: Exchange) -> None:
        while True:
            await exchange.send(HINTS * 10)

    origin.answers["/app/x"] = hint
    answer = await once(gateway, get("/app/x"))
    assert answer.status == 502
    assert len(answer.interim) <= 20


async def test_53_http_1_0_gets_no_1xx(gateway: Gateway, origin: Origin) -> None:
    """RFC 9110 §15.2."""
    origin.answers["/app/x"] = HINTS + OK
    answer = await once(gateway, request(b"GET /app/x HTTP/1.0"))
    assert (answer.status, answer.interim) == (200, [])


async def test_53_an_unasked_101_is_502(gateway: Gateway, origin: Origin) -> None:
    """Nobody asked the upstream to switch: bytes after it would be nobody's."""
    origin.answers["/app/x"] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + OK
    assert (await once(gateway, get("/app/x"))).status == 502


@pytest.mark.parametrize("fields", [("HTTP2-Settings: AAMAAABkAAQAAP__",), ()], ids=["settings", "bare"])
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["get", "post"])
async def test_55_an_h2c_upgrade_is_never_forwarded(
    gateway: Gateway, origin: Origin, fields: tuple[str, ...], body: bytes
) -> None:
    """The offer is ignored (§7.8) and the request served with its body, over HTTP/1.1, closing after."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", *fields)
    data = get("/app/x", *offer, method="POST" if body else "GET", body=body)
    told = await talk(gateway, data, SMUGGLED, gap_s=0.05)
    assert told.statuses == [200]
    assert told.answers[0].get("Connection") == "close"
    (seen,) = await reached(gateway, origin)
    assert seen.body == body
    for name in ("Upgrade", "HTTP2-Settings", "Connection"):
        assert seen.get(name) is None


WEBSOCKET = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")


@cases(
    {
        "websocket": request(GET, b"Connection: Upgrade", b"Upgrade: websocket", *WEBSOCKET),
        "any-case": request(GET, b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket", *WEBSOCKET),
        "not-named": request(GET, b"Upgrade: websocket", *WEBSOCKET),
        "among-others": request(GET, b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
        "with-a-body": request(POST, b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3", body=b"abc"),
        "with-chunks": request(POST, b"Connection: Upgrade", b"Upgrade: tcp", CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"),
    }
)
async def test_56_other_upgrades_are_501_and_close(gateway: Gateway, origin: Origin, data: bytes) -> None:
    """What follows an upgrade that was not granted is never parsed as a tunnel, nor as a request."""
    assert (await refused(gateway, origin, data)).status == 501


async def test_the_upstreams_request_id_is_told_beside_our_own(gateway: Gateway, origin: Origin) -> None:
    """Ours is in the answer, the log and the upstream's request; a provider's support asks for theirs."""
    origin.answers["/app/x"] = b"HTTP/1.1 200 OK\r\nX-Request-Id: req_42\r\nContent-Length: 0\r\n\r\n"
    answer, seen = await forwarded(gateway, origin, get("/app/x", "X-Request-ID: forged"))
    (ours,) = answer.all("X-Request-ID")
    assert ours == seen.get("X-Request-ID") == gateway.request_line(ours)["id"]
    assert answer.all("X-Upstream-Request-ID") == ["req_42"]
    assert b"forged" not in seen.head


async def test_an_upgrade_request_keeps_its_framing(gateway: Gateway, origin: Origin) -> None:
    """A chunked body beside an ignored offer is read to its end, and the origin reads the same."""

    async def read(exchange: Exchange) -> None:
        exchange.seen.body = await read_body(exchange.seen, exchange.reader)
        await exchange.send(OK)

    origin.answers["/app/x"] = read
    data = request(POST, b"Connection: Upgrade", b"Upgrade: h2c", CHUNKED)
    told = await talk(gateway, data, b"3\r\nabc\r\n", b"0\r\n\r\n" + SMUGGLED, gap_s=0.03)
    assert told.statuses == [200]
    (seen,) = await reached(gateway, origin)
    assert seen.body == b"abc"
