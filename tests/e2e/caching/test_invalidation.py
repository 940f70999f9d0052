"""What a request that may have changed something makes invalid (RFC 9111 §4.4), and a POST whose answer is kept."""

import asyncio
import threading

import pytest

from tests.e2e.caching.cases import By, Case, Step, failures
from tests.e2e.gateway import Client, Gateway, bearer, get, once, reached
from tests.e2e.origin import Exchange, Origin, read_body

FRESH = "Cache-Control: max-age=3600"
UNSAFE = ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "NOTIFY")


def after(method: str, by: By, *says: str, status: int = 200, path: str = "") -> Case:
    """Something stored at ``path``, a request with ``method`` to another, and what has become of it."""
    return (
        Step(By.ORIGIN, (FRESH,), path=path),
        Step(By.ORIGIN, says, method=method, status=status, path="/writes" if path else ""),
        Step(by, (FRESH,), path=path),
    )


INVALIDATION: dict[str, Case] = {
    **{f"{method}": after(method, By.ORIGIN) for method in UNSAFE},
    **{f"{method}-redirecting": after(method, By.ORIGIN, "Location: /elsewhere", status=303) for method in UNSAFE[:3]},
    **{f"{method}-failing": after(method, By.CACHE, status=500) for method in UNSAFE},
    **{f"{method}-refused": after(method, By.CACHE, status=404) for method in UNSAFE[:3]},
    **{
        f"{method}-{name}": after(method, By.ORIGIN, f"{name}: {how}{method}-{name}/there", path="/there")
        for method in UNSAFE
        for name, how in (("Location", "/rfc/"), ("Content-Location", "http://app.test/rfc/"))
    },
    "relative-location": after("POST", By.ORIGIN, "Location: there", path="/there"),
    "location-of-another-host": after(
        "POST", By.CACHE, "Location: http://other.test/rfc/location-of-another-host/there", path="/there"
    ),
    "failing-with-a-location": after("POST", By.CACHE, "Location: there", status=500, path="/there"),
    "safe-methods": (
        Step(By.ORIGIN, (FRESH,)),
        Step(By.ORIGIN, method="OPTIONS"),
        Step(By.ORIGIN, method="PROPFIND"),
        Step(By.CACHE, text="step 1"),
    ),
    "another-url": (
        Step(By.ORIGIN, (FRESH,), query="a=1"),
        Step(By.ORIGIN, method="PUT", query="a=2"),
        Step(By.CACHE, query="a=1", text="step 1"),
    ),
    "all-variants": (
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 1",)),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 2",)),
        Step(By.ORIGIN, method="PUT"),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 1",)),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 2",)),
    ),
}


async def test_what_changed_is_not_reused(gateway: Gateway, origin: Origin) -> None:
    assert await failures(gateway, origin, INVALIDATION) == {}


async def test_a_write_by_another_route_reaches_what_a_caching_one_has_stored(gateway: Gateway, origin: Origin) -> None:
    """By Location; ``/other`` is a route that caches nothing."""
    origin.answers["/rfc/item"] = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 1\r\n\r\na".encode()
    origin.answers["/other"] = b"HTTP/1.1 201 Created\r\nLocation: /rfc/item\r\nContent-Length: 0\r\n\r\n"
    assert (await once(gateway, get("/rfc/item"))).get("Age") is None
    assert (await once(gateway, get("/rfc/item"))).get("Age") is not None
    assert (await once(gateway, get("/other", method="POST", body=b"x"))).status == 201
    assert (await once(gateway, get("/rfc/item"))).get("Age") is None


async def test_a_tenants_write_invalidates_nothing_of_another_tenants(gateway: Gateway, origin: Origin) -> None:
    origin.answers["/tenant/item"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    for tenant in ("one", "two"):
        assert (await once(gateway, get("/tenant/item", bearer(tenant=tenant)))).get("Age") is None
    assert (await once(gateway, get("/tenant/item", bearer(tenant="one"), method="PUT", body=b"x"))).status == 200
    assert (await once(gateway, get("/tenant/item", bearer(tenant="one")))).get("Age") is None
    assert (await once(gateway, get("/tenant/item", bearer(tenant="two")))).get("Age") is not None


@pytest.mark.parametrize("how", ["its client leaves", "it is cut off"])
async def test_a_write_that_is_never_answered_may_have_written(gateway: Gateway, origin: Origin, how: str) -> None:
    """What is stored says nothing about it: the app is asked."""
    path = f"/tenant/unheard/{len(how)}"
    written = threading.Event()

    async def item(exchange: Exchange) -> None:
        if exchange.seen.request_line.startswith("POST"):
            written.set()
            if how == "it is cut off":
                exchange.reset()
            else:
                await exchange.rest()
            return
        body = b"new" if written.is_set() else b"old"
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

    origin.answers[path] = item
    for _ in range(2):
        assert (await once(gateway, get(path, bearer()))).body == b"old"
    async with await Client.connect(gateway) as client:
        await client.send(get(path, bearer(), method="POST", body=b"x"))
        await reached(written.is_set)
        if how == "it is cut off":
            assert (await client.answer()).status == 502
    async with asyncio.timeout(5):
        while (await once(gateway, get(path, bearer()))).body == b"old":  # noqa: ASYNC110 - the gateway hears of it in its own time
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["503", "reset"])
async def test_what_is_purged_while_the_app_fails_does_not_stand_in_for_it(
    gateway: Gateway, origin: Origin, how: str
) -> None:
    """A purge that has been acknowledged holds for requests under way as well."""
    path = f"/safe/purged-meanwhile/{how}"
    asked, purged = threading.Event(), threading.Event()

    async def item(exchange: Exchange) -> None:
        if exchange.seen.request_line.startswith("POST"):
            await read_body(exchange.seen, exchange.reader)
            await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif not stale:
            says = b"Cache-Control: max-age=1, stale-if-error=60"
            await exchange.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 3\r\n\r\nold" % says)
        else:
            asked.set()
            await reached(purged.is_set)
            if how == "reset":
                exchange.reset()
            else:
                await exchange.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad")

    stale = False
    origin.answers[path] = item
    assert (await once(gateway, get(path))).body == b"old"
    await asyncio.sleep(1.1)
    stale = True
    fetching = asyncio.create_task(once(gateway, get(path)))
    await reached(asked.is_set)
    assert (await once(gateway, get(path, method="POST", body=b"x"))).status == 204
    purged.set()
    assert (await fetching).status == (502 if how == "reset" else 503)


