"""A body is read on while its client is slow: up to the keeper's bound, and to a bound of all."""

import asyncio
from types import SimpleNamespace

import pytest

from proxy.cache.keeper import Fills, Keeper
from proxy.core.errors import GatewayError, Reason
from proxy.gateway import cacheahead
from proxy.gateway.cacheahead import Ahead
from proxy.upstream.response import HIGH_WATER, Response

PIECE = bytes(64 * 1024)
PIECES = 16
WHOLE = PIECES * len(PIECE)


class Source(Response):
    """An app that sends as fast as it is read."""

    def __init__(self, pieces=PIECES, error=None):
        super().__init__(200, b"OK", [], SimpleNamespace(abort=lambda: None))
        self.left, self.error_at_end = pieces, error

    async def read(self):
        await asyncio.sleep(0)
        if self.left:
            self.left -= 1
            return PIECE
        if self.error_at_end is not None:
            raise self.error_at_end
        self.finish()
        return b""


class Stand:
    def __init__(self, most=WHOLE, **source):
        self.kept = []
        self.source = Source(**source)
        self.caches = SimpleNamespace(bytes_ahead=0)
        self.ahead = Ahead(self.source, Keeper(most, Fills(most), lambda _: None), self.caches, self.keep)

    async def keep(self, body):
        self.kept.append(len(body))

    async def turns(self):
        """More of the loop than it takes to read all."""
        for _ in range(10 * PIECES):
            await asyncio.sleep(0)

    async def rest(self):
        size = 0
        while data := await asyncio.wait_for(self.ahead.response.read(), 5):
            size += len(data)
        return size


async def test_all_of_it_is_kept_before_the_client_takes_any():
    stand = Stand()
    await stand.turns()
    assert stand.kept == [WHOLE]
    assert stand.caches.bytes_ahead == WHOLE
    assert await stand.rest() == WHOLE
    stand.ahead.ends()
    assert (stand.ahead.is_whole, stand.caches.bytes_ahead) == (True, 0)


@pytest.mark.parametrize("why", ["too large to keep", "others have read ahead too far"])
async def test_otherwise_the_client_sets_the_pace(monkeypatch, why):
    if why == "too large to keep":
        stand = Stand(most=1)
    else:
        monkeypatch.setattr(cacheahead, "MOST_AHEAD", 0)
        stand = Stand()
    await stand.turns()
    assert HIGH_WATER < stand.ahead.response.buffered <= HIGH_WATER + len(PIECE)
    assert await stand.rest() == WHOLE
    stand.ahead.ends()
    assert stand.kept == ([] if why == "too large to keep" else [WHOLE])


async def test_what_is_cut_is_not_kept_and_its_client_hears_of_it():
    stand = Stand(error=GatewayError(Reason.UPSTREAM_RESET))
    with pytest.raises(GatewayError) as error:
        await stand.rest()
    assert error.value.reason is Reason.UPSTREAM_RESET
    stand.ahead.ends()
    assert (stand.kept, stand.ahead.is_whole, stand.caches.bytes_ahead) == ([], False, 0)


async def test_when_the_client_leaves_the_app_is_left():
    stand = Stand(most=1)
    await stand.turns()
    left = stand.source.left
    assert left
    stand.ahead.response.close()
    await stand.turns()
    assert (stand.source.left, stand.kept, stand.caches.bytes_ahead) == (left, [], 0)
