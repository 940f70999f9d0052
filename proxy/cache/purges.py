"""What was purged, as one worker knows it: a mirror of the log of purges. Pure.

A record of the log names digests; its id, an int here, grows from record to record. An answer remembers the last id
that was known before it was fetched (``seen``) and all digests that a purge could name it by: it is valid if none of
them was purged later. What is older than the mirror reaches (``floor``) is not valid, whatever it is.

What this worker purges itself holds from that moment. Until the log has given it an id, everything that it names is
invalid, also what is fetched meanwhile: which of the two was first, only the log can tell.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, takewhile
from struct import Struct
from typing import Final

from proxy.cache.digests import EVERYWHERE, purge_of_all
from proxy.cache.entry import Stored

MAX_DIGESTS: Final = 200_000  # about 20 MiB
KEPT_RECORDS: Final = 4096  # of the log's end: what is added again where Redis has lost it
EVERYTHING: Final = purge_of_all(EVERYWHERE)[0]

_SEQUENCE_BITS: Final = 20
_FOLDED: Final = 8  # one part of so many is forgotten at once

Record = tuple[int, tuple[int, ...]]  # id and digests; without digests it is a floor record


class Purges:
    """The mirror. ``last`` is what a fetch that begins now has seen."""

    __slots__ = ("_digests", "_kept", "_most", "_pending", "_records", "_short", "changes", "floor", "last")

    def __init__(self, most: int = MAX_DIGESTS) -> None:
        self.last = 0
        self.floor = 0
        self.changes = 0  # what was compared at this count need not be compared again
        self._most = most
        self._digests: dict[int, int] = {}  # digest -> the last record that names it; oldest first
        self._pending: Counter[int] = Counter()
        self._records: deque[Record] = deque()
        self._kept = 0  # digests in them
        self._short = False  # whether there were more

    def valid(self, stored: Stored) -> bool:
        """Whether nothing that names it was purged since its fetch began, as far as this mirror knows."""
        return stored.checked == self.changes or self._compare(stored)

    def _compare(self, stored: Stored) -> bool:
        tags, pending, digests = stored.tags, self._pending, self._digests
        if stored.seen < self.floor or EVERYTHING in pending:
            return False
        if pending and not pending.keys().isdisjoint(tags):
            return False
        if not digests.keys().isdisjoint(tags) and any(digests.get(tag, 0) > stored.seen for tag in tags):
            return False
        stored.checked = self.changes
        # The same as if it had been fetched now, so that what is in use outlives a floor that rises.
        stored.seen = max(stored.seen, self.last)
        return True

    # --- the log ---

    def obey(self, record: Record) -> None:
        """The log's next record."""
        number, digests = record
        if number <= self.last:
            return
        self.last = number
        self._keep(record)
        self.changes += 1
        if not digests or EVERYTHING in digests:
            self.raise_floor(number)
        else:
            self._note(number, digests)

    def raise_floor(self, number: int) -> None:
        """Nobody knows what was purged before this record."""
        self.changes += 1
        self.floor = max(self.floor, number)
        self._digests = {digest: at for digest, at in self._digests.items() if at > self.floor}

    def begin(self, first: int) -> None:
        """The log's first record, as it is found before it is read on: a gap before it is what the floor is for."""
        if first > self.last:
            self._records.clear()
            self._kept, self._short = 0, False
            self.raise_floor(first)

    def _keep(self, record: Record) -> None:
        self._records.append(record)
        self._kept += len(record[1])
        while len(self._records) > KEPT_RECORDS or self._kept > self._most:
            self._kept -= len(self._records.popleft()[1])
            self._short = True

    def _note(self, number: int, digests: Iterable[int]) -> None:
        for digest in digests:
            self._digests[digest] = max(number, self._digests.pop(digest, 0))
        if len(self._digests) > self._most:
            folded = max(self._most // _FOLDED, len(self._digests) - self._most)
            self.raise_floor(max(islice(self._digests.values(), folded)))

    # --- what this worker purges itself ---

    def purge(self, digests: Iterable[int]) -> None:
        """Holds here from now on; the log's id is told by ``landed``, once for each call."""
        self.changes += 1
        self._pending.update(digests)

    def landed(self, number: int, digests: Iterable[int]) -> None:
        """What was purged is in the log. It is not ``last`` before all records up to it were read."""
        self.changes += 1
        for digest in digests:
            self._pending[digest] -= 1
            if self._pending[digest] <= 0:
                del self._pending[digest]
        if number > self.floor:
            self._note(number, digests)

    def give_up(self) -> None:
        """More waits than is remembered: the next that lands purges everything, and so it holds here by now."""
        self.changes += 1
        self._pending.clear()
        self._pending[EVERYTHING] = 1

    def named_since(self, tags: Collection[int], seen: int) -> list[int] | None:
        """Which of ``tags`` records after ``seen`` name, each as often as they do. None: not all of these are known."""
        if seen < self.floor or (self._short and self.oldest_kept > seen):
            return None
        since = takewhile(lambda record: record[0] > seen, reversed(self._records))
        return [digest for _, digests in since for digest in digests if digest in tags]

    # --- a Redis that has lost the log's end ---

    @property
    def oldest_kept(self) -> int:
        """The oldest record whose loss would be noticed."""
        return self._records[0][0] if self._records else self.last

    def missing(self, first: int, listed: Sequence[Record]) -> tuple[int, ...]:
        """Digests to be purged once more, given what the log has from ``oldest_kept`` up to ``last``.

        Records that were lost (a failover to a replica that had not got them), and those that others added at ids that
        this mirror had passed already. ``first`` is the log's first record: what is older was trimmed, not lost.
        """
        there, known = {number for number, _ in listed}, {number for number, _ in self._records}
        lost = {number for number, _ in self._records if number >= first and number not in there}
        if self._short and self.oldest_kept in lost:
            return (EVERYTHING,)  # it may have lost more than is remembered
        again: dict[int, None] = {}
        for number, digests in self._records:
            if number in lost:
                again.update(dict.fromkeys(each for each in digests if self._digests.get(each, number) == number))
                if not digests:
                    again[EVERYTHING] = None
        for number, digests in listed:
            if number not in known and self.oldest_kept <= number <= self.last:
                again.update(dict.fromkeys(digests or (EVERYTHING,)))
        return tuple(again)


def number_of(record_id: bytes) -> int:
    """``1700000000000-3`` as an int that keeps the order."""
    milliseconds, _, sequence = record_id.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(sequence)


def id_parts(number: int) -> tuple[int, int]:
    """Milliseconds and sequence."""
    return number >> _SEQUENCE_BITS, number & ((1 << _SEQUENCE_BITS) - 1)


def packed(digests: Sequence[int]) -> bytes:
    return Struct(f"<{len(digests)}Q").pack(*digests)


def unpacked(data: bytes) -> tuple[int, ...]:
    """What is no list of digests purges everything: somebody meant something by it."""
    return Struct(f"<{len(data) // 8}Q").unpack(data) if len(data) % 8 == 0 else (EVERYTHING,)
