"""What is fetched behind a client's back: while a stale answer serves, and never so that a failure is seen."""

import asyncio
import itertools

import pytest

from tests.e2e.crowds import hears_purges
from tests.e2e.gateway import bearer, eventually, get, once, reached, running
from tests.e2e.origin import Exchange
from tests.e2e.policies import policy

ROUTES = """
routes:
  - {name: behind, match: {path: "/behind/**"}, upstream: behind, cache: {early_refresh: false}}
  - {name: instead, match: {path: "/instead/**"}, upstream: instead, cache: {early_refresh: false}}
  - {name: app, match: {path: "/**"}, upstream: app, cache: {early_refresh: false}}
"""
STALE = "Age: 10\r\nCache-Control: public, max-age=1, stale-while-revalidate=600"  # from when it comes

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(origin):
    upstreams = "\n".join(f'{name}: {{primary: ["http://127.0.0.1:{origin.port}"]}}' for name in ("behind", "instead"))
    with running(policy(origin.port, ROUTES, workers=1, upstreams=upstreams)) as gateway:
        eventually(lambda: hears_purges(gateway))  # what was fetched before is not reused
        yield gateway


def said(body, *fields, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def answer_that(gateway, request, holds):
    """The first answer that does."""
    async with asyncio.timeout(10):
        while not holds(answer := await once(gateway, request)):  # noqa: ASYNC110 - the gateway refreshes in its own time
            await asyncio.sleep(0.02)
        return answer


def is_stale(answer):
    return "hit; ttl=-" in answer.get("Cache-Status")


async def test_a_stale_answer_serves_while_one_fetch_brings_the_next(gateway, origin):
    path = f"/{next(_numbers)}"
    origin.answers[path] = said(b"old", STALE)
    request = get(path, bearer())
    assert (await once(gateway, request)).body == b"old"
    origin.answers[path] = said(b"new", "Cache-Control: public, max-age=600")
    stale = await answer_that(gateway, request, is_stale)
    assert stale.body == b"old"
    await answer_that(gateway, request, lambda answer: answer.body == b"new")
    assert len(origin.asked(path)) == 2


async def test_it_asks_on_a_condition_and_a_304_renews_what_is_stored(gateway, origin):
    path = f"/{next(_numbers)}"
    origin.answers[path] = said(b"same", STALE, 'ETag: "v1"')
    request = get(path, bearer(), 'If-None-Match: "other"')
    assert (await once(gateway, request)).body == b"same"
    origin.answers[path] = said(b"", "Cache-Control: public, max-age=600", 'ETag: "v1"', status="304 Not Modified")
    await answer_that(gateway, request, is_stale)
    renewed = await answer_that(gateway, request, lambda answer: not is_stale(answer))
    assert (renewed.status, renewed.body) == (200, b"same")
    assert origin.asked(path)[-1].all("If-None-Match") == ['"v1"']


@pytest.mark.parametrize("failure", [said(b"no", status="503 Service Unavailable"), said(b"", status="404 Not Found")])
async def test_a_failure_behind_is_not_seen_and_a_late_end_is(gateway, origin, failure):
    """An error of the app leaves the stale answer to serve on; that the thing is gone is believed."""
    path = f"/{next(_numbers)}"
    origin.answers[path] = said(b"old", STALE)
    request = get(path, bearer())
    await once(gateway, request)
    origin.answers[path] = failure
    await answer_that(gateway, request, is_stale)
    async with asyncio.timeout(10):
        while len(origin.asked(path)) < 3:
            answer = await once(gateway, request)
            assert (answer.status, answer.body) == (200, b"old")
            await asyncio.sleep(0.02)


def failed(gateway, upstream):
    return gateway.metric(rf'sluicegate_upstream_failures_total\{{reason="status_5xx",upstream="{upstream}"\}}')


async def test_a_failure_behind_is_counted_with_all_that_was_asked(gateway, origin):
    """Found in review: an upstream that failed at each refresh was well by all that ops are woken by."""
    path = f"/behind/{next(_numbers)}"
    origin.answers[path] = said(b"old", STALE)
    request = get(path, bearer())
    await once(gateway, request)
    origin.answers[path] = said(b"no", status="503 Service Unavailable")
    assert is_stale(await answer_that(gateway, request, is_stale))
    await reached(lambda: failed(gateway, "behind") > 0)
    timed = r'sluicegate_upstream_duration_seconds_count\{upstream="behind"\}'
    await reached(lambda: failed(gateway, "behind") + 1 == len(origin.asked(path)) == gateway.metric(timed))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_error_that_a_stale_answer_stands_in_for_is_counted(gateway, origin, method):
    path = f"/instead/{next(_numbers)}"
    origin.answers[path] = said(b"old", "Age: 10\r\nCache-Control: public, max-age=1, stale-if-error=600")
    await once(gateway, get(path, bearer()))
    origin.answers[path] = said(b"no", status="503 Service Unavailable")
    before = failed(gateway, "instead")
    for _ in range(2):
        assert (await once(gateway, get(path, bearer(), method=method), head=method == "HEAD")).status == 200
    await reached(lambda: failed(gateway, "instead") == before + 2)


async def test_each_variant_is_fetched_anew_by_itself_and_once(gateway, origin):
    """The origin answers none of them anew before it was asked for all."""
    kinds, renewed, stale = ("a", "b", "c"), [], False

    async def vary(exchange: Exchange) -> None:
        if stale:
            renewed.append(exchange.seen.get("X-Kind"))
            await reached(lambda: set(renewed) == set(kinds), 5)
        await exchange.send(said(b"new" if stale else b"old", STALE, "Vary: X-Kind"))

    async def ask_all(times):
        wanted = [once(gateway, get("/varied", bearer(), f"X-Kind: {kind}")) for kind in kinds * times]
        return {answer.body for answer in await asyncio.gather(*wanted)}

    await reached(lambda: gateway.metric("sluicegate_cache_workers_current") == 1)
    origin.answers["/varied"] = vary
    assert await ask_all(1) == {b"old"}
    stale = True
    assert b"old" in await ask_all(5)
    await reached(lambda: len(renewed) >= len(kinds))
    assert sorted(renewed[: len(kinds)]) == list(kinds)
