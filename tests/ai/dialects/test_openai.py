"""OpenAI's requests, as its own package makes them."""

import json

import pytest
from openai.types import embedding_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import ResponseTextConfigParam, response_create_params
from openai.types.shared_params import Reasoning

from proxy.ai.dialects.openai import CHAT, EMBEDDINGS, RESPONSES
from tests.ai.dialects.reads import call

QUESTION = [{"role": "user", "content": "Hi"}]
TEXT = {"type": "text", "text": "Hi"}


def members(kind: type) -> set[str]:
    return {name for one in (kind, *kind.__orig_bases__) for name in getattr(one, "__annotations__", {})} - {"stream"}


# Free text that nobody has priced yet: such a request has no bound until the policy vouches for the member.
@pytest.mark.parametrize(
    ("params", "shape", "unlisted"),
    [
        (completion_create_params.CompletionCreateParamsBase, CHAT, {"moderation"}),
        (
            response_create_params.ResponseCreateParamsBase,
            RESPONSES,
            {"access_programs", "background_options", "image", "moderation"},
        ),
        (embedding_create_params.EmbeddingCreateParams, EMBEDDINGS, set()),
    ],
)
def test_the_tables_know_the_packages_members(params: type, shape: object, unlisted: set[str]) -> None:
    assert members(params) - shape.fields == unlisted


@pytest.mark.parametrize(
    ("kind", "shape", "name"),
    [
        (completion_create_params.PromptCacheOptions, CHAT, "prompt_cache_options"),
        (completion_create_params.ChatCompletionStreamOptionsParam, CHAT, "stream_options"),
        (completion_create_params.ChatCompletionAudioParam, CHAT, "audio"),
        (completion_create_params.ChatCompletionPredictionContentParam, CHAT, "prediction"),
        (response_create_params.PromptCacheOptions, RESPONSES, "prompt_cache_options"),
        (response_create_params.StreamOptions, RESPONSES, "stream_options"),
        (Reasoning, RESPONSES, "reasoning"),
        (ResponseTextConfigParam, RESPONSES, "text"),
    ],
)
def test_the_tables_know_the_members_of_objects(kind: type, shape: object, name: str) -> None:
    assert shape.members[(name,)] == set(kind.__annotations__)


@pytest.mark.parametrize(
    ("reasoning", "unbounded"),
    [
        ({"effort": "high", "mode": "standard"}, ()),
        ({"effort": "high", "mode": None}, ()),
        ({"mode": "pro"}, ("reasoning.mode",)),
        ({"mode": "anything"}, ("reasoning.mode",)),
        ({"passes": 4}, ("unlisted:reasoning.passes",)),
    ],
)
@pytest.mark.parametrize(("name", "path"), [("responses", ""), ("azure", "/openai/v1/responses")])
def test_a_mode_of_reasoning_that_makes_passes_has_no_bound(
    name: str, path: str, reasoning: dict, unbounded: tuple
) -> None:
    """Pro reads the context and writes to the cap as often as it likes."""
    body = {"model": "gpt-5.6-sol", "input": "Hi", "max_output_tokens": 50, "reasoning": reasoning}
    assert call(name, body, path=path).unbounded == unbounded


@pytest.mark.parametrize(
    ("content", "external"),
    [
        ("Hi", ()),
        ([TEXT], ()),
        ([TEXT, {"type": "refusal", "refusal": "no"}], ()),
        ([TEXT, {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}], ("content",)),
        ([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}], ("content",)),
        ([{"type": "file", "file": {"file_id": "f"}}], ("content",)),
        ([{"text": "no type"}], ("content",)),
        ([{"type": "invented"}], ("content",)),
    ],
)
def test_parts_of_a_chat_that_are_not_text_stand_outside_the_body(content: object, external: tuple) -> None:
    assert call("openai", {"model": "m", "messages": [{"role": "user", "content": content}]}).external == external


def test_an_earlier_answers_sound_stands_outside_the_body() -> None:
    messages = [{"role": "assistant", "audio": {"id": "audio_1"}}, *QUESTION]
    assert call("openai", {"model": "m", "messages": messages}).external == ("content",)


def test_arguments_of_tools_are_data_whatever_they_look_like() -> None:
    message = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"arguments": "{}"}}]}
    assert call("openai", {"model": "m", "messages": [message]}).external == ()


@pytest.mark.parametrize(
    ("more", "unbounded"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ()),
        ({"web_search_options": None}, ()),
        ({"web_search_options": {}}, ("web_search_options",)),
        ({"web_search_options": {"search_context_size": "low"}}, ("web_search_options",)),
        ({"service_tier": "ultrafast"}, ("service_tier",)),
        ({"tools": [{"type": "web_search"}]}, ("tool",)),
    ],
)
def test_what_has_no_bound_in_a_chat(more: dict, unbounded: tuple) -> None:
    assert call("openai", {"model": "m", "messages": QUESTION} | more).unbounded == unbounded


