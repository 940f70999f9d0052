"""Each query of each panel returns data from a Prometheus that scraped a running gateway under load of every kind."""

import asyncio
import datetime
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.series import unknown
from tests.e2e.gateway import ROOT, Gateway, bearer, eventually, get, once, running, token, volley
from tests.e2e.origin import OK, Origin, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider, call, post
from tests.gateway.test_certificates import certificate
from tests.store.servers import free_port

DASHBOARD = ROOT / "deploy/grafana/sluicegate.json"
SCRAPES_S = 6  # of load: some of Prometheus' looks, one a second
TOKEN = "a-token-of-ops-0123456789"
SHOWS_A_CERTIFICATE = """
import asyncio, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
async def main():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", int(sys.argv[2]), ssl=context)
    await server.serve_forever()
asyncio.run(main())
"""
REST = """
limits:
  per-user: {scope: user, rate: 20/1m}
  per-tenant: {scope: tenant, rate: 100_000/1m}
budgets:
  all: {scope: global, daily: $100}
  small: {scope: user, daily: $0.000001}
routes:
  - {name: poor, match: {path: "/poor/**"}, rewrite: {strip: /poor}, upstream: openai, limits: [], budgets: [small]}
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [per-tenant], budgets: [all]}
  - {name: strict, match: {path: "/strict/**"}, upstream: app, limits: [per-user]}
  - {name: cached, match: {path: "/cached/**"}, upstream: app, limits: [per-tenant], cache: {ttl: 1h}}
  - {name: gone, match: {path: "/gone/**"}, upstream: gone, auth: none, limits: []}
  - {name: safe, match: {path: "/safe/**"}, upstream: safe, auth: none, limits: []}
  - {name: app, match: {path: "/**"}, upstream: app, limits: [per-tenant]}
"""


def test_the_dashboard_is_what_its_table_makes() -> None:
    """Regenerate it: python deploy/grafana/generate.py > deploy/grafana/sluicegate.json"""
    made = subprocess.run(
        [sys.executable, str(ROOT / "deploy/grafana/generate.py")], capture_output=True, text=True, check=True
    )
    assert DASHBOARD.read_text("utf-8") == made.stdout


def test_panels_neither_overlap_nor_share_a_number() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def queries() -> list[tuple[str, str]]:
    """Title and PromQL of each, with what Grafana would fill in."""
    found = []
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in (("$__rate_interval", "5s"), ("$job", ".*"), ("$instance", ".*"), ("$route", ".*")):
                query = query.replace(name, value)
            found.append((panel["title"], query))
    return found


def test_panels_speak_of_metrics_that_there_are() -> None:
    """With the names that are exposed: those that show nothing as 0 would return data under any name."""
    assert not {title: names for title, query in queries() if (names := unknown(query))}


@dataclass
class Stand:
    prometheus: str
    gateway: Gateway

    def ask(self, query: str) -> list[Any]:
        """Over the whole time of the load, as a panel does."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": query, "start": now - 60, "end": now, "step": 1})
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/query_range?{asked}", timeout=10) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return list(told["data"]["result"])


async def load(gateway: Gateway) -> None:
    """Something of everything that the gateway counts, once."""
    await volley(gateway, get("/x", bearer()), 20, 4)
    await volley(gateway, get("/strict/x", bearer(user="busy")), 20, 4)
    await volley(gateway, get("/cached/x", bearer(tenant="globex")), 20, 2)
    await once(gateway, get(f"/cached/{time.monotonic_ns()}", bearer()))
    await once(gateway, get("/cached/x", bearer(), method="POST", body=b"x"))
    await once(gateway, get("/gone/x"))
    await once(gateway, get("/nothing"))
    await once(gateway, post(call(prompt=10, output=10), token()))
    await once(gateway, post(call(prompt=10, output=10), token(), "/poor/v1/chat/completions"))
    gateway.admin("POST", "/cache/purge", TOKEN, json.dumps({"tenant": "initech"}).encode())


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        origin: Origin = stack.enter_context(running_origin())
        Provider().attach(origin)
        origin.answers["/x"] = OK
        safe = stack.enter_context(tls_origin(folder))
        upstreams = f"""
            openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}
            gone: {{primary: ["http://127.0.0.1:1"]}}
            safe: {{primary: ["https://127.0.0.1:{safe}"]}}"""
        text = policy(origin.port, REST, upstreams=upstreams, admin_token=TOKEN, workers=2)
        text = text.replace('metrics: {address: "127.0.0.1:0"}', 'metrics: {address: "127.0.0.1:0", tenants: [acme]}')
        gateway = stack.enter_context(running(text))
        prometheus = stack.enter_context(running_prometheus(folder, gateway))
        asked = Stand(prometheus, gateway)
        deadline = time.monotonic() + SCRAPES_S
        while time.monotonic() < deadline:
            asyncio.run(load(gateway))
        yield asked


@contextmanager
def tls_origin(folder: Path) -> Iterator[int]:
    """The port of a process that shows a certificate: nothing more is asked of it here."""
    certificate(folder, datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30))
    port = free_port()
    command = [sys.executable, "-c", SHOWS_A_CERTIFICATE, str(folder / "peer.pem"), str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_prometheus(folder: Path, gateway: Gateway, *more: str) -> Iterator[str]:
    """The URL of Debian's, which looks at the gateway every second."""
    target, port = gateway.listener("metrics").removeprefix("http://"), free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: sluicegate, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
    command = [
        "prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
        *(f"--{k}={v}" for k, v in options.items()),
        *more,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _is_ready(url), 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.full
@pytest.mark.parametrize(("title", "query"), queries(), ids=[title for title, _ in queries()])
def test_each_query_returns_data(stand: Stand, title: str, query: str) -> None:
    """A number, too: a share of nothing is none."""

    def numbers() -> list[float]:
        values = [float(value) for series in stand.ask(query) for _, value in series["values"]]
        return [value for value in values if value == value]

    assert eventually(numbers, 15), f"{title}: {query}"
