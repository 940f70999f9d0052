"""No reader raises, whatever an answer holds where its usage should be; what it then says is a count or nothing."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.dialects.call import AiCall, Kind
from proxy.ai.usage.reader import reader_for
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import MAX_COUNT, SHAPES
from tests.ai.usage.streams import cut, sse

NAMES = sorted(
    {name for shape in SHAPES.values() for paths in shape.units.values() for path in paths for name in path}
    | {name for shape in SHAPES.values() for root in shape.roots for name in root}
    | {
        "promptTokensDetails",
        "candidatesTokensDetails",
        "totalTokenCount",
        "modality",
        "tokenCount",
        "iterations",
        "server_tool_use",
    }
    | {"choices", "candidates", "index", "finish_reason", "finishReason", "promptFeedback", "blockReason", "error"}
    | {"response", "message", "delta", "stop_reason", "output", "groundingMetadata", "webSearchQueries"}
    | {"id", "model", "responseId", "modelVersion", "service_tier", "serviceTier", "speed", "inference_geo"}
)
TYPES = ["message_start", "message_delta", "message_stop", "response.completed", "compaction", "web_search_call"]
HOSTILE = [5, -1, 2**53, 2**60, 2**70, 1.5, float("nan"), "x", "\ud800", True, [], [5], [[]], {}, {"usage": 5}, None]
MEMBERS = [
    *("usage", "usageMetadata", "choices", "candidates", "promptFeedback", "type", "message", "response", "delta"),
    *("error", "output", "id", "model", "responseId", "modelVersion", "service_tier", "x_groq"),
]
NUMBERS = st.sampled_from([0, 1, 7, -1, 2**53 - 1, 2**53, 2**60, 2**70, 1.0, 1.5, 1e300, float("nan"), float("inf")])
WORDS = st.sampled_from(["", "x", "5", "STOP", "IMAGE", "AUDIO", "\ud800", *TYPES])
LEAVES = NUMBERS | WORDS | st.none() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
ROOTS = ["usage", "usageMetadata", "promptFeedback", "output", "error"]
COUNTED = ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "promptTokenCount"]


@st.composite
def answers(draw: Any) -> dict[str, Any]:
    """One that says a usage as it should, but for some members."""
    usage = dict.fromkeys(COUNTED, 5) | draw(st.dictionaries(st.sampled_from(COUNTED), LEAVES, max_size=2))
    usage |= draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    inner: dict[str, Any] = {"usage": usage, "usageMetadata": usage}
    inner |= draw(st.dictionaries(st.sampled_from(["choices", "candidates", *ROOTS]), VALUES, max_size=2))
    made = inner | {"type": draw(st.sampled_from(TYPES)), "message": inner, "response": inner, "delta": draw(VALUES)}
    return made | draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))


def sane(usage: Usage | None) -> bool:
    if usage is None:
        return True
    return usage.tokens.input >= 0 and all(
        type(count) is int and 0 <= count <= MAX_COUNT for count in usage.counts.values()
    )


def read(kind: Kind, form: str, data: bytes, at: list[int], *, take_out: bool = False, coded: bool = False) -> None:
    call = AiCall("d", "p", kind, "m", stream=form != "json", choices=2)
    media = "text/event-stream" if form == "events" else "application/json"
    reader = reader_for(call, content_type=media, content_encoding="gzip" if coded else "", take_out=take_out)
    for piece in cut(gzip.compress(data, 1) if coded else data, at):
        reader.feed(piece)
        assert sane(reader.usage())
    reader.end()
    assert sane(reader.usage())


def written(form: str, parts: list[Any]) -> bytes:
    if form == "events":
        return sse(*map(json.dumps, parts))
    return json.dumps(parts if form == "array" or not parts else parts[-1]).encode()


@pytest.mark.parametrize("form", ["events", "json", "array"])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_member_of_a_wrong_type_makes_a_reader_raise(kind: Kind, form: str) -> None:
    """One at a time, in an answer that else says what it should, after one that does."""
    usage: dict[str, Any] = dict.fromkeys(COUNTED, 5)
    for value in HOSTILE:
        wrong = [{"usage": usage, "usageMetadata": usage} | {name: value} for name in MEMBERS]
        wrong += [{"usage": one, "usageMetadata": one} for name in NAMES if (one := usage | {name: value})]
        for inner in wrong:
            for kind_of_event in TYPES[:4]:
                whole = {"type": kind_of_event, "message": inner, "response": inner} | inner
                read(kind, form, written(form, [whole, whole]), [])


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.lists(answers() | VALUES, min_size=1, max_size=3),
    st.sampled_from(list(Kind)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["events", "json", "array"]),
    st.lists(st.integers(0, 2000), max_size=4),
)
def test_no_answer_makes_a_reader_raise(
    parts: list[Any], kind: Kind, take_out: bool, coded: bool, form: str, at: list[int]
) -> None:
    read(kind, form, written(form, parts), at, take_out=take_out, coded=coded)
