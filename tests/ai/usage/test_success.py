"""What says that it failed, or does not say that it ended well, is no answer to be given again."""

from typing import Any

import orjson
import pytest

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.success import says_done
from tests.ai.usage.streams import ASKED, chunk, sse

JSON, STREAM = "application/json; charset=utf-8", "text/event-stream"
DIED = {"error": {"message": "upstream died", "code": 502}}


def chat(end: str | None, **more: Any) -> dict[str, Any]:
    return chunk("x", choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": end} | more])


def both(*ends: str | None) -> dict[str, Any]:
    return chunk(None, choices=[{"index": index, "finish_reason": end} for index, end in enumerate(ends)])


def delta(reason: str | None) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}


def whole(**more: Any) -> bytes:
    return orjson.dumps(more)


@pytest.mark.parametrize(
    ("kind", "body", "done"),
    [
        (Kind.RESPONSES, whole(status="completed", error=None), True),
        (Kind.RESPONSES, whole(status="failed", error={"code": "x"}), False),
        (Kind.RESPONSES, whole(status="incomplete"), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "stop"}]), True),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "length"}]), True),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "error"}]), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "content_filter"}]), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": ["stop"]}]), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": None}]), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "stop", "error": {"code": 502}}]), False),
        (Kind.CHAT, whole(choices=[{"index": 0, "finish_reason": "stop"}], error="died"), False),
        (Kind.CHAT, whole(choices=[]), False),
        (Kind.CHAT, b"[]", False),
        (Kind.CHAT, b"<html>", False),
        (Kind.MESSAGES, whole(type="message", stop_reason="tool_use"), True),
        (Kind.MESSAGES, whole(type="message", stop_reason="refusal"), False),
        (Kind.MESSAGES, whole(type="message", stop_reason="pause_turn"), False),
        (Kind.MESSAGES, whole(type="error", error={"type": "overloaded_error"}), False),
        (Kind.GENERATE, whole(candidates=[{"finishReason": "MAX_TOKENS"}]), True),
        (Kind.GENERATE, whole(candidates=[{"finishReason": 1}]), True),
        (Kind.GENERATE, whole(candidates=[{"finishReason": "SAFETY"}]), False),
        (Kind.GENERATE, whole(promptFeedback={"blockReason": "OTHER"}), False),
        (Kind.GENERATE, b'[{"candidates": [{}]}, {"candidates": [{"finishReason": "STOP"}]}]', True),
        (Kind.GENERATE, b'[{"candidates": [{"finishReason": "STOP"}]}, {"error": {"code": 500}}]', False),
        (Kind.EMBEDDINGS, whole(data=[{"embedding": [1.0]}]), True),
        (Kind.EMBEDDINGS, whole(error="no"), False),
    ],
)
def test_a_body_says_whether_it_is_what_was_asked_for(kind: Kind, body: bytes, done: bool) -> None:
    """Though it comes with 200 and says what it used."""
    assert says_done(kind, JSON, body) is done


@pytest.mark.parametrize(
    ("kind", "events", "done"),
    [
        (Kind.CHAT, [chat(None), chat("stop"), ASKED, "[DONE]"], True),
        (Kind.CHAT, [both(None, None), both("stop", None), both(None, "tool_calls"), ASKED, "[DONE]"], True),
        (Kind.CHAT, [chat(None), DIED, ASKED, "[DONE]"], False),
        (Kind.CHAT, [chat(None), {"error": "died"}, ASKED, "[DONE]"], False),
        (Kind.CHAT, [chat(None), chat("error") | DIED, ASKED, "[DONE]"], False),
        (Kind.CHAT, [chat(None), chat("error"), ASKED, "[DONE]"], False),
        (Kind.CHAT, [chat(None), chat("stop", error={"code": 502}), ASKED, "[DONE]"], False),
        (Kind.CHAT, [chat(None), ASKED, "[DONE]"], False),
        (Kind.CHAT, [both(None, None), both("stop", None), ASKED, "[DONE]"], False),
        (Kind.CHAT, ["[DONE]"], False),
        (Kind.MESSAGES, [{"type": "message_start"}, delta("end_turn"), {"type": "message_stop"}], True),
        (Kind.MESSAGES, [{"type": "message_start"}, delta("refusal"), {"type": "message_stop"}], False),
        (Kind.MESSAGES, [{"type": "message_start"}, delta(None), {"type": "message_stop"}], False),
        (Kind.MESSAGES, [delta("end_turn"), {"type": "error", "error": {"type": "overloaded_error"}}], False),
        (Kind.RESPONSES, [{"type": "response.completed", "response": {"status": "completed", "error": None}}], True),
        (Kind.RESPONSES, [{"type": "response.failed", "response": {"status": "failed"}}], False),
        (Kind.RESPONSES, [{"type": "response.output_text.delta", "delta": "response.completed"}], False),
        (Kind.RESPONSES, [{"type": "error", "message": "x"}], False),
        (Kind.GENERATE, [{"candidates": [{}]}, {"candidates": [{"finishReason": "STOP"}]}], True),
        (Kind.GENERATE, [{"candidates": [{}]}, {"candidates": [{"finishReason": "RECITATION"}]}], False),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_says_it_in_one_of_its_events(kind: Kind, events: list[Any], done: bool, end: str) -> None:
    """A usage and [DONE] may follow what has failed."""
    assert says_done(kind, STREAM, sse(*events, end=end)) is done
