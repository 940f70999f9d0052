"""Usage from Gemini's other stream: a JSON array that grows by an object (streamGenerateContent without alt=sse). Pure.

Only braces outside strings are followed, over whatever boundaries the chunks have; the last object that says a usage
is read at the end.
"""

import re
from typing import Any, Final

import orjson

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.choices import SAYS_END, Choices
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import usage_of

MAX_OBJECT: Final = 32 << 20
_SPECIAL: Final = re.compile(rb'["\\{}]')
_MARK: Final = re.compile(rb'"usageMetadata"\s*:\s*\{')
_ERROR: Final = re.compile(rb'"error"\s*:(?!\s*null)')
_QUOTE, _ESCAPE, _OPEN = b'"\\{'


class ArrayReader:
    """Reads one stream, of so many ``choices``; hands on every chunk as it is."""

    __slots__ = (
        "_choices",
        "_closed",
        "_complete",
        "_depth",
        "_failed",
        "_in_string",
        "_last",
        "_object",
        "_skip",
        "streamed_bytes",
    )

    def __init__(self, *, choices: int = 1) -> None:
        self._choices = Choices(choices)
        self._complete = False
        self._closed = False  # the array has ended, not only its bytes
        self._failed = False  # the stream itself says that it broke off
        self._object = bytearray()
        self._depth = 0
        self._in_string = False
        self._skip = 0  # bytes of the next chunk that an escape covers
        self._last: bytes | None = None
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        self.streamed_bytes += len(data)
        begin = beyond = 0  # of the object under way; of the last one that has ended
        skip = self._skip
        for special in _SPECIAL.finditer(data):
            at = special.start()
            if at < skip:
                continue
            char = data[at]
            if self._in_string:
                if char == _ESCAPE:
                    skip = at + 2
                elif char == _QUOTE:
                    self._in_string = False
            elif char == _QUOTE:
                self._in_string = True
            elif char == _OPEN:
                if self._depth == 0:
                    begin = at
                self._depth += 1
            elif char != _ESCAPE and self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._end_object(data[begin : at + 1])
                    beyond = at + 1
        if not self._depth and not self._in_string and b"]" in data[beyond:]:
            self._closed = True
        self._skip = max(0, skip - len(data))
        if self._depth and len(self._object) < MAX_OBJECT:
            self._object += data[begin:]
        return data

    def _end_object(self, rest: bytes) -> None:
        self._object += rest
        if SAYS_END.search(self._object) is not None:
            self._choices.note(_object_of(self._object) or {})
        if _ERROR.search(self._object) is not None:
            self._failed = self._failed or (_object_of(self._object) or {}).get("error") is not None
        if _MARK.search(self._object) is not None:
            self._last = bytes(self._object)
            self._complete = self._choices.all_ended
        self._object.clear()

    def end(self) -> bytes:
        """Only the array's own end says that no more could have come: a cut between two objects looks like an end."""
        self._complete = self._complete or (self._closed and not self._failed)
        return b""

    def usage(self) -> Usage | None:
        answer = _object_of(self._last) if self._last is not None else None
        return usage_of(Kind.GENERATE, answer, complete=self._complete, streamed_bytes=self.streamed_bytes)


def _object_of(raw: bytes | bytearray) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
