"""The folder of workers' journals: each process has a file of its own, locked while it lives, and what one that died
has left another takes over.

A file of a fixed name would not do: a parent that is killed leaves workers that drain, beside those of its successor.
"""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.metering.journal import Journal

_SUFFIX: Final = ".journal"
_LOCK: Final = ".lock"
_UNREADABLE: Final = ".unreadable"


def journals(data_dir: str) -> Path:
    """Where they are."""
    return Path(data_dir) / "journals"


@dataclass(frozen=True, slots=True)
class Left:
    """What a dead worker has left: ``journal`` may be read, and is to be ``remove``d once it was taken over.

    ``close`` it in any case: as long as it is locked, nobody else takes it over, nor this process once more.
    """

    journal: Journal
    _path: Path
    _lock: int

    def remove(self) -> None:
        """One with lines that were not understood is put aside, and read by nobody but people. Raises: OSError."""
        if self.journal.unreadable:
            self._path.rename(self._path.with_suffix(_UNREADABLE))
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(_LOCK).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._lock)


class Journals:
    """One worker's sight of the folder. Everything here may block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Path | None = None
        self._lock = -1

    def open(self) -> Journal:
        """A new journal, this process' own. Raises: OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        lock = _locked(self._own)
        assert lock is not None  # nobody else knows the name
        self._lock = lock
        return Journal(self._own)

    def left(self) -> list[Left]:
        """The journals whose processes are gone: nobody else gets these until they are closed. Raises: OSError."""
        found: list[Left] = []
        try:
            for path in self._folder.glob(f"*{_SUFFIX}"):
                if path == self._own or (lock := _locked(path)) is None:
                    continue
                if (one := _left(path, lock)) is not None:
                    found.append(one)
        except BaseException:
            for one in found:
                one.close()
            raise
        return found

    def close(self) -> None:
        """The file stays: what it says is taken over by whoever comes next."""
        os.close(self._lock)


def _left(path: Path, lock: int) -> Left | None:
    """None where whoever had the lock before has taken it over. Raises: OSError."""
    try:
        if path.exists():
            return Left(Journal(path, read_only=True), path, lock)
        path.with_suffix(_LOCK).unlink(missing_ok=True)
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _locked(path: Path) -> int | None:
    """The lock beside a journal, whose own file is replaced when it is written anew; None while its process lives."""
    lock = os.open(path.with_suffix(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
