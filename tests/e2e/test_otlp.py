"""A collector hears of a request as a tree of spans that goes on with its caller's, and of all that /metrics says."""

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway import Gateway, bearer, eventually, get, once, running, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider, call, post
from tests.e2e.test_sentry import BODY, PRIVATE, QUERY, SECRETS
from tests.otlp.collector import Collector, Series, Span
from tests.sentry.sentry_receiver import Receiver, heard

pytestmark = pytest.mark.full  # many seconds

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
INTERNAL, SERVER, CLIENT = 1, 2, 3
API_KEY = "collector-key-5318008"


@dataclass
class Stand:
    gateway: Gateway
    origin: Origin
    collector: Collector


def otlp_policy(origin: Origin, otlp: str, more: str = "") -> str:
    return policy(
        origin.port,
        f"""
        otlp: {{{otlp}}}
        {more}
        limits: {{wide: {{scope: ip, rate: 1000000/1m}}}}
        routes:
          - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, auth: required, max_output_tokens: 100}}
          - {{name: dead, match: {{path: "/dead"}}, upstream: gone, auth: none}}
          - {{name: app, match: {{path: "/**"}}, upstream: app, auth: optional, limits: [wide]}}
        """,
        workers=1,
        upstream='headers: {X-Upstream: "password-of-the-upstream"}',
        upstreams=f"""
        openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}
        gone: {{primary: ["http://127.0.0.1:1"]}}
        """,
    )


@contextmanager
def stand(rate: float, more: str = "", rest: str = "") -> Iterator[Stand]:
    with running_origin() as origin, Collector.receiving() as collector:
        Provider().attach(origin)
        otlp = (
            f'endpoint: "{collector.url}", headers: {{api-key: {API_KEY}}}, '
            f"resource: {{service.name: edge}}, traces: {{sample_rate: {rate}}}{more}"
        )
        with running(otlp_policy(origin, otlp, rest)) as gateway:
            yield Stand(gateway, origin, collector)


def parent_is(flag: str = "01") -> str:
    return f"traceparent: 00-{TRACE}-{SPAN}-{flag}"


def by_name(spans: list[Span]) -> dict[str, Span]:
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


