"""Parsers in a row: the gateway's reads a client's bytes, the upstream's reads what the gateway wrote of them.

Smuggling is what happens where two of them disagree. So requests are mutated at random, and whatever comes of it, the
origin (a third parser, simple and strict) must see nothing but requests that the gateway decided on, and all of them
well-formed.
"""

import asyncio
import re
from collections import Counter

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.conformance.wire import request
from tests.e2e.gateway import Answer, Client, Gateway, get, once
from tests.e2e.origin import Origin, Seen

QUIET_S = 0.06  # a request that is not whole is waited for so long

POST = b"POST /app/x?q=1 HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
BASES = [
    request(b"GET /app/x HTTP/1.1", b"X-Field: value", b"Accept: */*"),
    request(POST, b"Content-Length: 5", b"X-Field: value", body=b"hello"),
    request(POST, b"X-Field: value", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
    request(b"GET http://app.test/app/y HTTP/1.1", b"Connection: X-Hop, keep-alive", b"X-Hop: 1"),
    request(b"PUT /app/x HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    request(b"GET /app/x HTTP/1.0", b"Connection: keep-alive"),
    request(POST, b"Content-Length: 0") + request(b"DELETE /app/z HTTP/1.1", b"Cookie: a=b"),
    request(POST, CHUNKED, b"Trailer: X-End", body=b"a;x=y\r\n0123456789\r\n0\r\nX-End: 1\r\n\r\n"),
    request(POST, b"Content-Length: 54", body=b"GET /private/smuggled HTTP/1.1\r\nHost: app.test\r\nX: y\r\n\r\n"),
]
SPLINTERS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\x85",
    b"\xa0",
    b"\xff",
    b":",
    b",",
    b";",
    b"_",
    b"-",
    b"+",
    b"0",
    b"0x",
    b"1",
    b"#",
    b"\\",
    b"@",
    b"chunked",
    b"\r\nContent-Length: 6",
    b"\r\nContent-Length: 0",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nTransfer-Encoding: identity",
    b"\r\nTransfer-Encoding : chunked",
    b"\r\nTransfer_Encoding: chunked",
    b"\r\n Transfer-Encoding: chunked",
    b"\r\nHost: evil.test",
    b"\r\nConnection: close",
    b"\r\nConnection: Host, Content-Length, Transfer-Encoding",
    b"\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"\r\nUpgrade: h2c\r\nConnection: Upgrade",
    b"0\r\n\r\nGET /private/smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
]

_REQUEST_LINE = re.compile(r"[A-Z-]+ /[!-~]* HTTP/1\.1")
_FIELD = re.compile(rb"[!#$%&'*+\-.^`|~0-9A-Za-z]+: [\t \x21-\x7e\x80-\xff]*")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of the bases with one to three splinters put in, over other bytes, or bytes taken out or doubled."""
    data = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["insert", "insert", "replace", "delete", "double", "swap case"])):
            case "insert":
                data = data[:at] + draw(st.sampled_from(SPLINTERS)) + data[at:]
            case "replace":
                splinter = draw(st.sampled_from(SPLINTERS))
                data = data[:at] + splinter + data[at + len(splinter) :]
            case "delete":
                data = data[:at] + data[at + draw(st.integers(1, 4)) :]
            case "double":
                size = draw(st.integers(1, 40))
                data = data[: at + size] + data[at : at + size] + data[at + size :]
            case "swap case":
                data = data[:at] + data[at : at + 20].swapcase() + data[at + 20 :]
    return data


async def put(gateway: Gateway, parts: list[bytes]) -> list[Answer]:
    """Every answer to these bytes, until the connection ends or falls quiet."""
    answers = []
    async with await Client.connect(gateway) as client:
        try:
            for part in parts:
                await client.send(part)
                await asyncio.sleep(0)
            while True:
                answers.append(await client.answer(within_s=QUIET_S))
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            client.writer.transport.abort()
    await once(gateway, get("/app/sentinel"))  # what went on before it has arrived by then
    return answers


def assert_well_formed(seen: Seen) -> None:
    """By a grammar narrower than any parser's: only what the gateway itself would write."""
    head = seen.head
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r"), head
    lines = head.split(b"\r\n")[:-2]
    assert _REQUEST_LINE.fullmatch(lines[0].decode("ascii")), head
    for line in lines[1:]:
        assert _FIELD.fullmatch(line), head
    names = Counter(name.lower() for name, _ in seen.headers)
    assert names["host"] == 1, head
    assert names["x-request-id"] == 1, head
    assert names["content-length"] + names["transfer-encoding"] <= 1, head
    assert seen.get("Transfer-Encoding") in (None, "chunked"), head
    assert (seen.get("Content-Length") or "0").isdigit(), head
    for name in ("upgrade", "connection", "expect", "keep-alive", "trailer"):
        assert names[name] == 0, head


@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=mutated(), cut=st.one_of(st.just(0), st.integers(1, 120)))
@example(data=BASES[8], cut=60)
@example(data=BASES[2] + BASES[8], cut=0)
def test_the_origin_sees_only_what_the_gateway_decided_on(
    session_gateway: Gateway, session_origin: Origin, data: bytes, cut: int
) -> None:
    """Conformance 1 to 26 at random: each request that arrives has id, method and target of one that was admitted."""
    session_origin.answers.clear()
    session_origin.reads_body = True
    session_origin.seen.clear()
    answers = asyncio.run(put(session_gateway, [data[:cut], data[cut:]] if cut else [data]))
    arrived = [seen for seen in session_origin.seen if "/app/sentinel" not in seen.request_line]
    assert len({seen.get("X-Request-ID") for seen in arrived}) == len(arrived)
    for seen in arrived:
        assert_well_formed(seen)
        decided = session_gateway.request_line(seen.get("X-Request-ID") or "")
        method, target, _ = seen.request_line.split(" ")
        assert (decided["method"], decided["path"]) == (method, target.partition("?")[0])
        assert decided["route"] == "app"
        assert "private" not in target
    forwarded = {seen.get("X-Request-ID") for seen in arrived}
    may_break_late = b"chunked" in data.lower()  # a body may break after its head went on
    for answer in answers:
        # Whatever was answered by the origin was asked of it, and what the gateway refused never got there.
        asked = answer.get("X-Request-ID") in forwarded
        assert asked or answer.status >= 400 or answer.status == 204
        assert not asked or answer.status == 200 or (answer.status == 400 and may_break_late)
