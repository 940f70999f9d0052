"""Whose a stored answer is, and what leaves with it: scopes, cookies, tags, ``assert_tenant``."""

import asyncio
import gzip
import json
import re
from itertools import count

import pytest

from tests.e2e.caching.cases import By, Case, Step, failures
from tests.e2e.gateway import Answer, Gateway, bearer, get, once
from tests.e2e.origin import Exchange, Origin

FRESH = "Cache-Control: max-age=3600"
ISOLATION = "sluicegate_tenant_isolation_violations_total"
_paths = count()


def is_hit(answer: Answer) -> bool:
    return answer.get("Age") is not None


async def ask(gateway: Gateway, path: str, **claims: str) -> Answer:
    return await once(gateway, get(path, bearer(**claims)))


def says(origin: Origin, under: str, *lines: str, body: bytes = b"ok") -> str:
    """An answer at a path of its own."""
    path = f"{under}/{next(_paths)}"
    head = "\r\n".join(["HTTP/1.1 200 OK", *lines, f"Content-Length: {len(body)}", "", ""])
    origin.answers[path] = head.encode() + body
    return path


async def test_users_of_a_tenant_share_and_tenants_do_not(gateway: Gateway, origin: Origin) -> None:
    path = says(origin, "/tenant")
    assert not is_hit(await ask(gateway, path, tenant="one", user="a"))
    assert is_hit(await ask(gateway, path, tenant="one", user="b"))
    assert not is_hit(await ask(gateway, path, tenant="two", user="a"))
    assert is_hit(await ask(gateway, path, tenant="two", user="b"))


async def test_users_of_user_scope_do_not_share_either(gateway: Gateway, origin: Origin) -> None:
    path = says(origin, "/user", "Cache-Control: private, max-age=3600")
    assert not is_hit(await ask(gateway, path, user="a"))
    assert is_hit(await ask(gateway, path, user="a"))
    assert not is_hit(await ask(gateway, path, user="b"))


async def test_who_has_no_tenant_gets_nothing_stored(gateway: Gateway, origin: Origin) -> None:
    path = says(origin, "/tenant")
    for _ in range(2):
        answer = await once(gateway, get(path, bearer(tenant=None)))
        assert (answer.status, answer.get("Age")) == (200, None)


@pytest.mark.parametrize(
    ("under", "name"),
    [
        *(("/members", name) for name in ("X-Company-ID", "X-Tenant-ID", "X-User-ID", "X-Tier", "X-Forwarded-For")),
        *(("/tenant", name) for name in ("X-User-ID", "X-Tier")),
        ("/user", "X-Tier"),
    ],
)
async def test_what_varies_by_a_field_of_ours_is_not_stored(
    gateway: Gateway, origin: Origin, under: str, name: str
) -> None:
    """All that the app is told of the caller, unless those who would share the answer have it in common."""
    path = says(origin, under, "Cache-Control: public, max-age=60", f"Vary: {name}")
    assert [is_hit(await ask(gateway, path)) for _ in range(2)] == [False, False]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_begins_to_vary_by_a_field_of_ours_is_kept_no_longer(
    gateway: Gateway, origin: Origin, method: str
) -> None:
    """By a 304, or an answer to HEAD."""
    lines = ("Cache-Control: public, max-age=1", 'ETag: "a"')
    path = says(origin, "/members", *lines)
    assert not is_hit(await ask(gateway, path))
    await asyncio.sleep(1.1)
    status = "304 Not Modified" if method == "GET" else "200 OK"
    more = [f"HTTP/1.1 {status}", 'ETag: "a"', "Cache-Control: public, max-age=60", "Vary: X-User-ID", "", ""]
    origin.answers[path] = "\r\n".join(more).encode()
    answer = await once(gateway, get(path, bearer(), method=method), head=method == "HEAD")
    assert answer.status == 200
    origin.answers[path] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"
    answer = await ask(gateway, path, user="another")
    assert (answer.body, is_hit(answer)) == (b"new", False)


