"""The read-only and the admin listener, as Prometheus, Kubernetes and ops meet them."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway import ROOT, Gateway, bearer, eventually, get, once, reached, running, statuses, volley
from tests.e2e.origin import OK, Exchange, running_origin
from tests.e2e.policies import policy

TOKEN = "a-token-of-ops-0123456789"
ROUTES = """
limits: {per-user: {scope: user, rate: 1000000/1m}}
routes:
  - {name: counted, match: {path: "/counted"}, upstream: app, limits: [per-user]}
  - {name: app, match: {path: "/**"}, upstream: app, auth: none, limits: []}
"""


@pytest.fixture(scope="module")
def setup() -> Iterator[SimpleNamespace]:
    with running_origin() as origin:
        text = policy(origin.port, ROUTES, workers=3, admin_token=TOKEN)
        with running(text) as gateway:
            yield SimpleNamespace(origin=origin, gateway=gateway, policy=text)


@pytest.fixture
def gateway(setup: SimpleNamespace) -> Gateway:
    return setup.gateway


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


async def test_metrics_parse_and_sum_over_workers(gateway: Gateway) -> None:
    who = bearer(user="counted")
    answers = await volley(gateway, get("/counted", who), 120, connections=12)
    assert statuses(answers) == {200: 120}
    await reached(lambda: gateway.metric("sluicegate_requests_in_flight") == 0)
    _, text = await asyncio.to_thread(fetch, gateway.listener("metrics") + "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = [
        sample.value
        for sample in families["sluicegate_requests"].samples
        if sample.labels.get("route") == "counted" and sample.labels["status"] == "200"
    ]
    assert sum(requests) == 120
    decisions = [s for s in families["sluicegate_limit_decisions"].samples if s.labels["limit"] == "per-user"]
    assert [(s.labels["decision"], s.value) for s in decisions] == [("admitted", 120)]
    duration = [s for s in families["sluicegate_request_duration_seconds"].samples if s.labels["route"] == "counted"]
    buckets = [s.value for s in duration if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(s.value for s in duration if s.name.endswith("_count")) == 120
    assert families["sluicegate_workers"].samples[0].value == 3
    assert families["sluicegate_redis_breaker_open"].samples[0].value == 0
    assert all(family.documentation for family in families.values())


async def test_labels_are_from_closed_sets(gateway: Gateway) -> None:
    """Paths, users and ids that clients make up leave no label behind."""
    for number in range(20):
        await once(gateway, get(f"/made-up-{number}?id={number}"))
    _, text = await asyncio.to_thread(fetch, gateway.listener("metrics") + "/metrics")
    assert "made-up" not in text
    assert len(text.splitlines()) < 500


async def test_health_is_told_on_both_listeners(gateway: Gateway) -> None:
    for name in ("metrics", "admin"):
        base = gateway.listener(name)
        assert (await asyncio.to_thread(fetch, base + "/health/live"))[0] == 200
        status, body = await asyncio.to_thread(fetch, base + "/health/ready")
        assert status == 200
        assert '"ready"' in body
    assert (await asyncio.to_thread(fetch, gateway.listener("metrics") + "/status"))[0] == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/reload"), ("PUT", "/maintenance"), ("DELETE", "/maintenance")])
async def test_what_changes_anything_needs_the_token(gateway: Gateway, method: str, path: str) -> None:
    for wrong in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
        status, body = await asyncio.to_thread(gateway.admin, method, path, wrong)
        assert (status, "token" in body["error"]) == (401, True)
    assert (await once(gateway, get("/"))).status == 200


async def test_a_token_that_is_no_text_is_wrong_and_no_fault_of_ours(gateway: Gateway) -> None:
    """It was answered 500: bytes that are not UTF-8 came as surrogates, which do not encode."""
    host, _, port = gateway.listener("admin").removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /reload HTTP/1.0\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_reload_answers_whether_it_is_in_force(gateway: Gateway, setup: SimpleNamespace) -> None:
    status, body = await asyncio.to_thread(gateway.admin, "POST", "/reload", TOKEN)
    assert (status, body["applied"]) == (200, True)
    gateway.config.write_text("broken: [")
    status, body = await asyncio.to_thread(gateway.admin, "POST", "/reload", TOKEN)
    assert (status, body["applied"]) == (422, False)
    gateway.write_policy(setup.policy)
    assert (await asyncio.to_thread(gateway.admin, "POST", "/reload", TOKEN))[0] == 200


async def test_maintenance_reaches_all_workers_and_outlives_a_reload(gateway: Gateway) -> None:
    status, body = await asyncio.to_thread(gateway.admin, "PUT", "/maintenance?retry_after=90s", TOKEN)
    assert (status, body) == (200, {"maintenance": True})
    answers = [await once(gateway, get("/")) for _ in range(15)]
    assert {(answer.status, answer.get("Retry-After")) for answer in answers} == {(503, "90")}
    assert answers[0].json()["type"].endswith("#temporary-reduced-capacity")
    await asyncio.to_thread(gateway.admin, "POST", "/reload", TOKEN)
    assert {(await once(gateway, get("/"))).status for _ in range(15)} == {503}
    assert (await asyncio.to_thread(gateway.admin, "GET", "/status"))[1]["maintenance"] is True
    assert (await asyncio.to_thread(gateway.admin, "DELETE", "/maintenance", TOKEN))[0] == 200
    assert {(await once(gateway, get("/"))).status for _ in range(15)} == {200}


async def test_a_worker_that_starts_later_is_in_maintenance_too(gateway: Gateway) -> None:
    await asyncio.to_thread(gateway.admin, "PUT", "/maintenance", TOKEN)
    before = gateway.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    await asyncio.to_thread(
        eventually,
        lambda: gateway.metric("sluicegate_workers") == 3 and len(set(gateway.worker_pids()) - set(before)) == 1,
    )
    assert {(await once(gateway, get("/"))).status for _ in range(15)} == {503}
    await asyncio.to_thread(gateway.admin, "DELETE", "/maintenance", TOKEN)


async def test_a_maintenance_without_a_good_time_is_refused(gateway: Gateway) -> None:
    status, body = await asyncio.to_thread(gateway.admin, "PUT", "/maintenance?retry_after=soon", TOKEN)
    assert status == 400
    assert "soon" in body["error"]
    assert (await once(gateway, get("/"))).status == 200


async def test_no_listener_tells_a_secret(gateway: Gateway) -> None:
    base = gateway.listener("admin")
    told = "".join([(await asyncio.to_thread(fetch, base + path))[1] for path in ("/status", "/metrics")])
    assert TOKEN not in told
    assert "s" * 32 not in told


async def test_while_draining_it_is_live_and_not_ready() -> None:
    asked = threading.Event()

    async def slow(exchange: Exchange) -> None:
        await asyncio.to_thread(asked.wait, 20)
        await exchange.send(OK)

    with running_origin() as origin:
        origin.answers["/slow"] = slow
        with running(policy(origin.port, ROUTES)) as gateway:
            await without_a_token_it_is_for_reading(gateway)
            base = gateway.listener("metrics")
            request = asyncio.create_task(once(gateway, get("/slow")))
            await asyncio.to_thread(eventually, lambda: origin.seen)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.event, "draining")
            status, body = await asyncio.to_thread(fetch, base + "/health/ready")
            assert (status, "draining" in body) == (503, True)
            assert (await asyncio.to_thread(fetch, base + "/health/live"))[0] == 200
            asked.set()
            assert (await request).status == 200


async def without_a_token_it_is_for_reading(gateway: Gateway) -> None:
    for given in (None, "", "anything"):
        status, body = await asyncio.to_thread(gateway.admin, "POST", "/reload", given)
        assert (status, "no admin.token is set" in body["error"]) == (403, True)


def test_while_starting_it_is_live_and_not_ready(tmp_path: Path) -> None:
    """Kubernetes asks before the first worker answers."""
    (tmp_path / "config.yaml").write_text(policy(1, ROUTES))
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "run", "--config", "config.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        line = process.stderr.readline()
        address = re.search(r'"address":"([^"]+)"', line)[1]
        status, body = fetch(f"http://{address}/health/ready")
        assert (status, "starting" in body) == (503, True)
        assert fetch(f"http://{address}/health/live")[0] == 200
        eventually(lambda: fetch(f"http://{address}/health/ready")[0] == 200, 20)
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
