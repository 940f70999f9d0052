"""Alerts about the service that are still to be sent: in this process's memory, and on a shelf over a restart.

Not in the ledger, as those of budgets are: what these tell of may be the ledger's own absence. A queue as the
dispatcher's are. What is told of one incident goes to each recipient in its order: nobody reads that it is over before
they read that it has begun.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.core.delivery import Delivery, Key

MOST_WAITING: Final = 1_000
"""Beyond it the oldest go: of a channel that was away for so long, nobody reads more."""


@dataclass(frozen=True, slots=True)
class Letter(Delivery):
    """A delivery of what is told of one incident. ``next_ms``: when it may be taken (again), epoch milliseconds."""

    incident: str = field(kw_only=True)
    next_ms: int = field(default=0, kw_only=True)

    @property
    def thread(self) -> tuple[str, str, str]:
        return self.incident, self.channel, self.recipient


class Tray:
    """``changed`` is called after each change that a restart should find again."""

    def __init__(self, letters: Iterable[Letter] = (), changed: Callable[[], None] = lambda: None) -> None:
        self._letters = {letter.key: letter for letter in letters}  # in the order in which they were put here
        self._changed = changed

    @property
    def letters(self) -> tuple[Letter, ...]:
        return tuple(self._letters.values())

    def put(self, letters: Iterable[Letter]) -> list[Letter]:
        """Those that had to go for want of room."""
        for letter in letters:
            self._letters.setdefault(letter.key, letter)
        gone = list(self._letters)[: max(0, len(self._letters) - MOST_WAITING)]
        dropped = [self._letters.pop(key) for key in gone]
        self._changed()
        return dropped

    def keep_only(self, channels: Collection[str]) -> None:
        """What was for others will never be sent."""
        kept = {key: letter for key, letter in self._letters.items() if letter.channel in channels}
        if len(kept) != len(self._letters):
            self._letters = kept
            self._changed()

    async def due(self, channel: str, now_ms: int, count: int, lease_ms: int) -> Sequence[Letter]:
        """Takes them. Of what is told of one incident to one recipient, only what is first."""
        found: list[Letter] = []
        threads: set[tuple[str, str, str]] = set()
        for letter in self._letters.values():
            if letter.channel != channel or letter.thread in threads:
                continue
            threads.add(letter.thread)
            if letter.next_ms <= now_ms and len(found) < count:
                found.append(replace(letter, attempts=letter.attempts + 1, next_ms=now_ms + lease_ms))
        for letter in found:
            self._letters[letter.key] = letter
        return found

    async def delivered(self, delivery: Delivery, now_ms: int) -> None:
        self._forget(delivery.key)

    async def failed(self, delivery: Delivery, next_ms: int | None, error: str) -> None:
        """To be tried again at ``next_ms``; None: never."""
        key = delivery.key
        if next_ms is None:
            self._forget(key)
        elif (letter := self._letters.get(key)) is not None:
            self._letters[key] = replace(letter, next_ms=next_ms)

    async def oldest(self) -> dict[str, int]:
        """By channel, when the oldest that waits was made (epoch ms)."""
        found: dict[str, int] = {}
        for letter in self._letters.values():
            found[letter.channel] = min(letter.created_ms, found.get(letter.channel, letter.created_ms))
        return found

    def _forget(self, key: Key) -> None:
        if self._letters.pop(key, None) is not None:
            self._changed()
