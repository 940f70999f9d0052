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
        usage = {
            "promptTokenCount": 5,
            "candidatesTokenCount": output,
            "thoughtsTokenCount": 2,
            "totalTokenCount": output + 7,
        }
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


def gemini(output: int | None, *ends: str | None, **more: object) -> dict:
    """A chunk whose candidates are the next ones; without an output it says no usage."""
    candidates = [{"index": at, "finishReason": reason} for at, reason in enumerate(ends)]
    usage = {"promptTokenCount": 5, "candidatesTokenCount": output, "totalTokenCount": 5 + (output or 0)}
    return ({"candidates": candidates} if ends else {}) | ({} if output is None else {"usageMetadata": usage}) | more


def finish(*ends: str | None, **more: object) -> dict:
    return {"choices": [{"index": at, "finish_reason": reason} for at, reason in enumerate(ends)]} | more


def delta(reason: str | None, **usage: int) -> dict:
    said = {"usage": usage} if usage else {}
    return {"type": "message_delta", "delta": {"stop_reason": reason}} | said


@pytest.mark.parametrize(
    ("kind", "choices", "events", "complete"),
    [
        (Kind.GENERATE, 1, [gemini(3)], False),
        (Kind.GENERATE, 1, [gemini(3, None)], False),
        (Kind.GENERATE, 1, [gemini(3, "STOP")], True),
        (Kind.GENERATE, 2, [gemini(3, "STOP")], False),
        (Kind.GENERATE, 2, [gemini(3, "STOP", None)], False),
        (Kind.GENERATE, 2, [gemini(3, "STOP", None), gemini(4, None, "STOP")], True),
        (Kind.GENERATE, 1, [gemini(None, "STOP"), gemini(4)], True),
        (Kind.GENERATE, 1, [gemini(3, None), gemini(None, "STOP")], False),
        (Kind.GENERATE, 2, [gemini(0, promptFeedback={"blockReason": "SAFETY"})], True),
        (Kind.CHAT, 3, [chunk("a"), ASKED], True),
        (Kind.CHAT, 2, [finish("stop", None, usage=USAGE)], False),
        (Kind.CHAT, 2, [finish("stop"), finish(None, "stop", usage=USAGE)], True),
        (Kind.CHAT, 2, [finish("stop", None), finish(None, "stop", x_groq={"usage": USAGE})], True),
        (Kind.MESSAGES, 1, [*ANTHROPIC[:1], delta(None, output_tokens=5)], False),
        (Kind.MESSAGES, 1, [*ANTHROPIC[:1], delta("end_turn", output_tokens=5)], True),
        (Kind.MESSAGES, 1, [*ANTHROPIC[:1], delta(None, output_tokens=5), {"type": "message_stop"}], True),
        (Kind.MESSAGES, 1, [*ANTHROPIC[:1], {"type": "message_stop"}], False),
        (Kind.MESSAGES, 1, [*ANTHROPIC[:1], delta("end_turn", output_tokens=5), delta(None, output_tokens=9)], False),
    ],
)
def test_a_cut_stream_is_complete_only_if_nothing_more_could_have_come(
    kind: Kind, choices: int, events: list[dict], complete: bool
) -> None:
    """Every choice that was asked for has said why it ended, no later than the usage was said."""
    reader = EventReader(kind, choices=choices)
    reader.feed(sse(*events))
    usage = reader.usage()
    assert usage is not None
    assert usage.complete is complete


@pytest.mark.parametrize(
    ("kind", "events", "complete"),
    [
        (Kind.GENERATE, [gemini(3)], False),
        (Kind.GENERATE, [gemini(3, "STOP", None)], False),
        (Kind.GENERATE, [gemini(3, "STOP", "STOP")], True),
        (Kind.GENERATE, [gemini(3, None), gemini(None, "STOP", "STOP")], False),  # what the end has used is not said
        (Kind.GENERATE, [gemini(3, None), {"error": {"code": 503}}], False),
        (Kind.GENERATE, [gemini(3, None), '{"candi'], False),
        (Kind.CHAT, [finish("stop", usage=USAGE)], False),
        (Kind.CHAT, [finish("stop", usage=USAGE), "[DONE]"], True),
        (Kind.CHAT, [finish("stop", usage=USAGE), {"error": {"code": 503}}, "[DONE]"], False),
        (Kind.CHAT, [finish("stop", usage=USAGE), {"error": "died"}, "[DONE]"], False),
        (Kind.CHAT, [finish("stop", usage=USAGE, error=None), "[DONE]"], True),
        (Kind.CHAT, [chunk("[DONE]", usage=USAGE)], False),
        (Kind.CHAT, [chunk("a"), ASKED], True),
        (Kind.MESSAGES, [*ANTHROPIC[:1], delta(None, output_tokens=5)], False),
        (Kind.MESSAGES, [*ANTHROPIC[:1], delta(None, output_tokens=5), {"type": "message_stop"}], True),
        (Kind.MESSAGES, ANTHROPIC[:1], False),
        (Kind.MESSAGES, [*ANTHROPIC[:1], delta(None, output_tokens=5), {"type": "error", "error": {}}], False),
        (Kind.RESPONSES, [{"type": "response.in_progress", "response": {"usage": ANTHROPIC[3]["usage"]}}], False),
    ],
)
@pytest.mark.parametrize("take_out", [False, True])
def test_the_end_of_the_bytes_alone_says_nothing(kind: Kind, events: list, complete: bool, take_out: bool) -> None:
    """Where the end of the connection ends a body, every cut looks like an end; two choices were asked for."""
    reader = EventReader(kind, choices=2, take_out=take_out)
    last = events[-1] == '{"candi'
    data = sse(*events)
    passed = sse(*events[:-1]) if take_out and events[-1] is ASKED else data
    assert through(reader, [data.rstrip() if last else data]) == (passed.rstrip() if last else passed)
    usage = reader.usage()
    assert (usage is not None and usage.complete) is complete


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_comment_never_waits(end: str) -> None:
    """Not even amid its line: a client counts its connection as alive by it."""
    reader = EventReader(Kind.CHAT, take_out=True)
    ping = f": ping{end}".encode()
    assert reader.feed(ping) == ping
    assert reader.feed(b": pi") == b": pi"
    rest = f"ng{end}".encode()
    assert reader.feed(rest + sse(ASKED, end=end)) == rest
    event = sse(chunk("a"), end=end)
    assert reader.feed(event) == event
    assert reader.feed(b"data: [DO") == b"data: [DO"
    assert reader.usage() is not None


@SETTINGS
@given(CUTS, ENDS, st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=4))
def test_comments_and_blank_lines_anywhere_pass(at: list[int], end: str, where: list[int]) -> None:
    words = [sse(chunk(word), end=end) for word in ("a", "b", "c")] + [b"", sse("[DONE]", end=end)]
    asked = list(words)
    asked[3] = sse(ASKED, end=end)
    for place in where:
        if place < len(words):
            ping = (": ping" + end * (1 + place % 2)).encode()
            words[place], asked[place] = ping + words[place], ping + asked[place]
    reader = EventReader(Kind.CHAT, take_out=True)
    assert through(reader, cut(b"".join(asked), at)) == b"".join(words)
    assert reader.usage() is not None


def test_a_comment_without_an_end_costs_no_memory() -> None:
    reader = EventReader(Kind.CHAT, take_out=True)
    for part in (b": ", *[b"x" * 65_536] * 64):
        assert reader.feed(part) == part
    assert len(reader._pending) < 4
    assert reader.feed(b"\n" + sse(ASKED)) == b"\n"
