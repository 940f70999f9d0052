"""No reader raises, whatever an answer holds where its usage should be; what it then says is a count or nothing."""

import gzip
import json
from typing import Any

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
    | {"promptTokensDetails", "candidatesTokensDetails", "modality", "tokenCount", "iterations", "server_tool_use"}
    | {"choices", "candidates", "index", "finish_reason", "finishReason", "promptFeedback", "blockReason", "error"}
    | {"response", "message", "delta", "stop_reason", "output", "groundingMetadata", "webSearchQueries"}
    | {"id", "model", "responseId", "modelVersion", "service_tier", "serviceTier", "speed", "inference_geo"}
)
TYPES = ["message_start", "message_delta", "message_stop", "response.completed", "compaction", "web_search_call"]
NUMBERS = st.sampled_from([0, 1, 7, -1, 2**53 - 1, 2**53, 2**60, 2**70, 1.0, 1.5, 1e300, float("nan"), float("inf")])
WORDS = st.sampled_from(["", "x", "5", "STOP", "IMAGE", "AUDIO", "\ud800", *TYPES])
LEAVES = NUMBERS | WORDS | st.none() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
COUNTED = ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "promptTokenCount"]


@st.composite
def answers(draw: Any) -> dict[str, Any]:
    """One that says a usage as it should, but for some members."""
    usage = dict.fromkeys(COUNTED, 5) | draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    inner: dict[str, Any] = {"usage": usage, "usageMetadata": usage}
    inner |= draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    made = inner | {"type": draw(st.sampled_from(TYPES)), "message": inner, "response": inner, "delta": draw(VALUES)}
    return made | draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))


def sane(usage: Usage | None) -> bool:
    if usage is None:
        return True
    return all(type(count) is int and 0 <= count <= MAX_COUNT for count in usage.counts.values())


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.lists(answers() | VALUES, max_size=3),
    st.sampled_from(list(Kind)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["event-stream", "json", "array"]),
    st.lists(st.integers(0, 2000), max_size=4),
)
def test_no_answer_makes_a_reader_raise(
    parts: list[Any], kind: Kind, take_out: bool, coded: bool, form: str, at: list[int]
) -> None:
    if form == "event-stream":
        data, media = sse(*map(json.dumps, parts)), "text/event-stream"
    else:
        value = parts if form == "array" or not parts else parts[-1]
        data, media = json.dumps(value).encode(), "application/json"
    data = gzip.compress(data, 1) if coded else data
    call = AiCall("d", "p", kind, "m", stream=form != "json", choices=2)
    reader = reader_for(call, content_type=media, content_encoding="gzip" if coded else "", take_out=take_out)
    for piece in cut(data, at):
        reader.feed(piece)
        assert sane(reader.usage())
    reader.end()
    usage = reader.usage()
    assert sane(usage)
    if usage is not None:
        assert usage.tokens.input >= 0
