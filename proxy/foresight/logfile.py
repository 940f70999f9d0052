"""Reads log files line by line, however long they are; counts what cannot be read and tells the first few."""

import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from proxy.foresight.loglines import Entry, entry_of

MAX_LINE: Final = 1 << 18  # bytes; what is longer is no line of an access log
FIRST_FEW: Final = 5
STEP: Final = 20_000  # lines between two words of progress
STANDARD_INPUT: Final = Path("-")


@dataclass(slots=True)
class Reading:
    """What was met on the way. ``told``: (file, line, why) of the first unreadable ones."""

    lines: int = 0
    others: int = 0  # lines that tell of no request
    unreadable: int = 0
    told: list[tuple[str, int, str]] = field(default_factory=list)


class LogFiles:
    """Some files as one log, in the order given; ``-`` is standard input, ``.gz`` is unpacked.

    ``progress`` hears the share that is read, 0 to 1, or None where it cannot be known.
    """

    def __init__(self, paths: Sequence[Path], progress: Callable[[float | None, int], None] | None = None) -> None:
        self.reading = Reading()
        self._paths = paths
        self._progress = progress
        known = all(path != STANDARD_INPUT for path in paths)
        self._size = sum(path.stat().st_size for path in paths) if known else 0

    def entries(self) -> Iterator[Entry]:
        """Raises: OSError."""
        reading, before = self.reading, 0
        for path in self._paths:
            with _opened(path) as (raw, lines):
                number = 0
                while line := lines.readline(MAX_LINE):
                    number += 1
                    if self._progress is not None and number % STEP == 0:
                        done = (before + raw.tell()) / self._size if self._size else None
                        self._progress(done, reading.lines + number)
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
                reading.lines += number
                before += 0 if path == STANDARD_INPUT else raw.tell()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """(the file itself, for its place; its lines)."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with path.open("rb") as raw:
        yield raw, cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
