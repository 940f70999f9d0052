"""What is written is there, whole, in order and bounded."""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from proxy.spooling.spool import STALE_S, Spool


class Kind(StrEnum):
    ERROR = "error"
    BROWSER = "browser"
    TRACE = "trace"


WIDE = dict.fromkeys(Kind, (100, 1 << 20))


@contextlib.contextmanager
def a_full_disk() -> Iterator[None]:
    """Of a file no more than 4 KiB is taken in this process, as the rest has no room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_what_is_written_is_read_again_in_the_order_of_kinds_and_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "kept", WIDE)
    assert spool.waiting() == []
    spool.write(Kind.TRACE, [b"t1", b"t2\n"])
    spool.write(Kind.ERROR, [b"e1"])
    spool.write(Kind.BROWSER, [b""])
    spool.write(Kind.ERROR, [b"e2"])
    waiting = spool.waiting()
    assert [one.kind for one in waiting] == [Kind.ERROR, Kind.ERROR, Kind.BROWSER, Kind.TRACE]
    assert spool.waiting(Kind.BROWSER) == waiting[2:3]
    assert [spool.read(one.name) for one in waiting] == [[b"e1"], [b"e2"], [b""], [b"t1", b"t2\n"]]
    spool.remove(waiting[0].name)
    spool.remove(waiting[0].name)
    assert spool.read(waiting[0].name) is None


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "kept", WIDE)
    spool.write(Kind.ERROR, [b"x"])
    (file,) = spool.folder.iterdir()
    assert (spool.folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_beyond_its_bound_the_oldest_of_a_kind_go_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "kept", {Kind.ERROR: (3, 1000), Kind.BROWSER: (9, 30), Kind.TRACE: (9, 30)})
    for number in range(5):
        spool.write(Kind.ERROR, [b"e%d" % number])
        spool.write(Kind.TRACE, [b"0123456", b"7"])
    assert spool.trim() == {Kind.ERROR: 2, Kind.TRACE: 8, Kind.BROWSER: 0}
    assert [spool.read(one.name) for one in spool.waiting() if one.kind is Kind.ERROR] == [[b"e2"], [b"e3"], [b"e4"]]


def test_half_a_file_is_never_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "kept", WIDE)
    spool.write(Kind.ERROR, [b"whole", b"cut off"])
    (file,) = spool.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert spool.read(file.name) == [b"whole"]
    half = spool.folder / ".error-1"
    half.write_bytes(b"x")
    assert len(spool.waiting()) == 1


def test_halves_of_those_who_died_go_with_what_is_too_much(tmp_path: Path) -> None:
    spool = Spool(tmp_path, WIDE)
    half = tmp_path / ".error-1"
    half.write_bytes(b"x")
    spool.trim()
    assert half.exists()
    os.utime(half, (0, half.stat().st_mtime - 2 * STALE_S))
    spool.trim()
    assert not half.exists()


def test_a_write_that_fails_leaves_nothing_on_a_full_disk(tmp_path: Path) -> None:
    """Found in review: each left a half that neither a bound nor anybody's sweep saw."""
    spool = Spool(tmp_path, WIDE)
    with a_full_disk(), pytest.raises(OSError, match="File too large"):
        spool.write(Kind.ERROR, [b"x" * 10_000])
    assert list(tmp_path.iterdir()) == []
