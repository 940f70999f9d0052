"""Keeping bodies as they pass to their clients, in memory that all of a worker's have in common. Pure, never raises.

Whoever makes the gateway fetch much at once, and reads it slowly or not at all, must not fill the memory with what is
never going to be stored. Beyond the bound a body passes and is let go; one that nothing comes of makes way for others.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

TOO_LARGE: Final = "too-large"
NO_ROOM: Final = "no-room"
STALLED_S: Final = 1.0  # without a byte: then a body makes way


class Fills:
    """The bodies of a worker that are being kept: ``held`` bytes of ``most``, or as many as one alone may have."""

    def __init__(self, most: int, now_s: Callable[[], float] = monotonic) -> None:
        self.held = 0
        self._most = most
        self._now_s = now_s
        self._open: OrderedDict[Keeper, float] = OrderedDict()  # when each was last fed; that which waits longest first

    def take(self, keeper: "Keeper", count: int) -> bool:
        """Whether so many more bytes may be kept."""
        now_s = self._now_s()
        self._open.pop(keeper, None)
        self._open[keeper] = now_s  # at the end
        most = max(self._most, keeper.most)
        while self.held + count > most:
            longest, fed_s = next(iter(self._open.items()))
            if longest is keeper or now_s - fed_s < STALLED_S:
                return False
            longest.let_go(NO_ROOM)
        self.held += count
        return True

    def give_back(self, keeper: "Keeper", count: int) -> None:
        """All that it has taken."""
        self.held -= count
        self._open.pop(keeper, None)


class Keeper:
    """Of one body: an observer that keeps what it is fed, up to ``most`` bytes. ``ends`` has to be called."""

    __slots__ = ("_fills", "_on_let_go", "_parts", "_size", "_taken", "most")

    def __init__(self, most: int, fills: Fills, on_let_go: Callable[[str], None]) -> None:
        """``on_let_go`` hears why, at most once: TOO_LARGE or NO_ROOM."""
        self.most = most
        self._fills = fills
        self._on_let_go = on_let_go
        self._parts: list[bytes] | None = []
        self._size = 0
        self._taken = 0

    def reserve(self, size: int) -> bool:
        """Whether there is room for a body of that size, which then is its own."""
        if self._parts is None or size > self.most:
            return False
        if size > self._taken:
            if not self._fills.take(self, size - self._taken):
                return False
            self._taken = size
        return True

    def feed(self, data: bytes) -> bytes:
        if self._parts is not None:
            self._size += len(data)
            if self._size > self.most:
                self.let_go(TOO_LARGE)
            elif not self.reserve(self._size):
                self.let_go(NO_ROOM)
            else:
                self._parts.append(data)
        return data

    def end(self) -> bytes:
        return b""

    def let_go(self, why: str) -> None:
        if self._parts is not None:
            self.ends()
            self._on_let_go(why)

    def ends(self) -> None:
        """It is stored, or is not going to be."""
        self._parts = None
        taken, self._taken = self._taken, 0
        self._fills.give_back(self, taken)

    @property
    def keeps(self) -> bool:
        """Whether it has not let go."""
        return self._parts is not None

    @property
    def body(self) -> bytes | None:
        """None: it has let go."""
        return None if self._parts is None else b"".join(self._parts)
