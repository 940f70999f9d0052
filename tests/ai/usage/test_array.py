"""Gemini's growing array: objects are found whatever the chunks' boundaries, and every byte passes."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.usage.array import ArrayReader
from tests.ai.usage.streams import cut, through


def answer(text: str, output: int, reason: str | None = None) -> dict:
    return {
        "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": output, "totalTokenCount": 4 + output},
        "responseId": "r1",
    }


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(['"', "\\", '\\"}', "}{", "é", "x"]), max_size=8),
    st.lists(st.integers(0, 700), max_size=20),
    st.sampled_from([None, 1]),
)
def test_the_last_object_that_says_a_usage_counts(words: list[str], at: list[int], indent: int | None) -> None:
    parts = [answer(word, count) for count, word in enumerate(words)] + [answer("}", 42, "STOP")]
    data = json.dumps(parts, indent=indent).encode()
    reader = ArrayReader()
    assert through(reader, cut(data, at)) == data
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts, usage.complete) == ({"input_tokens": 4, "output_tokens": 42}, True)
    assert (usage.provider_request_id, usage.streamed_bytes) == ("r1", len(data))


def test_a_cut_array_is_not_complete() -> None:
    data = json.dumps([answer("a", 1), answer("b", 2)]).encode()
    reader = ArrayReader()
    reader.feed(data[:-30])
    usage = reader.usage()
    assert usage is not None
    assert (usage.counts["output_tokens"], usage.complete) == (1, False)


def test_an_array_is_complete_once_every_choice_has_ended() -> None:
    first = answer("a", 1, "STOP")
    usage = {"promptTokenCount": 4, "totalTokenCount": 4}
    second = {"candidates": [{"index": 1, "finishReason": "STOP"}], "usageMetadata": usage}
    unsaid = {"candidates": [{"index": 1, "finishReason": "STOP"}]}
    for parts, complete, at_end in (
        ([first], False, True),
        ([first, second], True, True),
        ([first, unsaid], False, True),
        ([{"usageMetadata": usage}], False, True),
    ):
        reader = ArrayReader(choices=2)
        reader.feed(json.dumps(parts).encode())
        usage = reader.usage()
        assert usage is not None
        assert usage.complete is complete
        reader.end()
        usage = reader.usage()
        assert usage is not None
        assert usage.complete is at_end


def test_an_array_that_ends_amid_an_object_is_not_complete() -> None:
    reader = ArrayReader()
    through(reader, [json.dumps([answer("a", 1), answer("b", 2)]).encode()[:-30]])
    usage = reader.usage()
    assert usage is not None
    assert not usage.complete


def test_a_cut_between_two_objects_is_no_end() -> None:
    """Where the end of the connection ends a body, it looks like one: the array itself must have ended."""
    whole = json.dumps([answer("]", 1), answer("b]", 2)])
    for data, complete in (
        (whole, True),
        (whole[:-1], False),
        (whole[: whole.index("}, {") + 1], False),
        (whole[:-1] + ', {"error": {"code": 503}}]', False),
        (whole[:-1] + ', {"error": "died"}]', False),
        (whole[:-1] + ', {"error": {"code": 503}}, {"x": {"error": {}}}]', False),
    ):
        for at in (range(0, len(data), 7), ()):
            reader = ArrayReader()
            through(reader, cut(data.encode(), at))
            usage = reader.usage()
            assert usage is not None
            assert usage.complete is complete


def test_what_is_no_array_says_nothing() -> None:
    for data in (b"", b"[", b"nothing", b'{"error": {"code": 400}}', b"}}}{"):
        reader = ArrayReader()
        assert reader.feed(data) is data
        assert reader.usage() is None
