"""One fetch at a time of what several requests of a worker want: the first leads, the others wait for what it brings.

Of one event loop. A key holds the tenant, so that nobody ever waits for, or gets, what was fetched for another's.
"""

import asyncio
from collections import OrderedDict
from enum import Enum
from typing import Final

from proxy.cache.entry import Stored
from proxy.core.errors import GatewayError

MARK_MS: Final = 10_000  # for how long an answer that could not be stored keeps others from waiting for the next one
MARKS: Final = 20_000  # marks kept; the oldest goes


class Ended(Enum):
    """How a fetch came out, where it brought nothing to store and no error."""

    UNCACHEABLE = "uncacheable"  # each request has to ask for itself
    UNSHARED = "unshared"  # likewise; but of other requests for the same URL it says nothing
    FAILING = "failing"  # the upstream answered with an error that something stored may stand in for
    ABANDONED = "abandoned"  # whoever led it has gone: another may lead


Outcome = Stored | GatewayError | Ended


class Flight:
    """One fetch. Its leader must ``Flights.land`` it, whatever happens."""

    __slots__ = ("followers", "future", "key")

    def __init__(self, key: bytes, future: asyncio.Future[Outcome]) -> None:
        self.key = key
        self.future = future
        self.followers = 0

    async def wait(self, seconds: float) -> Outcome | None:
        """What it came to; None when it takes longer."""
        self.followers += 1
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self.future)
        except TimeoutError:
            return None
        finally:
            self.followers -= 1


class Flights:
    """Those of a worker, and marks on what was not worth waiting for (hit-for-miss)."""

    def __init__(self) -> None:
        self._open: dict[bytes, Flight] = {}
        self._marks: OrderedDict[int, float] = OrderedDict()  # by hash: of two keys with one, the other goes alone too

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: bytes) -> Flight | None:
        return self._open.get(key)

    def begin(self, key: bytes) -> Flight:
        """The caller leads. There must be none under this key."""
        assert key not in self._open
        flight = self._open[key] = Flight(key, asyncio.get_running_loop().create_future())
        return flight

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Tells the followers; the first word counts."""
        if flight.future.done():
            return
        flight.future.set_result(outcome)
        del self._open[flight.key]

    def mark(self, key: bytes, now_ms: float) -> None:
        """Answers under this key can't be stored. ``now_ms`` is monotonic."""
        name = hash(key)
        self._marks[name] = now_ms + MARK_MS
        self._marks.move_to_end(name)
        if len(self._marks) > MARKS:
            self._marks.popitem(last=False)

    def unmark(self, key: bytes) -> None:
        self._marks.pop(hash(key), None)

    def is_marked(self, key: bytes, now_ms: float) -> bool:
        until_ms = self._marks.get(hash(key))
        if until_ms is None:
            return False
        if now_ms < until_ms:
            return True
        del self._marks[hash(key)]
        return False
