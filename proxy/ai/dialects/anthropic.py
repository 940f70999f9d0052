"""Anthropic messages. Fields and types as in anthropic-python 2.12, tested against it."""

import re
from fractions import Fraction
from typing import Final

from proxy.ai.dialects.call import Kind
from proxy.ai.dialects.table import Choice, Content, Dialect, Endpoint, Shape, Tools, words

GEO_FACTOR: Final = Fraction(11, 10)
"""What inference in a named region costs more (Anthropic's pricing page, data residency); "global" costs as usual."""

_PARTS: Final = words(
    """text thinking redacted_thinking tool_use tool_result server_tool_use web_search_tool_result web_search_result
    web_fetch_tool_result web_fetch_result search_result tool_reference tool_search_tool_result
    web_search_tool_result_error web_fetch_tool_result_error"""
)

MESSAGES: Final = Shape(
    Kind.MESSAGES,
    fields=words(
        """cache_control container context_management diagnostics fallbacks compaction inference_geo max_tokens
        mcp_servers messages metadata model output_config output_format service_tier speed
        stop_sequences stream system temperature thinking thread tool_choice tools top_k top_p
        user_profile_id workspace_id"""
    ),
    members={
        ("cache_control",): words("ttl type"),
        ("diagnostics",): words("previous_message_id"),
        ("output_config",): words("effort format task_budget"),
        ("output_format",): words("schema type"),
        ("thinking",): words("block_binding budget_tokens display type"),
        ("tool_choice",): words("disable_parallel_tool_use name type"),
    },
    caps=(("max_tokens",),),
    # Priority is capacity bought beforehand: a call on it counts at the usual price.
    tiers=Choice(
        ("service_tier",),
        account=frozenset({"auto", "standard_only"}),
        usual=frozenset({"priority"}),
        cheaper=frozenset({"batch"}),
    ),
    speeds=Choice(("speed",), usual=frozenset({"standard"}), priced=frozenset({"fast"})),
    geo=("inference_geo",),
    content=Content(fields=("messages", "system"), descend=frozenset({"content"}), plain=_PARTS),
    tools=Tools(
        client=words(
            """custom bash_20241022 bash_20250124 text_editor_20241022 text_editor_20250124 text_editor_20250429
            text_editor_20250728 memory_20250818 computer_20241022 computer_20250124 computer_20251124
            computer_toolset_20260801 browser_toolset_20260801"""
        ),
        # Code execution is billed by time, tool search has no limit: they stand in neither list.
        server={"web_search_": "web_searches", "web_fetch_": None},
        limit_each="max_uses",
        callers="allowed_callers",
        direct=("web_search_2025", "web_fetch_2025"),  # later ones filter what they found by code
        default_type="custom",
    ),
    external=frozenset({"thread"}),
    # Other models, other servers, and passes over the context that no field counts.
    unbounded=frozenset({"fallbacks", "mcp_servers", "container", "context_management", "compaction"}),
    cap_per_pass=True,
)

ANTHROPIC: Final = Dialect(
    "anthropic",
    "anthropic",
    (
        Endpoint("POST", "/messages", MESSAGES),
        Endpoint("POST", "/messages/count_tokens"),
        Endpoint("GET", "/models"),
        Endpoint("GET", "/models/{name}"),
        Endpoint("POST", "/messages/batches", opaque="batch"),
        Endpoint("GET", "/messages/batches", stored=True),
        Endpoint("GET", "/messages/batches/{id}", stored=True),
        Endpoint("GET", "/messages/batches/{id}/results", stored=True),
        Endpoint("POST", "/messages/batches/{id}/cancel", stored=True),
        Endpoint("DELETE", "/messages/batches/{id}", stored=True),
    ),
    long_windows={"context-1m": 1_000_000},
    query={"beta": re.compile("true")},  # as its own clients call what an anthropic-beta switches on
)
