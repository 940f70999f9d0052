"""Reading a body on while its client is slow, since others wait for what is to be stored.

Whoever leads a fetch would else set the pace for all: one client that does not read kept everybody else waiting. To let
another lead instead would cost the app a fetch for each slow client of a crowd; what is read ahead is kept anyway.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.cache.keeper import Keeper
from proxy.gateway.caches import Caches
from proxy.upstream.response import HIGH_WATER, Response

MOST_AHEAD: Final = 64 << 20  # bytes read ahead of all clients of a worker; beyond that they set the pace again


class Ahead:
    """The body of an upstream's answer: into ``keeper`` as fast as it comes, to the client as fast as that takes it.

    ``response`` is what the client gets; ``kept`` is told the whole body as soon as it is there. Beyond the keeper's
    bound only so much is read ahead as of any answer. ``ends`` has to be called.
    """

    __slots__ = ("_ahead", "_caches", "_keeper", "_kept", "_reading", "_source", "_taken", "is_whole", "response")

    def __init__(
        self, source: Response, keeper: Keeper, caches: Caches, kept: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self.response = Response(source.status, source.reason, source.headers, self)
        self.is_whole = False  # the source has come to its end
        self._source = source
        self._keeper = keeper
        self._caches = caches
        self._kept = kept
        self._ahead = 0
        self._taken = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        response, keeper, caches = self.response, self._keeper, self._caches
        try:
            while chunk := await self._source.read():
                keeper.feed(chunk)
                response.parts.append(chunk)
                response.buffered += len(chunk)
                self._ahead += len(chunk)
                caches.bytes_ahead += len(chunk)
                response.wake()
                while response.buffered > HIGH_WATER and not (keeper.keeps and caches.bytes_ahead <= MOST_AHEAD):
                    self._taken.clear()
                    await self._taken.wait()
            self.is_whole = True
            body = keeper.body
            if body is not None:
                keeper.ends()
                await self._kept(body)
        except Exception as error:  # noqa: BLE001 - a background task ends here: whoever sends its body hears of it
            response.fail(error)
        else:
            response.finish()

    def ends(self) -> None:
        """The client has all of it, or will never have."""
        self._reading.cancel()
        self._source.close()
        self.reader_took()

    # --- what ``response`` tells of its reader ---

    def reader_waits(self) -> None:
        pass

    def reader_took(self) -> None:
        self._caches.bytes_ahead -= self._ahead
        self._ahead = 0
        self._taken.set()

    def abort(self) -> None:
        self.ends()