@pytest.mark.parametrize(("under", "name"), [("/tenant", "X-Company-ID"), ("/user", "X-User-ID")])
async def test_what_varies_by_what_its_sharers_have_in_common_is(
    gateway: Gateway, origin: Origin, under: str, name: str
) -> None:
    path = says(origin, under, "Cache-Control: public, max-age=60", f"Vary: {name}")
    assert [is_hit(await ask(gateway, path)) for _ in range(2)] == [False, True]


async def test_every_hit_is_identified_anew(gateway: Gateway, origin: Origin) -> None:
    path = says(origin, "/tenant")
    assert not is_hit(await ask(gateway, path))
    assert is_hit(await ask(gateway, path))
    assert (await once(gateway, get(path))).status == 401


@pytest.mark.parametrize("said", ["Cache-Control: public, s-maxage=60, max-age=30", "CDN-Cache-Control: max-age=60"])
async def test_what_is_not_public_leaves_as_private(gateway: Gateway, origin: Origin, said: str) -> None:
    """A miss and a hit alike, or a CDN in front would share it."""
    path = says(origin, "/tenant", said)
    for hit in (False, True):
        answer = await ask(gateway, path)
        words = [word.strip() for value in answer.all("Cache-Control") for word in value.split(",")]
        assert is_hit(answer) is hit
        assert "private" in words
        assert {"public", "s-maxage=60"}.isdisjoint(words)
        assert answer.get("CDN-Cache-Control") is None


async def test_what_is_public_leaves_as_it_came(gateway: Gateway, origin: Origin) -> None:
    path = says(origin, "/safe", "Cache-Control: public, s-maxage=60")
    for hit in (False, True):
        answer = await once(gateway, get(path))
        assert (is_hit(answer), answer.all("Cache-Control")) == (hit, ["public, s-maxage=60"])


async def test_tags_stay_here_where_the_policy_strips_them(gateway: Gateway, origin: Origin) -> None:
    for under, kept in (("/tenant", False), ("/safe", True)):
        path = says(origin, under, FRESH, "Cache-Tag: a, b", "Surrogate-Key: c d")
        for hit in (False, True):
            answer = await once(gateway, get(path, *([] if kept else [bearer()])))
            assert is_hit(answer) is hit
            assert (answer.get("Cache-Tag") is not None, answer.get("Surrogate-Key") is not None) == (kept, kept)


SAFE: dict[str, Case] = {
    "set-cookie": (Step(By.ORIGIN, (FRESH, "Set-Cookie: a=b"), has=("Set-Cookie: a=b",)), Step(By.ORIGIN, (FRESH,))),
    "guessed": (Step(By.ORIGIN, ("Last-Modified: {-86400}",)), Step(By.ORIGIN)),
    "no-cache-of-a-client": (Step(By.ORIGIN, (FRESH,)), Step(By.CACHE, asks=("Cache-Control: no-cache",))),
    "max-age-of-a-client": (Step(By.ORIGIN, (FRESH,)), Step(By.CACHE, asks=("Cache-Control: max-age=0",))),
    "only-if-cached": (Step(By.CACHE, asks=("Cache-Control: only-if-cached",), gets=504), Step(By.ORIGIN)),
    "disconnected": (
        Step(By.ORIGIN, ("Cache-Control: max-age=1",)),
        Step(By.ANYONE, cuts=True, gets=502, lacks=("Age",), pause_s=1.1),
    ),
    "stale-if-error": (
        Step(By.ORIGIN, ("Cache-Control: max-age=1, stale-if-error=60",)),
        Step(By.CACHE, cuts=True, has=("Age: >0",), pause_s=1.1),
    ),
    "an-error-takes-no-answers-place": (
        Step(By.ORIGIN, ("Cache-Control: max-age=1, stale-if-error=60", 'ETag: "a"')),
        Step(By.ANYONE, (FRESH,), status=500, gets=200, text="step 1", pause_s=1.1),
        Step(By.ETAG, (FRESH,), text="step 1"),
    ),
}


async def test_the_safe_profile_takes_fewer_liberties(gateway: Gateway, origin: Origin) -> None:
    assert await failures(gateway, origin, SAFE, "/safe") == {}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("how", ["503", "cut"])
