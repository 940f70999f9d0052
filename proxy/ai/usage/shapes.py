"""Where each kind of answer says what was used: tables of paths into its JSON, and what overlaps what. Pure.

A path leads to a whole number; sums are of several paths. An answer whose needed paths are not there says nothing:
a missing usage is no usage of zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.result import Usage

Path = tuple[str, ...]

MAX_COUNT: Final = (1 << 31) - 1
"""What the ledger's columns take (PostgreSQL's integer); no call has so many tokens, and a greater count is none."""


@dataclass(frozen=True, slots=True)
class UsageShape:
    """``roots``: where the usage object may stand; ``needed``: names without which it is none."""

    roots: tuple[Path, ...]
    units: Mapping[str, tuple[Path, ...]]
    needed: tuple[str, ...]
    id_path: Path = ("id",)
    model_path: Path = ("model",)
    tier_path: Path | None = None
    speed_path: Path | None = None
    geo_path: Path | None = None
    counted: Callable[[dict[str, Any], dict[str, Any]], dict[str, int]] | None = None
    # A name that must be there and equal input and output together: of an answer that a client may have had made
    # without some of its members, the rest is no usage.
    total: str | None = None


def _openai_tools(answer: dict[str, Any], _usage: dict[str, Any]) -> dict[str, int]:
    """Uses of server tools: Responses lists each among its output."""
    output = answer.get("output")
    kinds = [item.get("type") for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    found = {"web_searches": kinds.count("web_search_call"), "storage_searches": kinds.count("file_search_call")}
    return {unit: count for unit, count in found.items() if count}


# By the names of Google's enum, and by its numbers, which its API writes where it is asked to.
_MODALITIES: Final = {"AUDIO": "audio", "IMAGE": "image", "VIDEO": "video", "2": "image", "3": "video", "4": "audio"}


def _gemini_parts(answer: dict[str, Any], usage: dict[str, Any]) -> dict[str, int]:
    """Counts by modality, and searches, which Gemini 3 bills by query."""
    found: dict[str, int] = {}
    for name, form in (
        ("promptTokensDetails", "input_{}_tokens"),
        ("cacheTokensDetails", "cache_{}_read_tokens"),
        ("candidatesTokensDetails", "output_{}_tokens"),
    ):
        for detail in _objects(usage.get(name)):
            modality, count = _MODALITIES.get(str(detail.get("modality"))), _count(detail.get("tokenCount"))
            if modality and count:
                unit = form.format(modality)
                found[unit] = found.get(unit, 0) + count
    searches = 0
    for candidate in _objects(answer.get("candidates")):
        grounding = candidate.get("groundingMetadata")
        queries = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        searches += len(queries) if isinstance(queries, list) else 0
    if searches:
        found["web_searches"] = searches
    return found


def _anthropic_compaction(_answer: dict[str, Any], usage: dict[str, Any]) -> dict[str, int]:
    """Passes that summarised the context: billed, and left out of the totals."""
    found: dict[str, int] = {}
    for one in _objects(usage.get("iterations")):
        if one.get("type") == "compaction":
            for unit, paths in _ANTHROPIC_UNITS.items():
                if count := _sum(one, paths):
                    found[unit] = found.get(unit, 0) + count
    return found


_CHAT_UNITS: Final[dict[str, tuple[Path, ...]]] = {
    "input_tokens": (("prompt_tokens",),),
    "cache_read_tokens": (("prompt_tokens_details", "cached_tokens"),),
    "cache_write_tokens": (("prompt_tokens_details", "cache_write_tokens"),),
    "input_audio_tokens": (("prompt_tokens_details", "audio_tokens"),),
    "input_image_tokens": (("prompt_tokens_details", "image_tokens"),),
    "output_tokens": (("completion_tokens",),),
    "output_reasoning_tokens": (("completion_tokens_details", "reasoning_tokens"),),
    "output_audio_tokens": (("completion_tokens_details", "audio_tokens"),),
}
_ANTHROPIC_UNITS: Final[dict[str, tuple[Path, ...]]] = {
    "input_tokens": (("input_tokens",), ("cache_creation_input_tokens",), ("cache_read_input_tokens",)),
    "cache_read_tokens": (("cache_read_input_tokens",),),
    "cache_write_tokens": (("cache_creation_input_tokens",),),
    "cache_write_1h_tokens": (("cache_creation", "ephemeral_1h_input_tokens"),),
    "output_tokens": (("output_tokens",),),
    "output_reasoning_tokens": (("output_tokens_details", "thinking_tokens"),),
    "web_searches": (("server_tool_use", "web_search_requests"),),
}

SHAPES: Final[dict[Kind, UsageShape]] = {
    Kind.CHAT: UsageShape(
        roots=(("usage",), ("x_groq", "usage")),
        units=_CHAT_UNITS,
        needed=("prompt_tokens", "completion_tokens"),
        tier_path=("service_tier",),
    ),
    Kind.EMBEDDINGS: UsageShape(
        roots=(("usage",), ("usageMetadata",)),
        units={"input_tokens": (("prompt_tokens",), ("promptTokenCount",))},
        needed=(),
        counted=_gemini_parts,
    ),
    Kind.RESPONSES: UsageShape(
        roots=(("usage",),),
        units={
            "input_tokens": (("input_tokens",),),
            "cache_read_tokens": (("input_tokens_details", "cached_tokens"),),
            "cache_write_tokens": (("input_tokens_details", "cache_write_tokens"),),
            "output_tokens": (("output_tokens",),),
            "output_reasoning_tokens": (("output_tokens_details", "reasoning_tokens"),),
        },
        needed=("input_tokens", "output_tokens"),
        tier_path=("service_tier",),
        counted=_openai_tools,
    ),
    Kind.MESSAGES: UsageShape(
        roots=(("usage",),),
        units=_ANTHROPIC_UNITS,
        needed=("input_tokens", "output_tokens"),
        tier_path=("usage", "service_tier"),
        speed_path=("usage", "speed"),
        geo_path=("usage", "inference_geo"),
        counted=_anthropic_compaction,
    ),
    Kind.GENERATE: UsageShape(
        roots=(("usageMetadata",),),
        units={
            "input_tokens": (("promptTokenCount",), ("toolUsePromptTokenCount",)),
            "cache_read_tokens": (("cachedContentTokenCount",),),
            "output_tokens": (("candidatesTokenCount",), ("thoughtsTokenCount",)),
            "output_reasoning_tokens": (("thoughtsTokenCount",),),
        },
        needed=("promptTokenCount",),
        id_path=("responseId",),
        model_path=("modelVersion",),
        tier_path=("usageMetadata", "serviceTier"),
        counted=_gemini_parts,
        total="totalTokenCount",
    ),
}


def usage_in(kind: Kind, answer: Any) -> dict[str, Any] | None:
    """The object in which ``answer`` says what was used, whatever that is."""
    shape = SHAPES.get(kind)
    if shape is None:
        return None
    return next((found for root in shape.roots if isinstance(found := _at(answer, root), dict)), None)


def usage_of(kind: Kind, answer: Any, *, complete: bool, streamed_bytes: int) -> Usage | None:
    """What ``answer``, one JSON value, says was used; None where it does not, or where it contradicts itself."""
    shape, usage = SHAPES.get(kind), usage_in(kind, answer)
    if shape is None or usage is None or any(usage.get(name) is None for name in shape.needed):
        return None
    try:
        counts = _counts(shape, answer, usage)
    except _NoCountError:
        return None
    if kind is Kind.EMBEDDINGS and not counts:
        return None
    counts.setdefault("input_tokens", 0)
    counts.setdefault("output_tokens", 0)
    context = []
    tier = _word(answer, shape.tier_path)
    if tier is not None and tier.lower() != "auto":  # which is asked for, and says nothing of what was done
        context.append(("service_tier", tier.lower()))
    speed = _word(answer, shape.speed_path)
    if speed is not None:
        context.append(("speed", speed))
    return Usage(
        counts=counts,
        complete=complete,
        provider_request_id=_word(answer, shape.id_path),
        model=_word(answer, shape.model_path),
        context=tuple(context),
        geo=_word(answer, shape.geo_path),
        streamed_bytes=streamed_bytes,
    )


class _NoCountError(ValueError):
    """Where a count should be stands something else: then nothing that the answer says of its use can be trusted."""


def _counts(shape: UsageShape, answer: dict[str, Any], usage: dict[str, Any]) -> dict[str, int]:
    counts = {unit: count for unit, paths in shape.units.items() if (count := _sum(usage, paths))}
    if shape.total is not None:
        said = usage.get(shape.total)
        if said is None or _count(said) != counts.get("input_tokens", 0) + counts.get("output_tokens", 0):
            raise _NoCountError
    if shape.counted is not None:
        for unit, count in shape.counted(answer, usage).items():
            counts[unit] = counts.get(unit, 0) + count
    if any(count > MAX_COUNT for count in counts.values()):
        raise _NoCountError
    return counts


def _count(value: Any) -> int:
    """None is as good as absent. Raises: _NoCountError."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise _NoCountError
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _at(value: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _sum(usage: dict[str, Any], paths: tuple[Path, ...]) -> int:
    return sum(_count(_at(usage, path)) for path in paths)


def _word(answer: dict[str, Any], path: Path | None) -> str | None:
    found = _at(answer, path) if path else None
    return found if isinstance(found, str) and found and len(found) <= 256 else None
