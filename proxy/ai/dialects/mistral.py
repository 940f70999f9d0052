"""Mistral: chat completions and embeddings in OpenAI's shapes; a stream says its usage unasked.

Agents and conversations keep instructions and tools at the provider: they are not listed, and so refused.
"""

from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.table import Content, Dialect, Endpoint, Shape, Tools, words

CHAT_MISTRAL: Final = Shape(
    Kind.CHAT,
    fields=words(
        """frequency_penalty guardrails max_tokens messages metadata model n parallel_tool_calls prediction
        presence_penalty prompt_cache_key prompt_mode random_seed reasoning_effort response_format safe_prompt stop
        stream temperature tool_choice tools top_p"""
    ),
    members={("prediction",): words("content type")},
    caps=(("max_tokens",),),
    choices=("n",),
    prediction="prediction",
    sound_apart=True,  # Voxtral's is billed by the second
    content=Content(
        fields=("messages",),
        descend=frozenset({"content", "thinking"}),
        plain=frozenset({"text", "thinking", "reference"}),
    ),
    tools=Tools(client=frozenset({"function"}), default_type="function"),
    unbounded=frozenset({"guardrails"}),
)

EMBEDDINGS_MISTRAL: Final = Shape(
    Kind.EMBEDDINGS,
    fields=frozenset({"encoding_format", "input", "metadata", "model", "output_dimension", "output_dtype"}),
)

MISTRAL: Final = Dialect(
    "mistral",
    "mistral",
    (
        Endpoint("POST", "/chat/completions", CHAT_MISTRAL),
        Endpoint("POST", "/embeddings", EMBEDDINGS_MISTRAL),
        Endpoint("GET", "/models"),
        Endpoint("GET", "/models/{name}"),
        Endpoint("POST", "/batch/jobs", opaque="batch"),
        Endpoint("GET", "/batch/jobs", stored=True),
        Endpoint("GET", "/batch/jobs/{id}", stored=True),
        Endpoint("POST", "/batch/jobs/{id}/cancel", stored=True),
    ),
    refusal_members=words("error object detail message"),
)
