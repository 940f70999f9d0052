"""What the policy answers by itself: CORS, addresses, maintenance, methods, and bodies that must be looked into."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest

from tests.e2e.conformance.conftest import gateway_for
from tests.e2e.conformance.wire import forwarded, reached, request
from tests.e2e.gateway import ISSUER, SECRET, Answer, Client, Gateway, bearer, get, once
from tests.e2e.origin import Origin

PAGE = "Origin: https://app.example.com"
STRANGER = "Origin: https://evil.test"
ASKS = "Access-Control-Request-Method: PUT"


def allowed_origin(answer: Answer) -> str | None:
    return answer.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("path", ["/private/x", "/once/x", "/app/x", "/closed/x"])
async def test_cors_preflights_are_answered_before_identity(gateway: Gateway, origin: Origin, path: str) -> None:
    """A browser sends no token with them."""
    asked = "Access-Control-Request-Headers: authorization, x-custom"
    answer = await once(gateway, get(path, PAGE, ASKS, asked, method="OPTIONS"))
    assert answer.status == 204
    assert allowed_origin(answer) == "https://app.example.com"
    assert answer.get("Access-Control-Allow-Credentials") == "true"
    assert "PUT" in (answer.get("Access-Control-Allow-Methods") or "")
    assert answer.get("Access-Control-Allow-Headers") == "authorization, x-custom"
    assert answer.get("Vary") == "Origin"
    assert await reached(gateway, origin) == []


@pytest.mark.parametrize("path", ["/posts", "/graphql"])
async def test_cors_preflights_find_routes_that_take_the_method_asked_for(
    gateway: Gateway, origin: Origin, path: str
) -> None:
    """A route for POST alone is meant, though the preflight is an OPTIONS."""
    ask = "Access-Control-Request-Method: POST"
    answer = await once(gateway, get(path, PAGE, ask, method="OPTIONS"))
    assert answer.status == 204
    assert allowed_origin(answer) == "https://app.example.com"


@pytest.mark.parametrize(
    "stranger",
    [
        "https://evil.test",
        "https://app.example.com.evil.test",
        "http://app.example.com",
        "https://app.example.com:444",
        "null",
    ],
)
async def test_cors_allows_no_other_origin(gateway: Gateway, origin: Origin, stranger: str) -> None:
    """Neither in preflights nor in answers; caches are told that it depends on the origin."""
    for data in (
        get("/app/x", f"Origin: {stranger}", ASKS, method="OPTIONS"),
        get("/private/x", f"Origin: {stranger}"),
    ):
        answer = await once(gateway, data)
        assert allowed_origin(answer) is None
        assert answer.get("Vary") == "Origin"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/app/x", PAGE), 200),
        (get("/private/x", PAGE), 401),
        (get("/private/x", PAGE, "Authorization: Bearer nonsense"), 401),
        (get("/closed/x", PAGE), 502),
        (get("/small/x", PAGE, method="POST", body=b"x" * 20), 413),
    ],
)
async def test_cors_fields_are_on_our_own_errors_too(
    gateway: Gateway, origin: Origin, data: bytes, status: int
) -> None:
    """Else a page sees a network failure where it was told 401."""
    answer = await once(gateway, data)
    assert answer.status == status
    assert answer.all("Access-Control-Allow-Origin") == ["https://app.example.com"]


async def test_cors_fields_are_on_a_429_with_what_scripts_may_read(gateway: Gateway, origin: Origin) -> None:
    field = bearer(user="u-cors")
    for status in (200, 429):
        answer = await once(gateway, get("/once/x", field, PAGE))
        assert answer.status == status
    assert allowed_origin(answer) == "https://app.example.com"
    assert "Retry-After" in (answer.get("Access-Control-Expose-Headers") or "")


async def test_cors_fields_of_the_upstream_give_way_to_the_policys(gateway: Gateway, origin: Origin) -> None:
    """Two Access-Control-Allow-Origin fields are none to a browser."""
    origin.answers["/app/x"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n"
        b"Access-Control-Allow-Credentials: false\r\n\r\n"
    )
    answer = await once(gateway, get("/app/x", PAGE))
    assert answer.all("Access-Control-Allow-Origin") == ["https://app.example.com"]
    assert answer.all("Access-Control-Allow-Credentials") == ["true"]


async def test_other_methods_are_405_with_allow(gateway: Gateway, origin: Origin) -> None:
    answer = await once(gateway, get("/posts"))
    assert answer.status == 405
    assert answer.get("Allow") == "POST, PUT"
    assert await reached(gateway, origin) == []


@pytest.mark.parametrize("path", ["/", "/nowhere", "/apples", "/Private/x"])
async def test_what_no_route_matches_is_404(gateway: Gateway, origin: Origin, path: str) -> None:
    """Nothing is forwarded that no route names; paths are case-sensitive."""
    assert (await once(gateway, get(path))).status == 404
    assert await reached(gateway, origin) == []


async def test_a_body_that_is_looked_into_goes_on_whole(gateway: Gateway, origin: Origin) -> None:
    """GraphQL batches are counted before they are forwarded; a GET stays without a body."""
    body = b'[{"query":"{a}"},{"query":"{b}"}]'
    _, seen = await forwarded(gateway, origin, get("/graphql", method="POST", body=body))
    assert seen.body == body
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    origin.seen.clear()
    _, seen = await forwarded(
        gateway, origin, request(b"POST /graphql HTTP/1.1", b"Transfer-Encoding: chunked", body=chunks)
    )
    assert seen.body == body
    origin.seen.clear()
    _, seen = await forwarded(gateway, origin, get("/graphql?query=%7Ba%7D"))
    assert (seen.get("Content-Length"), seen.get("Transfer-Encoding")) == (None, None)


async def test_a_lone_surrogate_in_a_token_is_no_failure_of_ours(gateway: Gateway, origin: Origin) -> None:
    """JSON can spell what UTF-8 can't: such a name is refused or passed on, never a 500."""
    for sub, company in (("\ud800", "acme"), ("u1", "\udfff")):
        claims = {"iss": ISSUER, "sub": sub, "exp": int(time.time()) + 60, "app_metadata": {"company_id": company}}
        parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
        signature = hmac.digest(SECRET.encode(), b".".join(parts), "sha256")
        token = b".".join((*parts, urlsafe_b64encode(signature).rstrip(b"="))).decode()
        answer = await once(gateway, get("/private/x", f"Authorization: Bearer {token}"))
        assert 400 <= answer.status < 500
    assert await reached(gateway, origin) == []


