"""Events pass as they are, whatever the chunks' boundaries; only the event that the gateway asked for is taken out."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.events import MAX_WAIT, EventReader
from tests.ai.usage.streams import ASKED, USAGE, chunk, cut, sse, through

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
CUTS = st.lists(st.integers(0, 2000), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TRICKY = ['"usage": {', 'data: {"choices":[],"usage":{}}\n\n', "é🙂", "\\u0022usage\\u0022:{"]
COUNTS = {"input_tokens": 30, "output_tokens": 12, "cache_read_tokens": 8}


def chat(end: str, *extra: object) -> bytes:
    words = [chunk(word, usage=None) for word in ["Hel", *TRICKY, "lo"]]
    return sse(*words, *extra, "[DONE]", end=end)


@SETTINGS
@given(CUTS, ENDS)
def test_the_event_that_was_asked_for_is_taken_out_byte_for_byte(at: list[int], end: str) -> None:
    reader = EventReader(Kind.CHAT, take_out=True)
    assert through(reader, cut(chat(end, ASKED), at)) == chat(end)
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts, usage.complete, usage.model) == (COUNTS, True, "gpt-x")
    assert usage.provider_request_id == "chatcmpl-1"
    assert usage.streamed_bytes == len(chat(end, ASKED))


@SETTINGS
@given(CUTS, ENDS, st.booleans())
def test_what_the_client_asked_for_passes(at: list[int], end: str, asked: bool) -> None:
    """Each chunk is handed on at once, the same object."""
    reader = EventReader(Kind.CHAT)
    data = chat(end, *([ASKED] if asked else []))
    for one in cut(data, at):
        assert reader.feed(one) is one
    assert reader.end() == b""
    assert (reader.usage() is not None) is asked


def test_no_whole_event_waits() -> None:
    """With the option asked for, an event is handed on in the chunk that ends it."""
    reader = EventReader(Kind.CHAT, take_out=True)
    for word in ("a", "b"):
        event = sse(chunk(word))
        assert reader.feed(event) == event
    begun, rest = sse(chunk("c"))[:-20], sse(chunk("c"))[-20:]
    assert reader.feed(begun) == begun  # it has a choice: it is not the one
    assert reader.feed(rest) == rest
    assert reader.feed(b": ping\n\n") == b": ping\n\n"
    assert reader.feed(b"data: {") == b""  # may be the one
    assert reader.end() == b"data: {"


def test_what_is_too_long_for_the_event_does_not_wait() -> None:
    reader = EventReader(Kind.CHAT, take_out=True)
    long = b'data: {"x": "' + b"x" * MAX_WAIT
    assert reader.feed(long) == long
    assert reader.feed(b'"}\n\ndata: [DONE]\n\n') == b'"}\n\ndata: [DONE]\n\n'


def test_a_stream_that_ends_without_its_last_blank_line() -> None:
    reader = EventReader(Kind.CHAT, take_out=True)
    data = sse(chunk("a")) + sse(ASKED).rstrip(b"\n")
    assert through(reader, [data]) == sse(chunk("a"))
    assert reader.usage() is not None


def test_azures_first_event_without_choices_is_not_the_one() -> None:
    first = {"choices": [], "prompt_filter_results": [{}], "model": ""}
    null = first | {"usage": None}
    data = sse(first, null, chunk("a"), "[DONE]")
    reader = EventReader(Kind.CHAT, take_out=True)
    assert through(reader, [data]) == data
    assert reader.usage() is None


@pytest.mark.parametrize(
    "last",
    [
        chunk("", choices=[{"finish_reason": "stop"}], usage=USAGE),  # Mistral
        chunk("", choices=[{"finish_reason": "stop"}], x_groq={"id": "r", "usage": USAGE}),
    ],
)
def test_usage_that_comes_unasked_stays(last: dict) -> None:
    for take_out in (False, True):
        reader = EventReader(Kind.CHAT, take_out=take_out)
        data = sse(chunk("a"), last, "[DONE]")
        assert through(reader, [data]) == data
        usage = reader.usage()
        assert usage is not None
        assert (usage.counts, usage.complete) == (COUNTS, True)


def test_a_usage_before_the_end_is_not_complete() -> None:
    reader = EventReader(Kind.CHAT)
    reader.feed(sse(chunk("a", usage=USAGE)))
    usage = reader.usage()
    assert usage is not None
    assert not usage.complete


ANTHROPIC = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-x",
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 7,
                "cache_read_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
                "output_tokens": 1,
                "service_tier": "standard",
                "inference_geo": "us",
            },
        },
    },
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"usage": {'}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 20, "input_tokens": None}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 33}},
    {"type": "message_stop"},
]


@SETTINGS
@given(CUTS)
def test_anthropics_counts_are_overwritten_never_summed(at: list[int]) -> None:
    reader = EventReader(Kind.MESSAGES)
    data = sse(*ANTHROPIC, named=True)
    assert through(reader, cut(data, at)) == data
    usage = reader.usage()
    assert usage is not None
    assert usage.counts == {
        "input_tokens": 22,
        "cache_write_tokens": 7,
        "cache_write_1h_tokens": 3,
        "cache_read_tokens": 5,
        "output_tokens": 33,
    }
    assert (usage.complete, usage.provider_request_id, usage.model, usage.geo) == (True, "msg_1", "claude-x", "us")
    assert (usage.tokens.input, usage.tokens.output, usage.tokens.cached_read) == (10, 33, 5)


def test_a_cut_anthropic_stream_knows_its_input_and_is_not_complete() -> None:
    reader = EventReader(Kind.MESSAGES)
    reader.feed(sse(*ANTHROPIC[:2], named=True))
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts["input_tokens"], usage.complete) == (22, False)


@pytest.mark.parametrize("how", ["completed", "incomplete", "failed"])
def test_responses_say_it_in_their_last_event(how: str) -> None:
    response = {
        "id": "resp_1",
        "model": "gpt-x",
        "service_tier": "flex",
        "output": [{"type": "web_search_call"}, {"type": "message"}],
        "usage": {"input_tokens": 9, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}},
    }
    created = {"type": "response.created", "response": response | {"usage": None}}
    reader = EventReader(Kind.RESPONSES)
    through(reader, [sse(created, {"type": f"response.{how}", "response": response}, named=True)])
    usage = reader.usage()
    assert usage is not None
    assert usage.counts == {"input_tokens": 9, "output_tokens": 4, "output_reasoning_tokens": 3, "web_searches": 1}
    assert (usage.complete, usage.context, usage.provider_request_id) == (True, (("service_tier", "flex"),), "resp_1")


def test_geminis_last_value_wins() -> None:
    def event(output: int, reason: str | None) -> dict:
        usage = {"promptTokenCount": 5, "candidatesTokenCount": output, "thoughtsTokenCount": 2}
        return {"candidates": [{"finishReason": reason}], "usageMetadata": usage, "modelVersion": "gemini-x"}

    reader = EventReader(Kind.GENERATE)
    reader.feed(sse(event(1, None), event(8, None), end="\r\n"))
    cut_off = reader.usage()
    assert cut_off is not None
    assert (cut_off.counts["output_tokens"], cut_off.complete) == (10, False)
    reader.feed(sse(event(9, "STOP"), end="\r\n"))
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts, usage.complete) == (
        {"input_tokens": 5, "output_tokens": 11, "output_reasoning_tokens": 2},
        True,
    )


@SETTINGS
@given(st.binary(max_size=200), CUTS, st.sampled_from(list(Kind)), st.booleans())
def test_no_stream_breaks_the_reader(data: bytes, at: list[int], kind: Kind, take_out: bool) -> None:
    reader = EventReader(kind, take_out=take_out)
    hostile = data + b'data: {"usage": {}, "choices": 1}\n\n' + data
    assert through(reader, cut(hostile, at)) == hostile
    usage = reader.usage()
    assert usage is None or usage.counts == {"input_tokens": 0, "output_tokens": 0}


def test_data_over_several_lines_is_one_value() -> None:
    text = json.dumps(ASKED, indent=1).replace("\n", "\ndata: ")
    reader = EventReader(Kind.CHAT, take_out=True)
    assert through(reader, [f"data: {text}\n\n".encode()]) == b""
    assert reader.usage() is not None
