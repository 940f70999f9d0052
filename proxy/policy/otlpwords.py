"""The key of the policy file that speaks of OpenTelemetry. A part of ``policy.schema``."""

from typing import Annotated, Any, Final
from urllib.parse import unquote

from proxy.policy import words
from proxy.policy.findings import Findings
from proxy.policy.otlp import Otlp
from proxy.policy.section import Section, Text, key
from proxy.policy.sentrywords import RATE
from proxy.policy.spelling import Json, Shorthand, Spelling, as_text, duration, off_for, pattern_json

_PATHS: Final = ("/v1/traces", "/v1/metrics")
_CREDENTIALS_SENT: Final = "would be sent where anybody on the way can read them: the endpoint must be https"


def _read_endpoint(raw: object) -> str:
    spelled = as_text(raw, "a URL")
    if not spelled:
        return ""
    _, _, _, path = words.read_url(spelled, ("https", "http"))
    if "?" in path:
        raise ValueError("must not hold a query")
    if path.rstrip("/").endswith(_PATHS):
        raise ValueError("must be the base of /v1/traces and /v1/metrics, which are added to it")
    return spelled.rstrip("/")


ENDPOINT: Final = Spelling(
    "a URL, https or http; empty: none", _read_endpoint, "https://otlp.invalid:4318", pattern_json("(https?://.+)?")
)


def _pairs() -> Shorthand:
    """A map, or the same as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES have it (a=1,b=2, %-encoded)."""

    def expand(raw: object) -> object:
        if not isinstance(raw, str):
            return raw
        pairs = [pair for pair in raw.split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            return raw  # what it is not is told where the map is read
        split = [pair.partition("=") for pair in pairs]
        return {name.strip(): unquote(value.strip()) for name, _, value in split}

    def shorter(_: Json) -> dict[str, Any]:
        return {"type": "string"}

    return Shorthand(expand, shorter, "or a=1,b=2 in one text")


class Traced(Section):
    sample_rate: Annotated[float, RATE] = key(
        "The share of requests that are traced, where none comes with a decision.", 0
    )


class Pushed(Section):
    every: Annotated[int, duration("1s", "1h")] = key("How often.", "60s")


class Collector(Section):
    endpoint: Annotated[str, ENDPOINT] = key("The collector's base URL, such as https://otel:4318; empty: none.", "")
    headers: Annotated[dict[str, Annotated[str, words.FIELD_VALUE]], _pairs()] = key(
        "Fields set on what is sent, such as its key.", {}, secret=True
    )
    resource: Annotated[dict[str, Text], _pairs()] = key(
        "Attributes of the gateway as a resource, beside service.name (sluicegate), service.version and "
        "service.instance.id.",
        {},
    )
    traces: Annotated[Traced | None, off_for(None)] = key("Traced requests; `off`: none.", {})
    metrics: Annotated[Pushed | None, off_for(None)] = key("All that `/metrics` has; `off`: none.", {})
    timeout: Annotated[int, duration("100ms", "60s")] = key("How long one answer may take.", "10s")


def compile_otlp(written: Collector | None, findings: Findings) -> Otlp | None:
    """A collector without an endpoint hears nothing, as one that is to hear of neither traces nor metrics."""
    if written is None or not written.endpoint or (written.traces is None and written.metrics is None):
        return None
    for name in written.headers:
        try:
            words.FIELD_NAME.parse(name)
        except ValueError as error:
            findings.error(("otlp", "headers", name), str(error))
    scheme, host, _, _ = words.read_url(written.endpoint, ("https", "http"))
    if scheme == "http" and written.headers and not words.is_loopback(host):
        findings.error(("otlp", "headers"), _CREDENTIALS_SENT, ("otlp", "endpoint"))
    return Otlp(
        endpoint=written.endpoint,
        headers=tuple(written.headers.items()),
        resource=tuple(written.resource.items()),
        sample_rate=None if written.traces is None else written.traces.sample_rate,
        every_ms=None if written.metrics is None else written.metrics.every,
        timeout_ms=written.timeout,
    )
