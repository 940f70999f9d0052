"""Usage from a whole body: bytes pass, a bounded copy is read at the end. Pure."""

import json
import re
from collections import deque
from typing import Any, Final

import orjson

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import usage_of

MAX_BODY: Final = 32 << 20
"""Bytes kept of one answer; a longer one is settled at its hold."""
_TAIL: Final = 8192
# Vectors are megabytes of numbers, and nothing in such an answer is a user's text: its end is enough.
_USAGE: Final = re.compile(r'"(usage|usageMetadata)"\s*:\s*(?=\{)')
_MODEL: Final = re.compile(r'"model"\s*:\s*"([^"\\]{1,256})"')
_DECODER: Final = json.JSONDecoder()


class BodyReader:
    """Reads one answer that is one JSON value."""

    __slots__ = ("_body", "_kind", "_lost", "streamed_bytes")

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._body = bytearray()
        self._lost = False
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """What to hand on: always ``data`` itself."""
        self.streamed_bytes += len(data)
        if self._lost and self._kind is not Kind.EMBEDDINGS:
            return data
        self._body += data
        if len(self._body) > (8 * _TAIL if self._kind is Kind.EMBEDDINGS else MAX_BODY):
            self._lost = True
            del self._body[:-_TAIL]
        return data

    def end(self) -> bytes:
        return b""

    def usage(self) -> Usage | None:
        """None where the body is not there wholly, or says nothing."""
        if (
            self._kind is Kind.EMBEDDINGS
            and (answer := _from_tail(self._body[-_TAIL:].decode("utf-8", "replace"))) is not None
        ):
            return usage_of(self._kind, answer, complete=True, streamed_bytes=self.streamed_bytes)
        return usage_of(self._kind, self.answer(), complete=True, streamed_bytes=self.streamed_bytes)

    def answer(self) -> Any:
        """The body's JSON; None where it is not there wholly, or is none."""
        if self._lost:
            return None
        try:
            return orjson.loads(self._body)
        except ValueError:
            return None


def _from_tail(tail: str) -> dict[str, Any] | None:
    found = deque(_USAGE.finditer(tail), maxlen=1)
    if not found or not tail.rstrip().endswith("}"):
        return None
    model = _MODEL.search(tail)
    try:
        usage, _ = _DECODER.raw_decode(tail, found[0].end())
    except (ValueError, RecursionError):
        return None
    return {found[0].group(1): usage, "model": model.group(1) if model else None}
