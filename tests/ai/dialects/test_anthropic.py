"""Anthropic's requests, as its own package makes them."""

import pytest
from anthropic.types import beta as betas
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta

from proxy.ai.dialects.anthropic import MESSAGES
from tests.ai.dialects.reads import call

BODY = {"model": "claude-opus-4-1", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}


def with_parts(*parts: dict) -> dict:
    return BODY | {"messages": [{"role": "user", "content": list(parts)}]}


def test_the_table_knows_the_packages_members() -> None:
    assert set(message_create_params.MessageCreateParamsBase.__annotations__) - MESSAGES.fields == set()
    unlisted = set(beta.MessageCreateParamsBase.__annotations__) - MESSAGES.fields
    assert unlisted == {"betas", "billing_policy", "fallback_credit_token"}  # betas is a header


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cache_control", [betas.BetaCacheControlEphemeralParam]),
        ("diagnostics", [betas.BetaDiagnosticsParam]),
        ("output_config", [betas.BetaOutputConfigParam]),
        ("output_format", [betas.BetaJSONOutputFormatParam]),
        ("thinking", [betas.BetaThinkingConfigEnabledParam, betas.BetaThinkingConfigAdaptiveParam]),
        ("tool_choice", [betas.BetaToolChoiceToolParam, betas.BetaToolChoiceAnyParam]),
    ],
)
def test_the_table_knows_the_members_of_objects(name: str, kinds: list[type]) -> None:
    said = {member for kind in kinds for member in kind.__annotations__}
    assert MESSAGES.members[(name,)] == said
    assert call("anthropic", BODY | {name: dict.fromkeys(said)}).unbounded == ()
    assert call("anthropic", BODY | {name: {"passes": 2}}).unbounded == (f"unlisted:{name}.passes",)


@pytest.mark.parametrize(
    ("body", "external"),
    [
        (BODY | {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, ()),
        (with_parts({"type": "image", "source": {"type": "base64"}}), ("content",)),
        (with_parts({"type": "document", "source": {"type": "file", "file_id": "f"}}), ("content",)),
        (with_parts({"type": "tool_result", "content": [{"type": "text", "text": "x"}]}), ()),
        (with_parts({"type": "tool_result", "content": [{"type": "image"}]}), ("content",)),
        (with_parts({"type": "tool_use", "input": {"type": "image"}}), ()),
        (with_parts({"type": "container_upload", "file_id": "f"}), ("content",)),
    ],
)
def test_pictures_and_files_stand_outside_the_body(body: dict, external: tuple) -> None:
    assert call("anthropic", body).external == external


def test_server_tools_are_bounded_by_their_own_limit() -> None:
    tools = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2},
        {"name": "mine", "input_schema": {}},
    ]
    found = call("anthropic", BODY | {"tools": tools})
    assert (found.passes, found.cap_per_pass, found.surcharges) == (6, True, (("web_searches", 3),))
    assert found.unbounded == ()
    assert call("anthropic", BODY | {"tools": [{"type": "web_search_20250305"}]}).unbounded == ("tool",)
    assert call("anthropic", BODY | {"tools": [{"type": "code_execution_20250825"}]}).unbounded == ("tool",)


@pytest.mark.parametrize(
    ("kind", "callers", "bounded"),
    [
        ("web_search_20250305", None, True),
        ("web_fetch_20250910", None, True),
        ("web_search_20250305", ["direct"], True),
        ("web_search_20250305", ["direct", "code_execution_20250825"], False),
        ("web_search_20260209", None, False),
        ("web_search_20260318", [], False),
        ("web_fetch_20260309", None, False),
        ("web_search_20260209", ["direct"], True),
        ("web_fetch_20260309", ["direct"], True),
        ("web_search_20270101", "direct", False),
    ],
)
def test_a_tool_that_code_calls_is_not_bounded_by_its_uses(kind: str, callers: object, bounded: bool) -> None:
    """Since 2026 code filters what was found, unless the tool is called directly alone."""
    tool = {"type": kind, "name": "web", "max_uses": 1} | ({} if callers is None else {"allowed_callers": callers})
    assert call("anthropic", BODY | {"tools": [tool]}).unbounded == (() if bounded else ("tool",))


@pytest.mark.parametrize("member", ["mcp_servers", "container", "fallbacks", "context_management", "compaction"])
def test_what_runs_at_the_provider_has_no_bound(member: str) -> None:
    assert call("anthropic", BODY | {member: ["x"]}).unbounded == (member,)


def test_price_effects_are_seen() -> None:
    found = call("anthropic", BODY | {"speed": "fast", "inference_geo": "us", "service_tier": "auto"})
    assert (found.context, found.geo, found.cache_write_1h) == ((("speed", "fast"),), "us", False)
    assert call("anthropic", BODY | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}).cache_write_1h
    assert not call("anthropic", BODY | {"system": "é 1h"}).cache_write_1h
    assert call("anthropic", BODY | {"speed": "warp"}).unbounded == ("speed",)


def test_the_long_window_is_asked_for_in_a_header() -> None:
    assert call("anthropic", BODY).long_window == 0
    assert call("anthropic", BODY, anthropic_beta="x,context-1m-2025-08-07").long_window == 1_000_000
