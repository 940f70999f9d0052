"""What waits for somebody outside, as files in a folder: written by every process of the gateway, sent by its parent.

A file holds envelopes, each after its length. It gets its name when it is whole, so that whoever reads it meets no half
of one; the name says of which kind it is and when it was written. Each kind has its own bound, beyond which the oldest
go: none takes another's room. All of this blocks: it is called from threads.
"""

import contextlib
import itertools
import os
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, TypeVar

_LENGTH: Final = struct.Struct("<I")
_HALF: Final = "."  # before the name of a file that is not whole yet
STALE_S: Final = 60.0  # half a file of a process that died

K = TypeVar("K", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Waiting(Generic[K]):
    name: str
    kind: K
    size: int


class Spool(Generic[K]):
    """One folder, seen from one process.

    ``bounds``: files and bytes that may wait, by kind, in the order in which kinds are sent.
    """

    def __init__(self, folder: Path, bounds: Mapping[K, tuple[int, int]]) -> None:
        self.folder = folder
        self._bounds = bounds
        self._kinds = {kind.value: kind for kind in bounds}
        self._order = {kind: at for at, kind in enumerate(bounds)}
        self._numbers = itertools.count()

    def write(self, kind: K, envelopes: Iterable[bytes]) -> None:
        """All of them, or nothing. Raises: OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{kind}-{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}"
        half = self.folder / f"{_HALF}{name}"
        data = b"".join(_LENGTH.pack(len(one)) + one for one in envelopes)
        fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            half.rename(self.folder / name)
        finally:  # a full disk would fill with halves, which no bound counts
            half.unlink(missing_ok=True)

    def waiting(self, only: K | None = None) -> list[Waiting[K]]:
        """Oldest first, by the order of their kinds; or of one kind."""
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    kind = self._kinds.get(entry.name.partition("-")[0])
                    if kind is not None and only in (None, kind):
                        size = _size(entry)
                        if size is not None:
                            found.append(Waiting(entry.name, kind, size))
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda one: (self._order[one.kind], one.name))

    def trim(self) -> dict[K, int]:
        """Lets the oldest go where there are too many; how many envelopes that were, by kind. Raises: OSError."""
        self._sweep()
        dropped = dict.fromkeys(self._bounds, 0)
        kept = {kind: [0, 0] for kind in self._bounds}
        for one in reversed(self.waiting()):
            files, size = self._bounds[one.kind]
            count = kept[one.kind]
            if count[0] + 1 > files or count[1] + one.size > size:
                dropped[one.kind] += len(self.read(one.name) or ())
                self.remove(one.name)
            else:
                count[0] += 1
                count[1] += one.size
        return dropped

    def _sweep(self) -> None:
        """Takes away halves of files whose writers died."""
        oldest = time.time() - STALE_S
        for half in self.folder.glob(f"{_HALF}*-*"):
            with contextlib.suppress(FileNotFoundError):
                if half.stat().st_mtime < oldest:
                    half.unlink()

    def read(self, name: str) -> list[bytes] | None:
        """Its envelopes; None: it has gone. What is cut short ends before the cut."""
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        found, at = [], 0
        while at + _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if at + length > len(data):
                break
            found.append(data[at : at + length])
            at += length
        return found

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


def _size(entry: "os.DirEntry[str]") -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
