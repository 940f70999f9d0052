"""Reads log files line by line, however long they are, as one log; counts what cannot be read, tells the first few."""

import errno
import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush, heappushpop, merge
from operator import attrgetter
from pathlib import Path
from typing import IO, Final, cast

from proxy.foresight.loglines import Entry, entry_of

MAX_LINE: Final = 1 << 18  # bytes; what is longer is no line of an access log
FIRST_FEW: Final = 5
STEP: Final = 20_000  # lines between two words of progress
STANDARD_INPUT: Final = Path("-")
AHEAD: Final = 64  # lines of each of several files: one that is out of its order must not hold up the rest


@dataclass(slots=True)
class Reading:
    """What was met on the way. ``told``: (file, line, why) of the first unreadable ones."""

    lines: int = 0
    others: int = 0  # lines that tell of no request
    unreadable: int = 0
    told: list[tuple[str, int, str]] = field(default_factory=list)


class LogFiles:
    """Some files as one log, by the times of their lines and not by the order in which they are given: those of several
    gateways, or of one that rotates them. ``-`` is standard input, ``.gz`` is unpacked.

    ``progress`` hears the share that is read, 0 to 1, or None where it cannot be known, and the lines.
    """

    def __init__(self, paths: Sequence[Path], progress: Callable[[float | None, int], None] | None = None) -> None:
        self.reading = Reading()
        self._paths = paths
        self._progress = progress
        known = all(path != STANDARD_INPUT for path in paths)
        self._size = sum(path.stat().st_size for path in paths) if known else 0
        self._done = [0] * len(paths)  # bytes

    def entries(self) -> Iterator[Entry]:
        """Of several files by ``end_ms``, as each was written.

        Raises: OSError with the file's name, also for one that is not packed as it says, is cut off or damaged.
        """
        files = [self._of(place, path) for place, path in enumerate(self._paths)]
        if len(files) == 1:
            yield from files[0]
        else:
            yield from merge(*map(_by_end, files), key=attrgetter("end_ms"))

    def _of(self, place: int, path: Path) -> Iterator[Entry]:
        reading = self.reading
        with opened(path) as (raw, lines):
            number = 0
            while line := lines.readline(MAX_LINE):
                number += 1
                reading.lines += 1
                if self._progress is not None and reading.lines % STEP == 0:
                    self._done[place] = raw.tell() if self._size else 0
                    self._progress(sum(self._done) / self._size if self._size else None, reading.lines)
                try:
                    entry = entry_of(line)
                except ValueError as error:
                    reading.unreadable += 1
                    if len(reading.told) < FIRST_FEW:
                        reading.told.append((str(path), number, str(error)))
                    continue
                if entry is None:
                    reading.others += 1
                else:
                    yield entry
            self._done[place] = raw.tell() if self._size else 0


def _by_end(entries: Iterable[Entry]) -> Iterator[Entry]:
    """A file's by ``end_ms``, within so many lines: one from another time waits, and what follows it does not."""
    held: list[tuple[int, int, Entry]] = []
    for number, entry in enumerate(entries):
        if len(held) < AHEAD:
            heappush(held, (entry.end_ms, number, entry))
        else:
            yield heappushpop(held, (entry.end_ms, number, entry))[2]
    while held:
        yield heappop(held)[2]


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """(the file itself, for its place; its lines). Raises: OSError, also for a packed file that is cut off."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    try:
        with path.open("rb") as raw:
            yield raw, cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
    except gzip.BadGzipFile as error:
        raise OSError(errno.EINVAL, "is no gzip file, or damaged", str(path)) from error
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EINVAL, "is cut off, or damaged", str(path)) from error
