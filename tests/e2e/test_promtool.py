"""Prometheus' own linter on what a running gateway exposes, and on a sample of all that one could."""

import asyncio
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import FAMILIES, Kind, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.gateway import Gateway, get, once, running
from tests.e2e.origin import Origin

pytestmark = pytest.mark.full

POLICY = """
version: 1
listen: {address: "127.0.0.1:0", workers: 1}
metrics: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
data_dir: %s
tiers: [standard, anonymous]
upstreams: {app: {primary: ["http://127.0.0.1:%d"]}}
limits: {per-ip: {scope: ip, rate: 2/1m}}
defaults: {auth: none, limits: [per-ip]}
routes: [{name: app, match: {path: /**}, upstream: app}]
"""


@pytest.fixture
def gateway(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(POLICY % (tmp_path_factory.mktemp("data"), origin.port)) as started:
        yield started


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"], ids=["text", "openmetrics"])
def test_promtool_finds_nothing_to_say(gateway: Gateway, accept: str) -> None:
    """After requests that were answered, refused and not found, so that there is something to lint."""
    for path in ("/a", "/b", "/c", "/../x"):
        asyncio.run(once(gateway, get(path)))
    request = urllib.request.Request(gateway.listener("metrics") + "/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        exposed = answer.read()
    assert b"sluicegate_requests_total{" in exposed
    if not accept:  # promtool's linter reads the text format
        done = subprocess.run(["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    else:
        assert exposed.endswith(b"# EOF\n")


def test_promtool_finds_nothing_to_say_of_any_metric() -> None:
    """Also of those that are counted only when something fails."""
    exposition, files = Exposition(), SheetFiles.make()
    exposition.attach(SheetReader(files))
    metrics = Metrics(Sheet(files))
    for family in FAMILIES:
        labels = ["x"] * len(family.labels)
        if family.kind is Kind.HISTOGRAM:
            metrics.histogram(family, *labels).observe(0.01)
        else:
            metrics.set(family, 1.5, *labels)
    exposed, _ = exposition.scrape("")
    assert exposed.count(b"# TYPE") == len(FAMILIES)
    done = subprocess.run(["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