async def test_what_stands_in_for_the_app_does_so_for_every_method_and_says_it(
    gateway: Gateway, origin: Origin, method: str, how: str
) -> None:
    """It was forwarded, and what it came to is told (RFC 9211 §2.1, §2.3)."""

    async def cut(exchange: Exchange) -> None:
        exchange.close()

    path = says(origin, "/safe", "Cache-Control: max-age=0, stale-if-error=60")
    assert (await once(gateway, get(path))).status == 200
    failing = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    origin.answers[path] = cut if how == "cut" else failing
    answer = await once(gateway, get(path, method=method), head=method == "HEAD")
    assert (answer.status, answer.get("Content-Length"), is_hit(answer)) == (200, "2", True)
    status = "" if how == "cut" else " fwd-status=503;"
    assert re.fullmatch(rf"sluicegate; fwd=stale;{status} ttl=-?\d+", answer.get("Cache-Status") or "")
    silent = says(origin, "/safe", "Cache-Control: max-age=0", 'ETag: "a"')
    assert (await once(gateway, get(silent))).status == 200
    origin.answers[silent] = failing
    assert (await once(gateway, get(silent, method=method), head=method == "HEAD")).status == 503


# --- assert_tenant ---

OWN, ANOTHER = {"data": [{"company_id": "acme"}] * 2}, {"data": [{"company_id": "acme"}, {"company_id": "evil"}]}


def told(origin: Origin, document: object, how: str) -> str:
    """A JSON body: with its length, in chunks, or coded although nobody asked for it."""
    body = json.dumps(document).encode()
    if how == "gzip":
        return says(origin, "/by-json", "Content-Encoding: gzip", body=gzip.compress(body))
    path = says(origin, "/by-json", body=body)
    if how == "chunked":
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
        origin.answers[path] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    return path


async def refused(gateway: Gateway, path: str) -> None:
    """Each time anew: it is never stored."""
    for _ in range(2):
        before = gateway.metric(ISOLATION)
        answer = await ask(gateway, path)
        assert (answer.status, answer.get("Content-Type")) == (502, "application/problem+json")
        assert b"evil" not in answer.body
        assert gateway.metric(ISOLATION) == before + 1


@pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
async def test_an_answer_whose_body_names_another_tenant_is_refused(gateway: Gateway, origin: Origin, how: str) -> None:
    await refused(gateway, told(origin, ANOTHER, how))


@pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
async def test_one_that_names_its_own_is_stored(gateway: Gateway, origin: Origin, how: str) -> None:
    path = told(origin, OWN, how)
    for hit in (False, True):
        answer = await ask(gateway, path)
        body = gzip.decompress(answer.body) if how == "gzip" else answer.body
        assert (answer.status, is_hit(answer), json.loads(body)) == (200, hit, OWN)


async def test_a_body_that_is_looked_into_is_asked_for_uncoded(gateway: Gateway, origin: Origin) -> None:
    await once(gateway, get(says(origin, "/by-json"), bearer(), "Accept-Encoding: gzip, br"))
    assert origin.last().get("Accept-Encoding") is None


@pytest.mark.parametrize(
    "body", [b"{}", b'{"data": {}}', b'{"data": {"company_id": null}}', b"no json", b"\x1f\x8bno gzip"]
)
async def test_one_that_does_not_say_passes_and_is_not_stored(gateway: Gateway, origin: Origin, body: bytes) -> None:
    coded = ("Content-Encoding: gzip",) if body.startswith(b"\x1f") else ()
    path = says(origin, "/by-json", *coded, body=body)
    for _ in range(2):
        answer = await ask(gateway, path)
        assert (answer.status, answer.get("Age"), answer.body) == (200, None, body)


async def test_a_field_that_names_another_tenant_is_refused(gateway: Gateway, origin: Origin) -> None:
    await refused(gateway, says(origin, "/by-field", "X-Tenant: evil"))
    await refused(gateway, says(origin, "/by-field", "X-Tenant: acme", "X-Tenant: evil"))


