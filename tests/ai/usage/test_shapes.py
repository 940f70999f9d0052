"""Usage in whole answers, made with the providers' own types; what is missing is not zero."""

from typing import Any

import pytest
from anthropic.types import Message
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseUsage

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import usage_of

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "service_tier": "priority",
    "choices": [],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 3, "rejected_prediction_tokens": 4},
    },
}
MESSAGE = {
    "id": "msg",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
        "output_tokens": 7,
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "speed": "fast",
        "service_tier": "priority",
    },
}
GEMINI = {
    "responseId": "r",
    "modelVersion": "gemini-x",
    "candidates": [{"finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
    "usageMetadata": {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 11,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 9,
        "totalTokenCount": 150,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 80}, {"modality": "AUDIO", "tokenCount": 20}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 12}],
        "serviceTier": "FLEX",
    },
}

CACHED_LESS = {"cached_tokens": -1}
COUNTED_LESS = {"promptTokenCount": 1, "totalTokenCount": 1, "promptTokensDetails": [{"tokenCount": -1}]}


def said(kind: Kind, answer: Any) -> Usage:
    found = usage_of(kind, answer, complete=True, streamed_bytes=1)
    assert found is not None
    return found


def test_openai_chat() -> None:
    ChatCompletion.model_validate(CHAT)
    usage = said(Kind.CHAT, CHAT)
    assert usage.counts == {
        "input_tokens": 100,
        "cache_read_tokens": 40,
        "cache_write_tokens": 10,
        "input_audio_tokens": 5,
        "output_tokens": 50,
        "output_reasoning_tokens": 20,
        "output_audio_tokens": 3,
    }
    assert (usage.model, usage.provider_request_id) == ("gpt-x", "c1")
    assert usage.context == (("service_tier", "priority"),)


def test_openai_embeddings_and_responses_have_these_names() -> None:
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    answer = {"object": "list", "data": [], "model": "e", "usage": usage}
    CreateEmbeddingResponse.model_validate(answer)
    assert said(Kind.EMBEDDINGS, answer).counts == {"input_tokens": 7, "output_tokens": 0}
    assert {"input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"} <= set(
        ResponseUsage.model_fields
    )


def test_geminis_embeddings_count_by_modality() -> None:
    details = [{"modality": "TEXT", "tokenCount": 3}, {"modality": "IMAGE", "tokenCount": 258}]
    answer = {"embedding": {}, "usageMetadata": {"promptTokenCount": 261, "promptTokensDetails": details}}
    counts = {"input_tokens": 261, "input_image_tokens": 258, "output_tokens": 0}
    assert said(Kind.EMBEDDINGS, answer).counts == counts


def test_anthropics_input_leaves_out_its_cache_and_ours_does_not() -> None:
    Message.model_validate(MESSAGE)
    usage = said(Kind.MESSAGES, MESSAGE)
    assert usage.counts == {
        "input_tokens": 60,
        "cache_read_tokens": 30,
        "cache_write_tokens": 20,
        "cache_write_1h_tokens": 15,
        "output_tokens": 7,
        "web_searches": 2,
    }
    assert usage.context == (("service_tier", "priority"), ("speed", "fast"))
    assert usage.tokens.input == 10


def test_anthropics_compaction_is_billed_beside_the_totals() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 100},
        {"type": "message", "input_tokens": 10, "output_tokens": 7},
    ]
    usage = said(Kind.MESSAGES, {"usage": {"input_tokens": 10, "output_tokens": 7, "iterations": iterations}})
    assert usage.counts == {"input_tokens": 1010, "output_tokens": 107}


def test_gemini() -> None:
    usage = said(Kind.GENERATE, GEMINI)
    assert usage.counts == {
        "input_tokens": 111,
        "cache_read_tokens": 40,
        "output_tokens": 39,
        "output_reasoning_tokens": 9,
        "input_audio_tokens": 20,
        "cache_audio_read_tokens": 6,
        "output_image_tokens": 12,
        "web_searches": 2,
    }
    assert (usage.model, usage.context) == ("gemini-x", (("service_tier", "flex"),))


