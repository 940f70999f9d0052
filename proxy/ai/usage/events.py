"""Usage from server-sent events, over whatever boundaries the chunks have (WHATWG HTML §9.2). Pure.

Chunks pass as they are. Only where the gateway itself asked for the stream's usage is the event that brings it taken
out again, byte for byte; then the beginning of an event that may yet turn out to be that one waits for its end, which
delays nothing that a client could have seen: an event is one only once its blank line has come.

Most chunks are not looked into: one search for the usage's name, and only events that hold it are read.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.ai.dialects.call import Kind
from proxy.ai.usage.choices import Choices
from proxy.ai.usage.result import Usage
from proxy.ai.usage.shapes import usage_in, usage_of

MAX_EVENT: Final = 32 << 20
"""Bytes of one event; Responses' last one repeats the whole answer. A longer one is not read."""
MAX_WAIT: Final = 64 << 10
"""Bytes that are kept back at most; a usage event is shorter."""

_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# Of what is looked into: usages, choices' ends, errors, and the end of Anthropic's messages.
_MARK: Final = re.compile(
    rb'"(?:usage(?:Metadata)?"\s*:\s*\{|finish_?[rR]eason"\s*:\s*"|promptFeedback"\s*:\s*\{|error"\s*:(?!\s*null)|'
    rb'message_stop")'
)
# What an event begins with that is no part of what it says; and what is not the event that was asked for: a line that
# begins as a comment (or is cut amid its end), data that are no object, a choice.
_HEAD: Final = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n|\n|\r(?=[^\n])))*")
_OTHER: Final = re.compile(rb'\A(?:[:\r]|data:\s*[^{\s])|"choices"\s*:\s*\[\s*[^\]\s]')
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_DONE: Final = b"[DONE]"  # the data of the last event of OpenAI's chats: what was said before it is all


def objects_in(stream: bytes) -> Iterator[dict[str, Any]]:
    """What the events of a whole stream say, in order; what is no object is left out."""
    for event in _END.split(stream):
        if (said := _object_of(_data_of(event))) is not None:
            yield said


class EventReader:
    """Reads one stream, of so many ``choices``. ``take_out``: the gateway asked for the usage, the client did not."""

    __slots__ = (
        "_answer",
        "_choices",
        "_complete",
        "_counted",
        "_failed",
        "_kind",
        "_pending",
        "_released",
        "_skip_lf",
        "_take_out",
        "_took",
        "streamed_bytes",
    )

    def __init__(self, kind: Kind, *, take_out: bool = False, choices: int = 1) -> None:
        self._kind = kind
        self._choices = Choices(choices)
        self._take_out = take_out
        self._pending = bytearray()  # of an event that has not ended
        self._released = 0  # bytes of it that were handed on
        self._answer: dict[str, Any] | None = None  # the last that said a usage; Anthropic's, put together
        self._counted = False  # whether what it has cost was said after it began
        self._complete = False
        self._failed = False  # the stream itself says that it broke off
        self._skip_lf = False
        self._took = False  # whether the event before was taken out
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """What to hand on of ``data``, and of what was kept back before it."""
        self.streamed_bytes += len(data)
        if self._skip_lf:
            return self._after_cr(data)
        if not self._pending and data.endswith((b"\n\n", b"\r\n\r\n")) and not _says(data):
            return data
        if self._take_out:
            return self._passed(data)
        self._observe(data)
        return data

    def end(self) -> bytes:
        """What is left to hand on when the stream has ended: an event without its blank line.

        That it has ended proves nothing: who cuts a stream on the way may end it in order, and where the end of the
        connection is the end of the body, each cut looks like one. The stream itself must have said that all was said.
        """
        rest = bytes(self._pending)
        self._pending.clear()
        out = self._without_mine(rest) if self._take_out else b""
        if not self._take_out and _says(rest):
            self._note(rest)
        return out

    def usage(self) -> Usage | None:
        return usage_of(self._kind, self._answer, complete=self._complete, streamed_bytes=self.streamed_bytes)

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
            if _says(event):
                self._note(event)
        if len(self._pending) > MAX_EVENT:
            del self._pending[:-4]  # enough to find its end

    def _passed(self, data: bytes) -> bytes:
        out = [self._without_mine(event) for event in self._ended(data)]
        pending = self._pending
        head = _HEAD.match(pending)
        if head is not None and head.end():
            out.append(bytes(pending[self._released : head.end()]))
            del pending[: head.end()]
            self._released = max(0, self._released - head.end())
        if pending and (self._released or len(pending) > MAX_WAIT or _OTHER.search(pending) is not None):
            out.append(bytes(pending[self._released :]))
            if pending.startswith(b":"):
                del pending[1 : -1 if pending.endswith(b"\r") else None]  # a comment's text is not looked at again
            self._released = len(pending)
            if len(pending) > MAX_EVENT:
                del pending[:-4]
                self._released = 4
        return b"".join(out)

    def _without_mine(self, event: bytes) -> bytes:
        """What is left to hand on of ``event``: comments before it go on, whatever it is."""
        released, self._released = self._released, 0
        head = _HEAD.match(event)
        begin = head.end() if head is not None else 0
        mine = _says(event) and self._note(event)
        self._took = mine and released <= begin
        return event[released:begin] if self._took else event[released:]

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
        data = _data_of(event)
        said = _object_of(data)
        if said is None:
            if data.strip() == _DONE and self._kind is Kind.CHAT:
                self._complete = not self._failed
            return False
        self._failed = self._failed or said.get("error") is not None
        if self._kind is Kind.MESSAGES:
            self._put_together(said)
        elif self._kind is Kind.RESPONSES:
            if usage_in(self._kind, response := said.get("response")) is not None:
                self._answer = response
                self._complete = said.get("type") in _FINAL
        else:
            self._choices.note(said)
            if usage_in(self._kind, said) is not None:
                self._answer = said
                # Without a choice comes the usage that was asked for, after all of them.
                self._complete = self._choices.all_ended or said.get("choices") == []
        return said.get("choices") == [] and isinstance(said.get("usage"), dict)

    def _put_together(self, event: dict[str, Any]) -> None:
        """Anthropic's: what a message begins with, and what each delta says anew."""
        message, said, delta = event.get("message"), event.get("usage"), event.get("delta")
        if event.get("type") == "message_start" and isinstance(message, dict):
            self._answer = message
        elif event.get("type") == "message_delta" and isinstance(said, dict) and self._answer is not None:
            # Cumulative: what it says replaces what was said, and what it leaves out stays.
            before = usage_in(self._kind, self._answer) or {}
            self._answer["usage"] = before | {name: value for name, value in said.items() if value is not None}
            self._counted = True
            self._complete = isinstance(delta, dict) and delta.get("stop_reason") is not None
        elif event.get("type") == "message_stop":
            self._complete = self._counted


_FINAL: Final = ("response.completed", "response.incomplete", "response.failed")


def _says(data: bytes) -> bool:
    """Whether ``data`` may hold anything that is looked into."""
    return _MARK.search(data) is not None or _DONE in data


def _data_of(event: bytes) -> bytes:
    return b"\n".join([line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")])


def _object_of(data: bytes) -> dict[str, Any] | None:
    """The object in an event's data, None where it holds none."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