# --- RFC 9110 §9.3.3: an answer to POST that says what GET would give ---

EXPLICIT = "Expires: Thu, 18 Aug 2050 02:01:18 GMT"
STORED = r'sluicegate_cache_answers_total\{.*result="stored"'


async def serves_get(gateway: Gateway, origin: Origin, path: str, *says: str, asks: tuple[str, ...] = ()) -> bool:
    """Whether the answer to a POST answers a GET after it. One that is kept for certain ends the waiting for it."""
    origin.answers[path] = "\r\n".join(["HTTP/1.1 200 OK", *says, "Content-Length: 6", "", "posted"]).encode()
    marker = f"/rfc/marker{path}"
    lines = ["HTTP/1.1 200 OK", EXPLICIT, f"Content-Location: {marker}", "Content-Length: 0", "", ""]
    origin.answers[marker] = "\r\n".join(lines).encode()
    before = gateway.metric(STORED)
    answer = await once(gateway, get(path, *asks, method="POST", body=b"12345"))
    assert (answer.status, answer.body) == (200, b"posted")
    assert (await once(gateway, get(marker, method="POST", body=b"1"))).status == 200
    await reached(lambda: gateway.metric(STORED) > before)
    found = await once(gateway, get(path))
    assert found.body == b"posted"
    return found.get("Age") is not None


@pytest.mark.parametrize(
    ("path", "location"),
    [("/rfc/a", "/rfc/a"), ("/rfc/b", "http://app.test/rfc/b"), ("/rfc/c", "c"), ("/rfc/d", "")],
    ids=["path", "whole", "relative", "empty"],
)
async def test_an_answer_to_post_that_names_its_own_target_serves_get(
    gateway: Gateway, origin: Origin, path: str, location: str
) -> None:
    assert await serves_get(gateway, origin, path, EXPLICIT, f"Content-Location: {location}")


@pytest.mark.parametrize(
    ("path", "says", "asks"),
    [
        ("/rfc/names-another", (EXPLICIT, "Content-Location: /rfc/another"), ()),
        ("/rfc/names-none", (EXPLICIT,), ()),
        ("/rfc/guessed", ("Last-Modified: Sat, 01 Nov 2025 00:00:00 GMT", "Content-Location: "), ()),
        ("/rfc/post-no-store", (EXPLICIT, "Cache-Control: no-store", "Content-Location: "), ()),
        ("/rfc/asked-no-store", (EXPLICIT, "Content-Location: "), ("Cache-Control: no-store",)),
        ("/rfc/credential", (EXPLICIT, "Content-Location: "), ("Authorization: FOO",)),
        ("/rfc/field-taken-away", (EXPLICIT, "Content-Location: "), ("Connection: Accept-Language",)),
        ("/rfc/steered", (EXPLICIT, "Content-Location: "), ("X-Rewrite-URL: /elsewhere",)),
        ("/safe/safe-profile", ("Cache-Control: public, max-age=60", "Content-Location: "), ()),
    ],
)
async def test_no_other_answer_to_post_is_stored(
    gateway: Gateway, origin: Origin, path: str, says: tuple[str, ...], asks: tuple[str, ...]
) -> None:
    assert not await serves_get(gateway, origin, path, *says, asks=asks)


async def test_an_answer_to_post_takes_the_place_of_what_was_stored(gateway: Gateway, origin: Origin) -> None:
    path = "/rfc/replaced"
    origin.answers[path] = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 3\r\n\r\nold".encode()
    assert (await once(gateway, get(path))).body == b"old"
    assert await serves_get(gateway, origin, path, EXPLICIT, "Content-Location: ")
    assert (await once(gateway, get(path, method="PUT", body=b"x"))).status == 200
    assert (await once(gateway, get(path))).get("Age") is None