@pytest.mark.parametrize("name", ["openai", "azure"])
@pytest.mark.parametrize(
    ("model", "unbounded"),
    [
        ("gpt-4o-search-preview", ("model's own tools",)),
        ("gpt-4o-mini-search-preview-2025-03-11", ("model's own tools",)),
        ("gpt-5-search-api", ("model's own tools",)),
        ("gpt-9-search", ("model's own tools",)),
        ("GPT-5-Search-API", ("model's own tools",)),
        ("gpt-5", ()),
        ("o3-deep-research", ()),
        ("gpt-searchlight", ()),
    ],
)
def test_models_that_search_unasked_have_no_bound(name: str, model: str, unbounded: tuple) -> None:
    """Each search has a fee, and the answer does not say how many there were."""
    path = "/openai/v1/chat/completions" if name == "azure" else ""
    assert call(name, {"model": model, "messages": QUESTION}, path=path).unbounded == unbounded


@pytest.mark.parametrize("ttl", ['"12h"', '"\\u00312h"'])
def test_a_lifetime_of_a_cache_that_nobody_priced_has_no_bound(ttl: str) -> None:
    """However it is spelled, and wherever it stands."""
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "TTL"}}
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}).replace('"TTL"', ttl)
    assert call("openai", raw.encode()).unbounded == ("prompt cache of 12h",)


def test_sound_is_made_only_when_asked_for() -> None:
    assert not call("openai", {"model": "m", "messages": QUESTION}).audio_output
    assert call("openai", {"model": "m", "messages": QUESTION, "modalities": ["text", "audio"]}).audio_output


def test_rejected_predictions_are_billed_beside_the_cap() -> None:
    body = {"model": "m", "messages": QUESTION, "prediction": {"type": "content", "content": "x" * 500}}
    assert call("openai", body).extra_output > 500


@pytest.mark.parametrize(
    ("more", "external", "unbounded"),
    [
        ({"input": "Hi"}, (), ()),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}, (), ()),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, ("content",), ()),
        ({"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}]}, (), ()),
        ({"input": [{"type": "item_reference", "id": "x"}]}, ("content",), ()),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, ("content",), ()),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, (), ()),
        (
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": "x"}]}]},
            ("content",),
            (),
        ),
        ({"input": "Hi", "previous_response_id": "r"}, ("previous_response_id",), ()),
        ({"input": "Hi", "conversation": "c"}, ("conversation",), ()),
        ({"prompt": {"id": "p"}}, (), ("prompt",)),  # it may bring server tools along
        ({"input": "Hi", "background": True}, (), ("background",)),
        ({"input": "Hi", "background": False}, (), ()),
        ({"input": "Hi", "tools": [{"type": "code_interpreter"}], "max_tool_calls": 2}, (), ("tool",)),
    ],
)
def test_responses_that_read_or_run_what_is_not_in_the_body(more: dict, external: tuple, unbounded: tuple) -> None:
    found = call("responses", {"model": "m", "max_output_tokens": 9} | more)
    assert (found.external, found.unbounded) == (external, unbounded)


def test_server_tools_are_bounded_by_max_tool_calls() -> None:
    tools = [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["v"]}, {"type": "mcp"}]
    found = call("responses", {"model": "m", "input": "x", "tools": tools, "max_tool_calls": 4})
    assert (found.passes, found.unbounded) == (5, ())
    assert found.surcharges == (("storage_searches", 4), ("web_searches", 4))
    assert found.external == ("tool results",)
    assert call("responses", {"model": "m", "input": "x", "tools": tools}).unbounded == ("tool", "tool", "tool")


def test_embeddings_have_no_output() -> None:
    found = call("embeddings", {"model": "text-embedding-3-small", "input": [[1, 2, 3]]})
    assert (found.has_output, found.output_cap, found.cap_path) == (False, None, ())


@pytest.mark.parametrize(
    ("kind", "model", "bounded"),
    [
        ("web_search", "gpt-4.1", True),
        ("web_search_2025_08_26", "gpt-4o", True),
        ("web_search_preview", "gpt-5-mini", True),
        ("web_search_preview_2025_03_11", "o4-mini", True),
        ("web_search_preview", "gpt-5.6-sol", True),
        ("web_search_preview", "gpt-4.1", False),
        ("web_search_preview", "gpt-4o-mini", False),
        ("web_search_preview_2025_03_11", "GPT-4o", False),
        ("web_search_preview", "gpt-5-chat-latest", False),
        ("web_search_preview", "ft:gpt-4.1:acme", False),
        ("web_search_preview", "mine", False),
    ],
)
def test_the_previews_searches_have_a_price_with_models_that_reason_alone(kind: str, model: str, bounded: bool) -> None:
    """With others a search costs $25 for a thousand instead of $10: no list that we have says so by model."""
    body = {"model": model, "input": "Hi", "max_output_tokens": 5, "max_tool_calls": 1, "tools": [{"type": kind}]}
    found = call("responses", body)
    assert (found.unbounded, found.surcharges) == (((), (("web_searches", 1),)) if bounded else (("tool",), ()))
    assert call("azure", body, path="/openai/v1/responses").unbounded == ("tool",)
