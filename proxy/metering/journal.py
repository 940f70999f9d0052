"""What this worker holds and has settled, in a file of its own, so that a store that forgets can be told again.

A hold is written before its call goes upstream, an end before it is posted, and both are kept until the outbox has
moved beyond the entry that the store gave it: then the ledger has it. Nothing is synced: the file outlives the process,
not the machine. A torn last line is where the reading ends. The file is written anew, without what has landed, whenever
most of it is dead.

Each line: I crc32 of what follows, I length, B kind, bytes. Posted ends say epoch and entry; an epoch that is not the
store's any more says nothing about what has landed.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Final

from proxy.metering.holds import Hold, kept_bytes, read_kept
from proxy.metering.settlement import Operation, What

LEAST_BYTES: Final = 1_000_000  # a smaller file is never written anew
DEAD_FACTOR: Final = 4  # … nor one of which a quarter lives

_LINE: Final = struct.Struct("<IIB")
_END: Final = struct.Struct("<16sBBI")
_POSTED: Final = struct.Struct("<16sddd")
_SEEN: Final = struct.Struct("<dd")


class Line(IntEnum):
    HELD = 1
    ENDED = 2
    POSTED = 3
    GONE = 4
    SEEN = 5


@dataclass(frozen=True, slots=True)
class End:
    """How a hold ended. ``entry``: its place in the outbox in ``epoch``; (0, 0): it has not been posted there."""

    operation: Operation
    epoch: int = 0
    entry: tuple[int, int] = (0, 0)


def knows_nothing(path: Path) -> bool:
    """Whether the worker of this journal has never met a store, so that it has nothing to tell a new one."""
    journal = Journal(path, read_only=True)
    return not (journal.epoch or journal.held or journal.ended)


class Journal:
    """One worker's file. Of one process at a time. Raises: OSError where the folder cannot be written."""

    def __init__(self, path: Path, *, least_bytes: int = LEAST_BYTES, read_only: bool = False) -> None:
        """``read_only``: looks at one that is another process's; nothing may be written to it then."""
        self.held: dict[bytes, Hold] = {}
        self.ended: dict[bytes, End] = {}
        self.epoch = 0
        self.sequence = 0
        self.unreadable = 0  # lines that are whole and not understood: another version's
        self._path = path
        self._least_bytes = least_bytes
        self._size = 0
        self._live_bytes = 0
        self._pending: list[bytes] = []
        self._read()
        self._file = -1
        if not read_only:
            self._rewrite()

    def close(self) -> None:
        self._flush()
        os.close(self._file)

    def absorb(self, other: "Journal") -> None:
        """Takes over what one has that nobody writes to any more. Its ends count as not posted: once more, at worst to
        a tombstone."""
        for hold in other.held.values():
            self.hold(hold)
        for end in other.ended.values():
            self.end(end.operation)
        if (other.epoch, other.sequence) > (self.epoch, self.sequence):
            self.seen(other.epoch, other.sequence)

    def hold(self, hold: Hold) -> None:
        """Before it goes upstream."""
        self.held[hold.id] = hold
        self._append(Line.HELD, hold.id + kept_bytes(hold))

    def end(self, operation: Operation) -> None:
        """Before it is posted."""
        self.held.pop(operation.hold.id, None)
        self.ended[operation.hold.id] = End(operation)
        self._append(Line.ENDED, _packed(operation))

    def posted(self, hold_id: bytes, epoch: int, entry: tuple[int, int]) -> None:
        """The store has it. Without an entry there is nothing that could land: it is done with."""
        end = self.ended.get(hold_id)
        if end is None:
            return
        if entry == (0, 0):
            self.forget(hold_id)
            return
        self.ended[hold_id] = replace(end, epoch=epoch, entry=entry)
        self._later(Line.POSTED, _POSTED.pack(hold_id, epoch, *entry))

    def landed(self, epoch: int, beyond: tuple[int, int]) -> None:
        """Every entry of this epoch below ``beyond`` has left the outbox for the ledger."""
        done = [name for name, end in self.ended.items() if end.epoch == epoch and (0, 0) < end.entry < beyond]
        for name in done:
            self.forget(name)

    def forget(self, hold_id: bytes) -> None:
        """The ledger has it, or nobody needs it any more."""
        gone = self.held.pop(hold_id, None) or self.ended.pop(hold_id, None)
        if gone is not None:
            self._later(Line.GONE, hold_id)

    def seen(self, epoch: int, sequence: int) -> None:
        """The store's last known epoch and sequence, to tell one that came back older while nobody looked."""
        if (epoch, sequence) != (self.epoch, self.sequence):
            self.epoch, self.sequence = epoch, sequence
            self._append(Line.SEEN, _SEEN.pack(epoch, sequence))

    def _later(self, kind: Line, data: bytes) -> None:
        """With the next line: without it an end is only posted once more, to a tombstone."""
        self._pending.append(_line(kind, data))

    def _append(self, kind: Line, data: bytes) -> None:
        self._later(kind, data)
        self._flush()
        if self._size > max(self._least_bytes, DEAD_FACTOR * self._live_bytes):
            self._rewrite()

    def _flush(self) -> None:
        lines = b"".join(self._pending)
        self._pending.clear()
        try:
            _write_all(self._file, lines)
        except OSError:
            os.ftruncate(self._file, self._size)  # half a line would hide all that come after it
            raise
        self._size += len(lines)

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        whole = b"".join(self._lines())
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write_all(file, whole)
            fresh.replace(self._path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            if self._file < 0:
                raise
            self._least_bytes = 2 * self._size  # the old one does; not tried again at every line
            return
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = file, len(whole)
        self._live_bytes = len(whole)

    def _lines(self) -> Iterator[bytes]:
        yield _line(Line.SEEN, _SEEN.pack(self.epoch, self.sequence))
        for name, hold in self.held.items():
            yield _line(Line.HELD, name + kept_bytes(hold))
        for name, end in self.ended.items():
            yield _line(Line.ENDED, _packed(end.operation))
            if end.entry != (0, 0):
                yield _line(Line.POSTED, _POSTED.pack(name, end.epoch, *end.entry))

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        at = 0
        while at + _LINE.size <= len(data):
            crc, size, kind = _LINE.unpack_from(data, at)
            body = data[at + _LINE.size : at + _LINE.size + size]
            if len(body) < size or zlib.crc32(body, kind) != crc:
                return
            at += _LINE.size + size
            try:
                self._replay(kind, body)
            except (struct.error, ValueError, IndexError, OverflowError):
                self.unreadable += 1

    def _replay(self, kind: int, body: bytes) -> None:
        match kind:
            case Line.HELD:
                self.held[body[:16]] = read_kept(body[:16], body[16:])
            case Line.ENDED:
                operation = _unpacked(body)
                self.held.pop(operation.hold.id, None)
                self.ended[operation.hold.id] = End(operation)
            case Line.POSTED:
                name, epoch, ms, number = _POSTED.unpack(body)
                if name in self.ended:
                    self.ended[name] = replace(self.ended[name], epoch=int(epoch), entry=(int(ms), int(number)))
            case Line.GONE:
                self.held.pop(body, None)
                self.ended.pop(body, None)
            case Line.SEEN:
                epoch, sequence = _SEEN.unpack(body)
                self.epoch, self.sequence = int(epoch), int(sequence)
            case _:
                raise ValueError(f"no kind of line: {kind}")


def _line(kind: Line, data: bytes) -> bytes:
    return _LINE.pack(zlib.crc32(data, kind), len(data), kind) + data


def _write_all(file: int, data: bytes) -> None:
    """Raises: OSError, after a part of it perhaps."""
    while data:
        data = data[os.write(file, data) :]


def _packed(operation: Operation) -> bytes:
    amounts = operation.amounts
    head = _END.pack(operation.hold.id, operation.what, len(amounts), len(operation.record))
    kept = kept_bytes(operation.hold, with_record=False)  # that was for who never heard of an end
    return head + struct.pack(f"<{len(amounts)}d", *amounts) + operation.record + kept


def _unpacked(body: bytes) -> Operation:
    name, what, count, size = _END.unpack_from(body)
    amounts = struct.unpack_from(f"<{count}d", body, _END.size)
    at = _END.size + 8 * count
    hold = read_kept(name, body[at + size :])
    return Operation(What(what), hold, tuple(int(amount) for amount in amounts), body[at : at + size])