async def test_a_request_is_a_tree_that_goes_on_with_its_caller_s() -> None:
    """At a rate of 0, since the caller's decision is kept; and the upstream's spans will be the forwarding one's."""
    with stand(0) as on:
        answer = await once(on.gateway, get("/a?page=2", bearer(), parent_is(), "tracestate: vendor=1", "baggage: a=1"))
        spans = on.collector.trace(TRACE)
        found = by_name(spans)
        assert list(found) == ["GET /**", "identify", "admit", "GET", "relay"]
        whole = found["GET /**"]
        assert (whole.kind, whole.parent, whole.flags) == (SERVER, SPAN, 0x301)
        assert {span.parent for span in spans[1:]} == {whole.id}
        assert len({span.id for span in spans} | {SPAN}) == 6
        assert [span.kind for span in spans] == [SERVER, INTERNAL, CLIENT, CLIENT, INTERNAL]
        assert all(whole.start <= span.start <= span.end <= whole.end for span in spans)
        assert not any(span.failed for span in spans)
        attributes = whole.attributes
        assert {name: attributes[name] for name in attributes if not name.startswith("sluicegate.")} == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/**",
            "url.scheme": "http",
            "url.query": "page=[Filtered]",
            "network.protocol.name": "http",
            "network.protocol.version": "1.1",
        }
        assert {name: attributes[name] for name in attributes if name.startswith("sluicegate.")} == {
            "sluicegate.request_id": answer.get("X-Request-ID"),
            "sluicegate.route": "app",
            "sluicegate.tier": "growth_team",
            "sluicegate.tenant": "acme",
            "sluicegate.policy": on.gateway.event("ready")["policy"],
            "sluicegate.outcome": "forwarded",
        }
        assert found["GET"].attributes == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "server.address": "127.0.0.1",
            "server.port": on.origin.port,
            "url.scheme": "http",
            "sluicegate.upstream": "app",
        }
        assert found["admit"].attributes == {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
        seen = on.origin.last()
        assert seen.all("traceparent") == [f"00-{TRACE}-{found['GET'].id}-01"]
        assert (seen.get("tracestate"), seen.get("baggage"), seen.get("sentry-trace")) == ("vendor=1", "a=1", None)
        assert on.gateway.request_line(str(answer.get("X-Request-ID")))["trace"] == TRACE
        resource = on.collector.resources[0]
        assert (resource["service.name"], len(resource["service.instance.id"])) == ("edge", 32)
        path, fields = on.collector.asked[0]
        assert (path, fields["api-key"]) == ("/v1/traces", API_KEY)


async def test_what_is_not_sampled_is_not_told_and_passes_on_untouched() -> None:
    with stand(1, ", metrics: off") as on:
        await once(on.gateway, get("/a", parent_is("00")))
        assert on.origin.last().all("traceparent") == [parent_is("00").partition(" ")[2]]
        await once(on.gateway, get("/a", f"traceparent: 00-{'1' * 32}-{SPAN}-01"))
        on.collector.trace("1" * 32)
        assert {span.trace for span in on.collector.spans} == {"1" * 32}


async def test_a_call_of_a_model_says_which_and_what_it_used() -> None:
    with stand(1) as on:
        request = post(call(prompt=10, output=5), token())
        request = request.replace(b"\r\n\r\n", f"\r\n{parent_is()}\r\n\r\n".encode(), 1)
        assert (await once(on.gateway, request)).status == 200
        spans = on.collector.trace(TRACE)
        names = [span.name.partition(" ")[0] for span in spans]
        assert names == ["POST", "identify", "admit", "chat", "relay", "settle"]
        asked = next(span for span in spans if span.name.startswith("chat "))
        told = asked.attributes
        assert asked.name == f"chat {told['gen_ai.request.model']}"
        assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "openai")
        assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (10, 5)
        assert told["sluicegate.cost_usd"] > 0
        assert on.origin.last().get("traceparent") is None


async def test_a_failure_is_one() -> None:
    with stand(0) as on:
        on.origin.answers["/bad"] = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
        await once(on.gateway, get("/bad", parent_is()))
        found = by_name(on.collector.trace(TRACE))
        assert (found["GET /**"].failed, found["GET /**"].attributes["error.type"]) == (True, "503")
        assert (found["GET"].failed, found["GET"].attributes["error.type"]) == (True, "503")
        await once(on.gateway, get("/dead", f"traceparent: 00-{'2' * 32}-{SPAN}-01"))
        found = by_name(on.collector.trace("2" * 32))
        assert {found[name].attributes["error.type"] for name in ("GET", "GET /dead")} == {"upstream_refused"}


async def test_nothing_private_is_told() -> None:
    """Of tokens, cookies, keys, paths, bodies and values of queries; nor on disk, while it waits."""
    with stand(0) as on:
        on.collector.stop()
        fields = [f"{name}: {value}" for name, value in SECRETS.items()]
        path = f"/reset/path-segment-of-a-reset?{QUERY}"
        request = get(path, parent_is(), *fields, method="POST", body=BODY)
        assert (await once(on.gateway, request)).status == 200
        spool = on.gateway.config.parent / "data" / "otlp"
        eventually(lambda: list(spool.glob("trace-*")))
        waiting = [file.read_bytes() for file in spool.glob("trace-*")]
        on.collector.start()
        on.collector.trace(TRACE)
        for secret in [*PRIVATE, API_KEY]:
            assert not any(secret.encode() in body for body in [*on.collector.raw, *waiting]), secret


async def test_both_hear_of_the_same_trace() -> None:
    """Sentry and the collector: one id, one span to go on from."""
    with Receiver.receiving() as receiver, stand(0, rest=f'sentry: {{dsn: "{receiver.dsn}", report: []}}') as on:
        await once(on.gateway, get("/a", parent_is()))
        payload = heard(receiver, "transaction", lambda one: True)
        whole, *phases = on.collector.trace(TRACE)
        assert payload["contexts"]["trace"]["trace_id"] == TRACE
        assert payload["contexts"]["trace"]["span_id"] == whole.id
        assert [span["span_id"] for span in payload["spans"]] == [span.id for span in phases]
        assert on.origin.last().all("sentry-trace") == [f"{TRACE}-{phases[2].id}-1"]


async def test_over_an_outage_what_waits_arrives_once_each() -> None:
    """No request waits for the collector."""
    with stand(1, ", metrics: {every: 1h}") as on:
        on.collector.stop()
        ids = [f"{number:032x}" for number in range(1, 31)]
        for trace_id in ids:
            assert (await once(on.gateway, get("/a", f"traceparent: 00-{trace_id}-{SPAN}-01"))).status == 200
        eventually(lambda: on.gateway.metric(r'sluicegate_otlp_traces_total\{result="captured"\}') == 30)
        on.collector.start()
        for trace_id in ids:
            on.collector.trace(trace_id)
        eventually(lambda: on.gateway.metric(r'sluicegate_otlp_traces_total\{result="sent"\}') == 30)
        assert len([span for span in on.collector.spans if span.kind == SERVER]) == 30
        assert on.gateway.metric(r'sluicegate_otlp_traces_total\{result="dropped"\}') == 0


async def test_what_came_last_is_sent_before_the_end() -> None:
    """The last traces, and the last counts: of what the gateway did while it drained, too."""
    with stand(1, ", metrics: {every: 1h}") as on:
        await once(on.gateway, get("/a", parent_is()))
        on.gateway.stop()
        assert len(on.collector.trace(TRACE, 0.1)) == 5
        key = (("outcome", "forwarded"), ("route", "app"), ("status", "200"), ("tier", "anonymous"))
        assert on.collector.points()["sluicegate_requests", key].as_double == 1


async def test_metrics_are_those_of_the_page() -> None:
    """Each sample of /metrics is there with its labels and the same value, those of histograms by bucket."""
    with stand(1, ", metrics: {every: 1s}") as on:
        for _ in range(5):
            await once(on.gateway, get("/a", bearer()))
        await once(on.gateway, get("/dead"))
        eventually(lambda: on.gateway.metric(r'sluicegate_otlp_traces_total\{result="sent"\}') == 6)
        before = len(on.collector.pushes)
        eventually(lambda: len(on.collector.pushes) > before + 1)
        told = on.collector.points()
        exposed = exposed_points(await asyncio.to_thread(page, on.gateway))
        moving = re.compile("sluicegate_(loop_lag|otlp|redis_memory|redis_duration)")
        assert {key for key in told if not moving.match(key[0])} == {key for key in exposed if not moving.match(key[0])}
        for key, value in exposed.items():
            if not moving.match(key[0]):
                assert as_exposed(told[key]) == value, key
        durations = told["sluicegate_request_duration_seconds", (("route", "app"),)]
        assert any(exemplar.trace_id.hex() in {s.trace for s in on.collector.spans} for exemplar in durations.exemplars)
        later = on.collector.pushes[-1].resource_metrics[0].scope_metrics[0].metrics
        assert {point.start_time_unix_nano for m in later if m.HasField("sum") for point in m.sum.data_points} == {
            durations.start_time_unix_nano
        }


def page(gateway: Gateway) -> str:
    with urllib.request.urlopen(gateway.listener("metrics") + "/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def exposed_points(text: str) -> dict[Series, Any]:
    """A number, or of a histogram its buckets' counts, its sum and its count."""
    found: dict[Series, Any] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            key = (family.name, tuple(sorted(labels.items())))
            if family.type != "histogram":
                found[key] = sample.value
            elif sample.name.endswith("_bucket"):
                found.setdefault(key, []).append(sample.value)
            elif sample.name.endswith("_sum"):
                found[key].append(sample.value)
    return found


def as_exposed(point: Any) -> Any:
    if not hasattr(point, "bucket_counts"):
        return point.as_double
    running_sum, out = 0, []
    for count in point.bucket_counts:
        running_sum += count
        out.append(float(running_sum))
    return [*out, point.sum]


async def test_a_collector_comes_and_goes_with_a_reload() -> None:
    """Without one its messages are not imported; with one by the parent alone."""
    with running_origin() as origin, Collector.receiving() as collector:
        without = otlp_policy(origin, 'endpoint: ""')
        with running(without) as gateway:
            await once(gateway, get("/a", parent_is()))
            assert not any(map(maps_protobuf, [gateway.process.pid, *gateway.children()]))
            gateway.reload(otlp_policy(origin, f'endpoint: "{collector.url}"'))
            await once(gateway, get("/a", f"traceparent: 00-{'1' * 32}-{SPAN}-01"))
            collector.trace("1" * 32)
            assert maps_protobuf(gateway.process.pid)
            assert not any(map(maps_protobuf, gateway.worker_pids()))
            gateway.reload(without)
            await once(gateway, get("/a", f"traceparent: 00-{'2' * 32}-{SPAN}-01"))
            assert origin.last().all("traceparent") == [f"00-{'2' * 32}-{SPAN}-01"]
            gateway.stop()
        assert {span.trace for span in collector.spans} == {"1" * 32}


def maps_protobuf(pid: int) -> bool:
    """Whether its extension module is in the process' memory."""
    return "_upb" in Path(f"/proc/{pid}/maps").read_text()
