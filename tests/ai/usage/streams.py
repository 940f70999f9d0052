"""Streams as providers send them, for these tests."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from proxy.ai.usage.reader import Reader


def sse(*events: Any, end: str = "\n", named: bool = False) -> bytes:
    """Each event's bytes; a str is sent as it is."""
    out = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}{end}" if named else ""
        out.append(f"{name}data: {data}{end}{end}")
    return "".join(out).encode()


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted({min(one, len(data)) for one in at}), len(data)]
    return [data[a:b] for a, b in pairwise(marks) if a < b]


def through(reader: Reader, chunks: Iterable[bytes]) -> bytes:
    return b"".join([reader.feed(chunk) for chunk in chunks] + [reader.end()])


def chunk(content: str | None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-x", "choices": choices} | more


USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 8},
}
ASKED = chunk(None, choices=[], usage=USAGE)
