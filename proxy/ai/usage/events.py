"""Usage from server-sent events, over whatever boundaries the chunks have (WHATWG HTML §9.2). Pure.

Chunks pass as they are. Only where the gateway itself asked for the stream's usage is the event that brings it taken
out again, byte for byte; then the beginning of an event that may yet turn out to be that one waits for its end, which
delays nothing that a client could have seen: an event is one only once its blank line has come.

Most chunks are not looked into: one search for the usage's name, and only events that hold it are read.
"""

import re
from typing import Any, Final

import orjson

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import usage_of

MAX_EVENT: Final = 32 << 20
"""Bytes of one event; Responses' last one repeats the whole answer. A longer one is not read."""
MAX_WAIT: Final = 64 << 10
"""Bytes that are kept back at most; a usage event is shorter."""

_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_MARKS: Final = {Kind.GENERATE: re.compile(rb'"usageMetadata"\s*:\s*\{')}
_A_CHOICE: Final = re.compile(rb'"choices"\s*:\s*\[\s*[^\]\s]')
_LINE: Final = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """Reads one stream. ``take_out``: the gateway asked for the usage and the client did not."""

    __slots__ = (
        "_answer",
        "_done",
        "_kind",
        "_last",
        "_mark",
        "_pending",
        "_released",
        "_skip_lf",
        "_take_out",
        "_took",
        "streamed_bytes",
    )

    def __init__(self, kind: Kind, *, take_out: bool = False) -> None:
        self._kind = kind
        self._mark = _MARKS.get(kind, _USAGE)
        self._take_out = take_out
        self._pending = bytearray()  # of an event that has not ended
        self._released = 0  # bytes of it that were handed on
        self._last: bytes | None = None  # the last event that said a usage
        self._answer: dict[str, Any] | None = None  # Anthropic's, put together
        self._done = False
        self._skip_lf = False
        self._took = False  # whether the event before was taken out
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """What to hand on of ``data``, and of what was kept back before it."""
        self.streamed_bytes += len(data)
        if self._skip_lf:
            return self._after_cr(data)
        if not self._pending and data.endswith((b"\n\n", b"\r\n\r\n")) and self._mark.search(data) is None:
            return data
        if self._take_out:
            return self._passed(data)
        self._observe(data)
        return data

    def end(self) -> bytes:
        """What is left to hand on when the stream has ended: an event without its blank line."""
        rest = bytes(self._pending)
        if not rest:
            return b""
        self._pending.clear()
        if self._mark.search(rest) is not None and self._note(rest) and self._take_out and not self._released:
            return b""
        return rest[self._released :] if self._take_out else b""

    def usage(self) -> Usage | None:
        if self._kind is Kind.MESSAGES:
            return self._said(self._answer, self._done)
        answer = _data_of(self._last) if self._last is not None else None
        if answer is None:
            return None
        if self._kind is Kind.RESPONSES:
            return self._said(answer.get("response"), answer.get("type") in _FINAL)
        return self._said(answer, _is_last(answer))

    def _said(self, answer: Any, complete: bool) -> Usage | None:
        return usage_of(self._kind, answer, complete=complete, streamed_bytes=self.streamed_bytes)

    def _after_cr(self, data: bytes) -> bytes:
        """The event before ended in a CR at its chunk's end: an LF now is that line's too."""
        if not data:
            return data
        self._skip_lf = False
        self.streamed_bytes -= len(data)
        if not data.startswith(b"\n"):
            return self.feed(data)
        self.streamed_bytes += 1
        head = b"" if self._took else b"\n"
        rest = data[1:]
        return head + self.feed(rest) if rest else head

    def _observe(self, data: bytes) -> None:
        for event in self._ended(data):
            if self._mark.search(event) is not None:
                self._note(event)
        if len(self._pending) > MAX_EVENT:
            del self._pending[:-4]  # enough to find its end

    def _passed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        for event in self._ended(data):
            mine = self._mark.search(event) is not None and self._note(event)
            self._took = mine and not self._released
            if not self._took:
                out.append(event[self._released :])
            self._released = 0
        pending = self._pending
        # What has begun a choice, or is too long, is not the event that was asked for.
        if pending and (self._released or len(pending) > MAX_WAIT or _A_CHOICE.search(pending) is not None):
            out.append(bytes(pending[self._released :]))
            self._released = len(pending)
            if len(pending) > MAX_EVENT:
                del pending[:-4]
                self._released = 4
        return b"".join(out)

    def _ended(self, data: bytes) -> list[bytes]:
        """Events that end in ``data``, each with its blank line; what follows them is pending."""
        pending = self._pending
        start = max(0, len(pending) - 3)
        pending += data
        events = []
        begin = 0
        while (end := _END.search(pending, start)) is not None:
            start = end.end()
            events.append(bytes(pending[begin:start]))
            begin = start
        if begin:
            self._skip_lf = self._take_out and begin == len(pending) and pending.endswith(b"\r")
            del pending[:begin]
        return events

    def _note(self, event: bytes) -> bool:
        """Remember what ``event`` says was used. Whether it says nothing else: the one that was asked for."""
        if self._kind is not Kind.MESSAGES:
            self._last = event
            if not self._take_out:
                return False
            answer = _data_of(event)
            return answer is not None and answer.get("choices") == [] and isinstance(answer.get("usage"), dict)
        self._put_together(_data_of(event) or {})
        return False

    def _put_together(self, event: dict[str, Any]) -> None:
        """Anthropic's: what a message begins with, and what each delta says anew."""
        message, said = event.get("message"), event.get("usage")
        if event.get("type") == "message_start" and isinstance(message, dict):
            self._answer = message
        elif event.get("type") == "message_delta" and isinstance(said, dict) and self._answer is not None:
            # Cumulative: what it says replaces what was said, and what it leaves out stays.
            before = self._answer.get("usage") or {}
            self._answer["usage"] = before | {name: value for name, value in said.items() if value is not None}
            self._done = True


_FINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _is_last(answer: dict[str, Any]) -> bool:
    """Whether nothing more is generated after this event: it has no choice, or says why they ended."""
    choices = answer.get("choices", answer.get("candidates"))
    if not isinstance(choices, list) or not choices:
        return True
    return any(
        isinstance(one, dict) and (one.get("finish_reason") or one.get("finishReason")) is not None for one in choices
    )


def _data_of(event: bytes) -> dict[str, Any] | None:
    """The object in an event's data lines, None where it holds none."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    try:
        value = orjson.loads(b"\n".join(lines))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