async def test_a_name_beyond_ascii_goes_on_as_utf8_or_is_refused(gateway: Gateway, origin: Origin) -> None:
    answer = await once(gateway, get("/private/x", bearer(user="ünï")))
    assert answer.status < 500
    for seen in await reached(gateway, origin):
        assert "ünï".encode() in seen.head or b"%C3%BCn%C3%AF" in seen.head


@pytest.mark.parametrize("name", ["a\r\nX-Tier: enterprise", "a\nb", "a\0b", "a\rb"])
async def test_a_claim_cannot_bring_fields_of_its_own(gateway: Gateway, origin: Origin, name: str) -> None:
    """What is told to the upstream of a claim is one field's value, or the request is refused."""
    answer = await once(gateway, get("/private/x", bearer(user=name)))
    assert 400 <= answer.status < 500
    assert await reached(gateway, origin) == []


# --- whole-gateway switches ---

DENIED = """
ip: {deny: [127.0.0.3, 203.0.113.0/24], allow: [127.0.0.0/8, 198.51.100.7]}
maintenance: {retry_after: 90s, allow_ips: [127.0.0.4, 198.51.100.7]}
"""


@pytest.fixture(scope="module")
def down_gateway(session_origin: Origin) -> Iterator[Gateway]:
    with gateway_for(session_origin, more=DENIED) as gateway:
        yield gateway


@pytest.fixture
def down(down_gateway: Gateway, origin: Origin) -> Gateway:
    return down_gateway


async def ask_from(gateway: Gateway, address: str, data: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=(address, 0))
    async with Client(reader, writer) as client:
        await client.send(data)
        return await client.answer()


async def test_maintenance_is_503_with_retry_after(down: Gateway, origin: Origin) -> None:
    """For pages too: with CORS fields. Nothing is forwarded."""
    answer = await once(down, get("/app/x", PAGE))
    assert (answer.status, answer.get("Retry-After")) == (503, "90")
    assert allowed_origin(answer) == "https://app.example.com"
    assert origin.seen == []


async def test_maintenance_lets_through_who_may_look(down: Gateway, origin: Origin) -> None:
    assert (await ask_from(down, "127.0.0.4", get("/app/x"))).status == 200


async def test_denied_addresses_are_403(down: Gateway, origin: Origin) -> None:
    answer = await ask_from(down, "127.0.0.3", get("/app/x"))
    assert (answer.status, answer.json()["reason"]) == (403, "ip_denied")
    assert origin.seen == []


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("203.0.113.9", 403),  # denied
        ("198.51.100.7", 200),  # allowed, and let through maintenance
        ("198.51.100.8", 403),  # not among the allowed
        ("127.0.0.4, 203.0.113.9", 403),  # the left one is hearsay
    ],
)
async def test_addresses_told_by_a_trusted_proxy_count(down: Gateway, origin: Origin, told: str, status: int) -> None:
    answer = await ask_from(down, "127.0.0.2", get("/app/x", f"X-Forwarded-For: {told}"))
    assert answer.status == status


async def test_addresses_told_by_strangers_do_not_count(down: Gateway, origin: Origin) -> None:
    assert (await ask_from(down, "127.0.0.3", get("/app/x", "X-Forwarded-For: 198.51.100.7"))).status == 403
