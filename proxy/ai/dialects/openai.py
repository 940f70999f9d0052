"""OpenAI: chat completions, responses, embeddings. Fields and types as in openai-python 3.54, tested against it."""

import re
from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.table import Choice, Content, Dialect, Endpoint, Shape, Tools, words

TIERS: Final = Choice(
    ("service_tier",),
    account=frozenset({"auto"}),
    usual=frozenset({"default"}),
    usual_as="default",
    priced=frozenset({"flex", "priority", "fast", "scale"}),  # scale's is a contract's: the policy's overrides name it
    cheaper=frozenset({"flex", "batch"}),
)

_UNPRICED: Final = {"12h": "prompt cache of 12h"}
_CACHE: Final = ("prompt_cache_options",)
_STREAM: Final = ("stream_options",)

CHAT: Final = Shape(
    Kind.CHAT,
    fields=words(
        """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
        metadata modalities model n parallel_tool_calls prediction presence_penalty prompt_cache_key
        prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
        stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
        web_search_options"""
    ),
    members={
        _CACHE: words("mode ttl"),
        _STREAM: words("include_obfuscation include_usage"),
        ("audio",): words("format voice"),
        ("prediction",): words("content type"),
    },
    caps=(("max_completion_tokens",), ("max_tokens",)),
    choices=("n",),
    tiers=TIERS,
    prediction="prediction",
    modalities=("modalities",),
    modalities_default_text=True,
    sound_apart=True,
    content=Content(
        fields=("messages",),
        descend=frozenset({"content"}),
        plain=frozenset({"text", "refusal"}),
        refers=frozenset({"audio"}),  # an earlier answer's sound, by its id
    ),
    tools=Tools(client=frozenset({"function", "custom"}), default_type="function"),
    unbounded=frozenset({"web_search_options"}),
    # gpt-4o-search-preview, gpt-5-search-api: a fee for each search, and the answer does not say how many there were.
    server_models=("*-search", "*-search-*"),
    unpriced_words=_UNPRICED,
    asks_usage=True,
)

_ITEMS: Final = words(
    """message input_text output_text refusal text summary_text reasoning_text reasoning function_call
    function_call_output custom_tool_call custom_tool_call_output local_shell_call local_shell_call_output shell_call
    shell_call_output apply_patch_call apply_patch_call_output mcp_list_tools mcp_approval_request
    mcp_approval_response mcp_call"""
)

RESPONSES: Final = Shape(
    Kind.RESPONSES,
    fields=words(
        """background context_management conversation include input instructions max_output_tokens max_tool_calls
        metadata model parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options
        prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature text
        tool_choice tools top_logprobs top_p truncation user"""
    ),
    members={
        _CACHE: words("comparison_response_id mode prewarm ttl"),
        _STREAM: words("include_obfuscation"),
        ("reasoning",): words("context effort generate_summary mode summary"),
        ("text",): words("format verbosity"),
    },
    values={("reasoning", "mode"): words("standard")},  # pro: passes over the context that no field counts
    caps=(("max_output_tokens",),),
    tiers=TIERS,
    content=Content(
        fields=("input",),
        descend=frozenset({"content", "output", "summary"}),
        plain=_ITEMS,
        needs={"reasoning": "encrypted_content"},  # without it the item stands at the provider, under its id
    ),
    tools=Tools(
        client=frozenset({"function", "custom", "computer", "computer_use_preview", "local_shell", "apply_patch"}),
        # Containers and made pictures are billed in units that no field bounds: they stand in neither list.
        server={"web_search": "web_searches", "file_search": "storage_searches", "mcp": None},
        limit="max_tool_calls",
        # A search of the preview costs two and a half times as much with a model that does not reason.
        only_with={"web_search_preview": re.compile(r"(?:o[1-9]|gpt-[5-9])(?!.*chat).*")},
    ),
    sound_apart=True,
    external=frozenset({"previous_response_id", "conversation"}),
    # Compaction reads the context once more, as often as it likes; a stored prompt may bring server tools along.
    unbounded=frozenset({"background", "context_management", "prompt"}),
    unpriced_words=_UNPRICED,
)

EMBEDDINGS: Final = Shape(
    Kind.EMBEDDINGS, fields=frozenset({"dimensions", "encoding_format", "input", "model", "user"})
)

FREE_AND_PRICED: Final = (
    Endpoint("POST", "/chat/completions", CHAT),
    Endpoint("POST", "/responses", RESPONSES),
    Endpoint("POST", "/embeddings", EMBEDDINGS),
    Endpoint("GET", "/models"),
    Endpoint("GET", "/models/{name}"),
    Endpoint("GET", "/responses/{id}", stored=True),
    Endpoint("DELETE", "/responses/{id}", stored=True),
    Endpoint("GET", "/responses/{id}/input_items", stored=True),
    Endpoint("POST", "/responses/{id}/cancel", stored=True),
    Endpoint("POST", "/responses/input_tokens"),
    Endpoint("GET", "/chat/completions", stored=True),
    Endpoint("GET", "/chat/completions/{id}", stored=True),
    Endpoint("POST", "/chat/completions/{id}", stored=True),
    Endpoint("DELETE", "/chat/completions/{id}", stored=True),
    Endpoint("GET", "/chat/completions/{id}/messages", stored=True),
    Endpoint("POST", "/moderations"),
    Endpoint("POST", "/batches", opaque="batch"),
    Endpoint("GET", "/batches", stored=True),
    Endpoint("GET", "/batches/{id}", stored=True),
    Endpoint("POST", "/batches/{id}/cancel", stored=True),
    Endpoint("GET", "/realtime", opaque="realtime"),
)

OPENAI: Final = Dialect("openai", "openai", FREE_AND_PRICED)