async def test_a_field_that_names_its_own_is_stored_and_none_is_not(gateway: Gateway, origin: Origin) -> None:
    own, silent = says(origin, "/by-field", "X-Tenant: acme"), says(origin, "/by-field")
    assert [is_hit(await ask(gateway, own)) for _ in range(2)] == [False, True]
    assert [is_hit(await ask(gateway, silent)) for _ in range(2)] == [False, False]


async def test_a_304_that_names_another_tenant_is_refused(gateway: Gateway, origin: Origin) -> None:
    """And nothing stale stands in for it, or nobody would see what the app mixes up."""
    path = says(
        origin, "/by-field-short", "X-Tenant: acme", 'ETag: "a"', "Cache-Control: public, max-age=0, stale-if-error=60"
    )
    assert (await ask(gateway, path)).status == 200
    origin.answers[path] = b'HTTP/1.1 304 Not Modified\r\nX-Tenant: evil\r\nETag: "a"\r\n\r\n'
    before = gateway.metric(ISOLATION)
    assert (await ask(gateway, path)).status == 502
    assert gateway.metric(ISOLATION) == before + 1


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("HEAD", ()),
        ("GET", ("If-Match: *",)),
        ("GET", ("X-Rewrite-URL: /",)),
        ("GET", ("Cache-Control: no-store",)),
        ("POST", ()),
        ("DELETE", ()),
    ],
)
async def test_nobody_gets_another_tenants_answer_by_another_way(
    gateway: Gateway, origin: Origin, method: str, lines: tuple[str, ...]
) -> None:
    """What passes by the cache is looked at as well; and one's own passes as it came."""
    for tenant, status in (("evil", 502), ("acme", 200)):
        path = says(origin, "/by-field", f"X-Tenant: {tenant}", "X-Secret: 1")
        before = gateway.metric(ISOLATION)
        body = b"x" if method == "POST" else b""
        answer = await once(gateway, get(path, bearer(), *lines, method=method, body=body), head=method == "HEAD")
        assert (answer.status, answer.get("X-Secret")) == (status, "1" if status == 200 else None)
        assert gateway.metric(ISOLATION) == before + (status == 502)


async def test_a_write_that_is_answered_with_another_tenants_answer_has_written_all_the_same(
    gateway: Gateway, origin: Origin
) -> None:
    path = says(origin, "/by-field", "X-Tenant: acme")
    assert [is_hit(await ask(gateway, path)) for _ in range(2)] == [False, True]
    origin.answers[path] = b"HTTP/1.1 200 OK\r\nX-Tenant: evil\r\nContent-Length: 0\r\n\r\n"
    assert (await once(gateway, get(path, bearer(), method="PUT", body=b"x"))).status == 502
    assert (await ask(gateway, path)).status == 502  # not from the cache


@pytest.mark.parametrize("said", ["X-Tenant: evil", "X-Tenant: acme", "X-Nothing: 1"])
async def test_a_head_freshens_by_its_own_tenants_fields_alone(gateway: Gateway, origin: Origin, said: str) -> None:
    path = says(origin, "/by-field-short", "X-Tenant: acme", 'ETag: "a"', "Cache-Control: public, max-age=1")
    assert (await ask(gateway, path)).status == 200
    await asyncio.sleep(1.1)
    lines = ["HTTP/1.1 200 OK", said, 'ETag: "a"', "Content-Length: 2", "Cache-Control: public, max-age=60", "X-New: 1"]
    origin.answers[path] = "\r\n".join([*lines, "", ""]).encode()
    await once(gateway, get(path, bearer(), method="HEAD"), head=True)
    origin.answers[path] = b"HTTP/1.1 200 OK\r\nX-Tenant: acme\r\nContent-Length: 2\r\n\r\nok"
    answer = await ask(gateway, path)
    assert (answer.status, answer.body, is_hit(answer)) == (200, b"ok", said == "X-Tenant: acme")
    assert (answer.get("X-New") is not None) == (said == "X-Tenant: acme")
