"""Standard input as a file, for what has to be read twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

MOST: Final = 4 << 30  # bytes; a day's log of a busy gateway, and no more of the disk
_PIECE: Final = 1 << 20


@contextmanager
def spooled(stream: IO[bytes], most: int = MOST) -> Iterator[Path]:
    """All of it in a file that nobody else may read, and that is gone afterwards.

    Raises: OSError, where the disk is full or more than ``most`` bytes come.
    """
    with NamedTemporaryFile(prefix="sluicegate-", suffix=".log") as file:
        left = most
        while piece := stream.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise OSError(0, f"is more than {most >> 20:,} MiB: write it to a file", "standard input")
            file.write(piece)
        file.flush()
        yield Path(file.name)
