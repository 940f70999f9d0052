"""Names are those of OpenTelemetry's conventions, values never anybody's secret."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.otlp.conventions import MOST_TEXT, forwarded, server
from proxy.otlp.traced import Peer
from tests.otlp.test_traced import CALL, PEER, traced
from tests.telemetry.test_private import SECRETS


def test_a_request_is_named_by_its_method_and_its_route_s_pattern() -> None:
    name, attributes, failed = server(traced(query="a=[Filtered]"))
    assert (name, failed) == ("GET /a/**", False)
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/a/**",
        "url.query": "a=[Filtered]",
        "url.scheme": "https",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "sluicegate.route": "app",
    }


def test_a_method_that_a_client_invents_names_nothing() -> None:
    name, attributes, _ = server(traced(method="X-HUNTER2", path_pattern=""))
    assert (name, attributes["http.request.method"]) == ("HTTP", "_OTHER")
    name, attributes, _ = forwarded(traced(method="X-HUNTER2"))
    assert (name, attributes["http.request.method"]) == ("HTTP", "_OTHER")


@pytest.mark.parametrize(
    ("status", "reason", "failed", "kind"),
    [
        (200, "", False, None),
        (404, "", False, None),
        (429, "quota_exceeded", False, None),  # as it should be; why is told all the same
        (503, "", True, "503"),
        (504, "upstream_timeout", True, "upstream_timeout"),
    ],
)
def test_a_server_s_span_failed_from_500_on(status: int, reason: str, failed: bool, kind: str | None) -> None:
    _, attributes, told = server(traced(status=status, reason=reason))
    assert (told, attributes.get("error.type")) == (failed, kind)
    assert attributes.get("sluicegate.reason", "") == reason


@pytest.mark.parametrize(
    ("peer", "reason", "failed", "kind"),
    [
        (PEER, "", False, None),
        (replace(PEER, status=404), "", True, "404"),
        (replace(PEER, status=0), "upstream_timeout", True, "upstream_timeout"),
        (replace(PEER, status=0), "", False, None),  # what came stood in for another answer
        (None, "upstream_refused", True, "upstream_refused"),
    ],
)
def test_a_client_s_span_failed_from_400_on_or_without_an_answer(
    peer: Peer | None, reason: str, failed: bool, kind: str | None
) -> None:
    _, attributes, told = forwarded(traced(peer=peer, reason=reason))
    assert (told, attributes.get("error.type")) == (failed, kind)


def test_an_upstream_is_an_address_and_its_name_in_the_policy() -> None:
    name, attributes, _ = forwarded(traced(peer=replace(PEER, resends=2)))
    assert name == "GET"
    assert attributes == {
        "http.request.method": "GET",
        "http.request.resend_count": 2,
        "http.response.status_code": 200,
        "server.address": "app.example",
        "server.port": 443,
        "url.scheme": "https",
        "sluicegate.upstream": "app",
    }


def told_of(**changes: Any) -> tuple[str, dict[str, Any]]:
    name, attributes, _ = forwarded(traced(call=replace(CALL, **changes)))
    return name, {key: value for key, value in attributes.items() if "gen_ai" in key or "sluicegate" in key}


def test_a_call_is_its_operation_its_model_and_what_it_used() -> None:
    """Input tokens are all of them; those that the provider's cache had are told besides."""
    assert told_of() == (
        "chat gpt-4o",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.max_tokens": 100,
            "gen_ai.usage.input_tokens": 13,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 3,
            "sluicegate.cost_usd": 0.25,
            "sluicegate.stream": True,
            "sluicegate.upstream": "app",
        },
    )


@pytest.mark.parametrize(
    ("provider", "kind", "named"),
    [
        ("anthropic", "messages", ("anthropic", "chat")),
        ("google", "generate", ("gcp.gemini", "generate_content")),
        ("mistral", "embeddings", ("mistral_ai", "embeddings")),
        ("azure", "responses", ("azure.ai.openai", "chat")),
        ("groq", "opaque", ("groq", "opaque")),
    ],
)
def test_providers_and_operations_have_the_conventions_names(provider: str, kind: str, named: tuple[str, str]) -> None:
    _, attributes = told_of(provider=provider, kind=kind)
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.operation.name"]) == named


def test_what_is_not_settled_used_nothing_that_is_known() -> None:
    _, attributes = told_of(cost_usd=None, stream=False, most_output=None)
    assert set(attributes) == {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "sluicegate.upstream",
    }  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_what_has_the_form_of_a_secret_is_hidden(secret: str) -> None:
    told = server(traced(about={"tenant": secret})), forwarded(traced(call=replace(CALL, model=secret)))
    assert secret not in repr(told)


def test_what_is_long_is_cut() -> None:
    _, attributes, _ = server(traced(about={"tenant": "x" * 1000}))
    assert attributes["sluicegate.tenant"] == "x" * MOST_TEXT
