"""Groq: OpenAI's chat completions; usage comes unasked, in ``x_groq``. Compound models use tools by themselves."""

from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.openai import CHAT
from proxy.ai.dialects.table import Choice, Dialect, Endpoint, Shape, Tools

CHAT_GROQ: Final = Shape(
    Kind.CHAT,
    fields=(CHAT.fields - {"audio", "modalities", "prediction", "web_search_options"})
    | {"citation_options", "disable_tool_validation", "include_reasoning", "reasoning_format", "exclude_domains"}
    | {"include_domains", "search_settings", "compound_custom", "documents"},
    members={path: CHAT.members[path] for path in (("prompt_cache_options",), ("stream_options",))},
    caps=CHAT.caps,
    choices=CHAT.choices,
    # None of Groq's tiers has another price.
    tiers=Choice(("service_tier",), account=frozenset({"auto"}), usual=frozenset({"on_demand", "flex", "performance"})),
    sound_apart=True,
    content=CHAT.content,
    tools=Tools(client=frozenset({"function"}), default_type="function"),
    unbounded=frozenset({"search_settings", "compound_custom", "exclude_domains", "include_domains"}),
    server_models=("compound*", "groq/compound*"),
)

GROQ: Final = Dialect(
    "groq",
    "groq",
    (
        Endpoint("POST", "/chat/completions", CHAT_GROQ),
        Endpoint("GET", "/models"),
        Endpoint("GET", "/models/{name}"),
        Endpoint("POST", "/batches", opaque="batch"),
        Endpoint("GET", "/batches", stored=True),
        Endpoint("GET", "/batches/{id}", stored=True),
        Endpoint("POST", "/batches/{id}/cancel", stored=True),
    ),
    prefixes=("/openai/v1",),
)
