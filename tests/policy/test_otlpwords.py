"""What is written of a collector is what the gateway does; OpenTelemetry's own variables can be put into it."""

from pathlib import Path

import pytest

from proxy.policy.compiler import compile_text
from proxy.policy.otlp import Otlp
from proxy.policy.problems import PolicyError

URL = "https://otlp.example:4318"
ROUTES = """
version: 1
upstreams: {app: {primary: ["http://127.0.0.1:1"]}}
routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]
"""
DOCS = Path(__file__).parents[2] / "docs/otlp.md"


def as_sdks() -> str:
    """The example of the docs that names OpenTelemetry's variables."""
    (found,) = [block for block in DOCS.read_text("utf-8").split("```") if "OTEL_EXPORTER_OTLP_ENDPOINT" in block]
    return found.removeprefix("yaml\n")


def test_nobody_hears_unless_it_is_said(policy) -> None:
    assert policy().watching.otlp is None
    assert policy("otlp: {}\n").watching.otlp is None
    assert policy("otlp: {endpoint: '${NOT_SET:-}'}\n").watching.otlp is None


def test_defaults(policy) -> None:
    assert policy(f"otlp: {{endpoint: '{URL}/'}}\n").watching.otlp == Otlp(URL, (), (), 0.0, 60_000, 10_000)


def test_all_of_it(policy) -> None:
    text = (
        f"otlp: {{endpoint: '{URL}/base', headers: {{api-key: k}}, resource: {{service.name: edge, team: ops}}, "
        "traces: {sample_rate: 0.25}, metrics: {every: 15s}, timeout: 3s}\n"
    )
    assert policy(text).watching.otlp == Otlp(
        f"{URL}/base", (("api-key", "k"),), (("service.name", "edge"), ("team", "ops")), 0.25, 15_000, 3_000
    )


@pytest.mark.parametrize(("off", "kept"), [("traces", (None, 60_000)), ("metrics", (0.0, None))])
def test_either_may_be_off(policy, off: str, kept: tuple[float | None, int | None]) -> None:
    otlp = policy(f"otlp: {{endpoint: '{URL}', {off}: off}}\n").watching.otlp
    assert (otlp.sample_rate, otlp.every_ms) == kept
    assert policy(f"otlp: {{endpoint: '{URL}', traces: off, metrics: off}}\n").watching.otlp is None


def test_the_variables_that_sdks_read_can_be_put_into_it() -> None:
    """As the docs have it: texts of pairs, %-encoded, and times in milliseconds."""
    assert compile_text(as_sdks() + ROUTES, "c.yaml", {}).policy.watching.otlp is None
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": URL,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, x=1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
        "OTEL_SERVICE_NAME": "edge",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,team=ops",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_METRIC_EXPORT_INTERVAL": "30000",
    }
    assert compile_text(as_sdks() + ROUTES, "c.yaml", env).policy.watching.otlp == Otlp(
        URL,
        (("api-key", "a b"), ("x", "1")),
        (("service.name", "edge"), ("deployment.environment.name", "prod"), ("team", "ops")),
        0.5,
        30_000,
        3_000,
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4318", "http://localhost:4318", URL])
def test_credentials_go_where_nobody_can_read_them(policy, endpoint: str) -> None:
    assert policy(f"otlp: {{endpoint: '{endpoint}', headers: {{a: b}}}}\n").watching.otlp.headers == (("a", "b"),)


def test_a_collector_in_the_cluster_needs_no_tls(policy) -> None:
    assert policy("otlp: {endpoint: 'http://otel-collector:4318'}\n").watching.otlp is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("otlp: {endpoint: 'otel:4317'}", "otlp.endpoint: must be a URL that begins with https:// or http://"),
        (f"otlp: {{endpoint: '{URL}/v1/traces'}}", "otlp.endpoint: must be the base of /v1/traces"),
        (f"otlp: {{endpoint: '{URL}?key=hunter2'}}", "otlp.endpoint: must not hold a query"),
        (f"otlp: {{endpoint: '{URL}', headers: {{'a b': hunter2}}}}", "'a b' is not the name of a header field"),
        (f"otlp: {{endpoint: '{URL}', headers: 'hunter2'}}", "otlp.headers"),
        ("otlp: {endpoint: 'http://otel:4318', headers: {a: hunter2}}", "otlp.headers: would be sent where anybody"),
        (f"otlp: {{endpoint: '{URL}', traces: {{sample_rate: 2}}}}", "'2' is not a share from 0 to 1"),
        (f"otlp: {{endpoint: '{URL}', metrics: {{every: 1ms}}}}", "'1ms' is not a duration from 1s to 1h"),
    ],
)
def test_what_is_wrong_is_told_and_no_credential_quoted(policy, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text + "\n")
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
