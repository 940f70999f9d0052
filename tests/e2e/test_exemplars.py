"""A Prometheus that scrapes the gateway finds, for a bucket, a trace of one of its requests."""

import asyncio
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.deploy.test_grafana import running_prometheus
from tests.e2e.gateway import Gateway, eventually, get, once, running
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy

pytestmark = pytest.mark.full  # a Prometheus

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SPAN = "b7ad6b7169203331"
DURATION = "sluicegate_request_duration_seconds"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """Whose Sentry is away: nobody has to hear of a trace for it to be an exemplar."""
    with running_origin() as origin:
        rest = """
            sentry: {dsn: "http://key@127.0.0.1:1/1", report: []}
            routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]
            """
        with running(policy(origin.port, rest)) as started:
            yield started


def traced(gateway: Gateway, trace_id: str, flags: str = "01") -> str:
    """The request's id."""
    answer = asyncio.run(once(gateway, get("/a", f"traceparent: 00-{trace_id}-{SPAN}-{flags}")))
    return str(answer.get("X-Request-ID"))


def exposed(gateway: Gateway) -> list[Any]:
    request = urllib.request.Request(gateway.listener("metrics") + "/metrics", headers={"Accept": OPENMETRICS})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith(OPENMETRICS)
        text = answer.read().decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def test_the_trace_of_the_log_line_is_the_bucket_s(gateway: Gateway) -> None:
    request_id = traced(gateway, "1" * 32)
    assert gateway.request_line(request_id)["trace"] == "1" * 32
    found = [one for one in exposed(gateway) if one.exemplar and one.labels.get("route") == "app"]
    (one,) = [one for one in found if one.exemplar.labels == {"trace_id": "1" * 32}]
    assert one.name == f"{DURATION}_bucket"
    assert one.exemplar.value <= float(one.labels["le"])
    assert float(one.exemplar.timestamp) == pytest.approx(time.time(), abs=30)
    milliseconds = gateway.request_line(request_id)["ms"]
    assert one.exemplar.value * 1000 == pytest.approx(milliseconds, abs=0.01)


def test_what_is_not_sampled_is_no_exemplar(gateway: Gateway) -> None:
    before = {one.exemplar.labels["trace_id"] for one in exposed(gateway) if one.exemplar}
    traced(gateway, "2" * 32, flags="00")
    asyncio.run(once(gateway, get("/a")))
    assert {one.exemplar.labels["trace_id"] for one in exposed(gateway) if one.exemplar} == before


def test_prometheus_keeps_them(gateway: Gateway, tmp_path: Path) -> None:
    started = time.time()
    with running_prometheus(tmp_path, gateway, "--enable-feature=exemplar-storage") as prometheus:

        def asked() -> list[Any]:
            query = urllib.parse.urlencode(
                {"query": f"{DURATION}_bucket", "start": started - 60, "end": time.time() + 1}
            )
            with urllib.request.urlopen(f"{prometheus}/api/v1/query_exemplars?{query}", timeout=5) as answer:
                return list(json.load(answer)["data"])

        def kept() -> list[Any]:
            return [
                (series["seriesLabels"], one)
                for series in asked()
                for one in series["exemplars"]
                if one["labels"] == {"trace_id": "3" * 32}
            ]

        traced(gateway, "3" * 32)
        labels, exemplar = eventually(kept, 20)[0]
        assert labels["route"] == "app"
        assert float(exemplar["value"]) <= float(labels["le"])
