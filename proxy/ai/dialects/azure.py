"""Azure OpenAI: OpenAI's shapes; the model is the deployment in the path, or with /openai/v1 in the body.

What a deployment runs is known to its owner alone: the policy's aliases name it, and an answer's ``model`` says it.
"""

import re
from dataclasses import replace
from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.openai import CHAT, EMBEDDINGS, FREE_AND_PRICED, RESPONSES
from proxy.ai.dialects.table import Choice, Dialect, Endpoint, words

# Nobody has listed what Azure's tiers cost: they have the policy's own prices, or none. Who set a deployment to one
# gets it unasked, and the answer says so.
_TIERS: Final = Choice(
    ("service_tier",),
    account=frozenset({"auto"}),
    usual=frozenset({"default"}),
    usual_as="default",
    priced=frozenset({"flex", "priority"}),
    cheaper=frozenset({"flex", "batch"}),
)
CHAT_AZURE: Final = replace(CHAT, tiers=_TIERS)
# Azure's searches are Bing's, at a price of its own.
_TOOLS: Final = replace(RESPONSES.tools, server={"file_search": "storage_searches", "mcp": None})
RESPONSES_AZURE: Final = replace(RESPONSES, tiers=_TIERS, tools=_TOOLS)
_SHAPES: Final = {Kind.CHAT: CHAT_AZURE, Kind.RESPONSES: RESPONSES_AZURE}


def _on_v1(line: Endpoint) -> Endpoint:
    shape = line.shape and _SHAPES.get(line.shape.kind, line.shape)
    return replace(line, path="/openai/v1" + line.path, shape=shape)


_BY_DEPLOYMENT: Final = (
    Endpoint("POST", "/openai/deployments/{deployment}/chat/completions", CHAT_AZURE),
    Endpoint("POST", "/openai/deployments/{deployment}/embeddings", EMBEDDINGS),
    Endpoint("POST", "/openai/responses", RESPONSES_AZURE),  # older API versions
    Endpoint("GET", "/openai/models"),
    Endpoint("GET", "/openai/realtime", opaque="realtime"),
)

AZURE: Final = Dialect(
    "azure",
    "azure",
    _BY_DEPLOYMENT + tuple(_on_v1(line) for line in FREE_AND_PRICED),
    prefixes=("",),
    usage_since=("api-version", "2024-09-01-preview"),
    query={"api-version": re.compile(r"[A-Za-z0-9._-]{1,64}")},
    refusal_members=frozenset({"error", "statusCode"}),  # API management's, in front of it
    # A prompt that its filter refuses, or that is too long, has been read and is billed (Microsoft's "Manage costs").
    free_refusals={
        400: words(
            """invalid_parameter invalid_type invalid_value missing_required_parameter unknown_parameter
            unsupported_parameter unsupported_value model_not_found OperationNotSupported"""
        )
    },
)
