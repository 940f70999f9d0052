"""Where in a connection's bytes one request ends and the next begins, as far as that is certain.

A read that begins where a request does, and is one whole head without a body, parses to the same request each time: it
may be known again by its bytes. Whatever leaves a doubt (pipelined requests, chunked bodies, a read that ends within
two things at once) ends that certainty for the rest of the connection. Pure.
"""

from typing import Final

from aiohttp.http_parser import RawRequestMessage

MOST_BEGUN: Final = 64 * 1024  # bytes of a head that came in several reads
_END: Final = b"\r\n\r\n"


class Boundary:
    """Of one connection."""

    __slots__ = ("_begun", "_left", "_whole", "at_start")

    def __init__(self) -> None:
        self.at_start = True  # the next byte is the first of a request
        self._left = 0  # bytes of a body that are still to come; -1: nobody knows any more
        self._begun = b""  # of a head that has not ended
        self._whole: bytes | None = None

    def take_whole(self) -> bytes | None:
        """The read that was the request parsed last, and nothing else; None where it was not like that."""
        whole, self._whole = self._whole, None
        return whole

    def passed(self, data: bytes, new: int, message: RawRequestMessage | None, *, alone: bool) -> None:
        """The parser has taken ``data``, and found ``new`` requests end their heads in it, the last one ``message``.

        ``alone``: no other request waits to be answered, so that the next one to be is this.
        """
        self._whole = None
        if self._left < 0 or not data:
            return
        if self._left:
            self._left = -1 if new or len(data) > self._left else self._left - len(data)
        elif not new:
            self._begun += data
            if len(self._begun) > MOST_BEGUN:
                self._left, self._begun = -1, b""
        elif new > 1 or message is None:
            self._left = -1
        else:
            self._ended(data, message, alone=alone)
        self.at_start = not self._left and not self._begun

    def _ended(self, data: bytes, message: RawRequestMessage, *, alone: bool) -> None:
        begun, self._begun = self._begun, b""
        data = begun + data
        end = data.find(_END)
        length = message.headers.get("Content-Length", "0")
        if end < 0 or message.chunked or message.upgrade or not length.isdecimal():
            self._left = -1
            return
        rest = len(data) - end - len(_END)
        self._left = int(length) - rest if rest <= int(length) else -1
        if alone and not rest and not self._left and not begun:
            self._whole = data
