"""Which reader an answer gets, from its head. Whatever it is, the client's bytes do not change but as events.py says.

A gzip coding is read beside; any other coding is not read, and the call is settled at its hold.
"""

import zlib
from typing import Final, Protocol

from proxy.ai.dialects.call import AiCall, Kind
from proxy.ai.usage.array import ArrayReader
from proxy.ai.usage.body import BodyReader
from proxy.ai.usage.events import EventReader
from proxy.ai.usage.result import Usage

MAX_EXPANDED: Final = 256 << 20
"""Bytes that one answer may expand to; behind it is a bomb, or nothing that is worth reading."""
_STEP: Final = 1 << 20


class Reader(Protocol):
    """One answer's. ``feed`` gives what to hand on at once; ``end`` what is left; ``usage`` may be asked any time.

    ``end`` says that the answer's bytes came to their end. Whether that was the end of what the provider says, a stream
    must have told itself.
    """

    streamed_bytes: int

    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...
    def usage(self) -> Usage | None: ...


class BlindReader:
    """For what cannot be read: counts bytes."""

    __slots__ = ("streamed_bytes",)

    def __init__(self) -> None:
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        self.streamed_bytes += len(data)
        return data

    def end(self) -> bytes:
        return b""

    def usage(self) -> Usage | None:
        return None


class GzipReader:
    """Reads beside a gzip coding, whose bytes pass as they are."""

    __slots__ = ("_inflate", "_inner", "_lost", "streamed_bytes")

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._inflate = zlib.decompressobj(wbits=31)
        self._lost = False
        self.streamed_bytes = 0

    def feed(self, data: bytes) -> bytes:
        self.streamed_bytes += len(data)
        rest = data
        while rest and not self._lost:
            try:
                plain = self._inflate.decompress(rest, _STEP)
            except zlib.error:
                self._lost = True
                break
            if plain:
                self._inner.feed(plain)
            rest = self._inflate.unconsumed_tail
            self._lost = self._inner.streamed_bytes > MAX_EXPANDED or bool(self._inflate.unused_data)
        return data

    def end(self) -> bytes:
        if self._inflate.eof:
            self._inner.end()
        return b""

    def usage(self) -> Usage | None:
        return None if self._lost else self._inner.usage()


def reader_for(
    call: AiCall, *, content_type: str, content_encoding: str = "", take_out: bool = False, refused: bool = False
) -> Reader:
    """The reader of an answer to ``call``; of one that is ``refused`` the JSON is looked for, whatever was asked.

    ``take_out``: the gateway asked for the stream's usage, which the client did not. Under a coding nothing is taken
    out: a gateway that asks also asks for ``identity``.
    """
    media = content_type.partition(";")[0].strip().lower()
    coding = content_encoding.strip().lower()
    if (call.kind is Kind.OPAQUE and not refused) or coding not in ("", "identity", "gzip", "x-gzip"):
        return BlindReader()
    coded = coding not in ("", "identity")
    inner: Reader
    if media == "text/event-stream":
        inner = EventReader(call.kind, take_out=take_out and not coded, choices=call.choices)
    elif media == "application/json" or media.endswith("+json"):
        array = call.kind is Kind.GENERATE and call.stream and not refused
        inner = ArrayReader(choices=call.choices) if array else BodyReader(call.kind)
    else:
        return BlindReader()
    return GzipReader(inner) if coded else inner
