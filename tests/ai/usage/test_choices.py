"""A choice has ended once it says why; all have once each has, or the whole prompt was refused."""

import json

import pytest

from proxy.ai.usage.choices import SAYS_END, Choices


@pytest.mark.parametrize(
    ("asked", "chunks", "ended"),
    [
        (1, [{"choices": [{"index": 0, "finish_reason": "stop"}]}], True),
        (1, [{"candidates": [{"finishReason": "STOP"}]}], True),
        (1, [{"candidates": [{"finishReason": None}]}, {"candidates": []}, {}], False),
        (2, [{"candidates": [{"finishReason": "STOP"}]}], False),
        (2, [{"candidates": [{"finishReason": "STOP"}]}] * 3, False),
        (2, [{"candidates": [{"finishReason": "STOP"}]}, {"candidates": [{"index": 1, "finishReason": "STOP"}]}], True),
        (2, [{"choices": [{"index": at, "finish_reason": "length"} for at in (1, 0)]}], True),
        (2, [{"choices": [{"index": at, "finish_reason": "length"} for at in (1, 5, -1, "0", None)]}], False),
        (2, [{"promptFeedback": {"blockReason": "SAFETY"}}], True),
        (1, [{"promptFeedback": {}}, {"promptFeedback": 1}, {"candidates": 5}, {"choices": [5]}], False),
    ],
)
def test_all_have_ended_once_each_has(asked: int, chunks: list[dict], ended: bool) -> None:
    choices = Choices(asked)
    for chunk in chunks:
        choices.note(chunk)
    assert choices.all_ended is ended


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, True),
        ({"candidates": [{"finishReason": "STOP"}]}, True),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
        ({"choices": [{"finish_reason": None, "delta": {"content": '"finish_reason": "stop"'}}]}, False),
    ],
)
def test_a_chunk_that_may_say_an_end_is_known_by_its_bytes(chunk: dict, says: bool) -> None:
    assert (SAYS_END.search(json.dumps(chunk).encode()) is not None) is says