def test_geminis_modalities_may_come_as_numbers() -> None:
    """As Google's API writes enums where a client asks for it."""
    numbers = [{"modality": 1, "tokenCount": 80}, {"modality": 4, "tokenCount": 20}]
    usage = GEMINI["usageMetadata"] | {
        "promptTokensDetails": numbers,
        "candidatesTokensDetails": [{"modality": 2, "tokenCount": 12}],
    }
    assert said(Kind.GENERATE, GEMINI | {"usageMetadata": usage}).counts == said(Kind.GENERATE, GEMINI).counts


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": 9, "totalTokenCount": 9},  # blocked, or the first of a stream
        {"promptTokenCount": 9, "candidatesTokenCount": 1029, "thoughtsTokenCount": 1081, "totalTokenCount": 2119},
        {"promptTokenCount": 30, "cachedContentTokenCount": 25, "candidatesTokenCount": 4, "totalTokenCount": 34},
        {
            "promptTokenCount": 27,
            "toolUsePromptTokenCount": 10309,
            "candidatesTokenCount": 45,
            "thoughtsTokenCount": 31,
            "totalTokenCount": 10412,
        },
    ],
)
def test_an_honest_answer_of_geminis_adds_up(usage: dict[str, int]) -> None:
    """Thoughts and what tools read are parts of the total; what the cache gave is a part of the prompt."""
    counts = said(Kind.GENERATE, {"usageMetadata": usage}).counts
    assert counts["input_tokens"] + counts["output_tokens"] == usage["totalTokenCount"]


def test_a_count_that_the_ledger_could_not_keep_is_none() -> None:
    usage = {"prompt_tokens": 2**31 - 1, "completion_tokens": 1}
    assert said(Kind.CHAT, {"usage": usage}).counts["input_tokens"] == 2**31 - 1
    assert usage_of(Kind.CHAT, {"usage": usage | {"prompt_tokens": 2**31}}, complete=True, streamed_bytes=0) is None


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.CHAT, {}),
        (Kind.CHAT, []),
        (Kind.CHAT, {"usage": None}),
        (Kind.CHAT, {"usage": {}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": 1}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": -1, "completion_tokens": 1}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": 1.5, "completion_tokens": 1}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": True, "completion_tokens": 1}}),
        (Kind.MESSAGES, {"usage": {"input_tokens": None, "output_tokens": 1}}),
        (Kind.GENERATE, {"usageMetadata": {}}),
        (Kind.GENERATE, {"usageMetadata": {"promptTokenCount": 100}}),
        (Kind.GENERATE, {"usageMetadata": {"promptTokenCount": 100, "totalTokenCount": 139}}),
        (Kind.GENERATE, {"usageMetadata": {"promptTokenCount": 100, "thoughtsTokenCount": 9, "totalTokenCount": 139}}),
        (Kind.GENERATE, {"usageMetadata": {"promptTokenCount": 100, "totalTokenCount": "100"}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": 1, "completion_tokens": 2**31}}),
        (Kind.CHAT, {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": CACHED_LESS}}),
        (Kind.MESSAGES, {"usage": {"input_tokens": 2**30, "cache_read_input_tokens": 2**30, "output_tokens": 1}}),
        (Kind.MESSAGES, {"usage": {"input_tokens": 1, "cache_read_input_tokens": 0.5, "output_tokens": 1}}),
        (Kind.GENERATE, {"usageMetadata": COUNTED_LESS}),
        (Kind.EMBEDDINGS, {"usage": {"prompt_tokens": -7}}),
        (Kind.EMBEDDINGS, {"usage": {}}),
        (Kind.OPAQUE, CHAT),
    ],
)
def test_what_is_missing_is_not_zero(kind: Kind, answer: Any) -> None:
    assert usage_of(kind, answer, complete=True, streamed_bytes=0) is None
