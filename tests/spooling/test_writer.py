"""What is to be written is written in order by a thread; what cannot be is told of."""

import threading
from functools import partial
from pathlib import Path

import pytest

from proxy.spooling import writer
from proxy.spooling.spool import Spool
from proxy.spooling.writer import MOST_QUEUED_BYTES, Writer, said_of
from tests.spooling.test_spool import WIDE, Kind


def _bytes(body: bytes) -> bytes:
    return body


class Told:
    def __init__(self, folder: Path, bounds: dict[Kind, tuple[int, int]] | None = None) -> None:
        self.dropped: list[tuple[Kind, int]] = []
        self.failed: list[Exception] = []
        self.writer: Writer[Kind] = Writer("test", lambda *one: self.dropped.append(one), self.failed.append)
        self.spool = self.writer.spool = Spool(folder, bounds or WIDE)


def test_what_is_put_is_written_by_its_end(tmp_path: Path) -> None:
    told = Told(tmp_path)
    for number in range(20):
        assert told.writer.put(Kind.TRACE, [partial(_bytes, b"%d" % number)])
    told.writer.close()
    assert [told.spool.read(one.name) for one in told.spool.waiting()] == [[b"%d" % number] for number in range(20)]


class Held:
    """What is made only once it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> bytes:
        self.begun.set()
        assert self.let_go.wait(10)
        return b"held"


def test_a_disk_that_is_behind_takes_no_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_QUEUED", 5)
    told, held = Told(tmp_path), Held()
    assert told.writer.put(Kind.TRACE, [held])
    assert held.begun.wait(10)
    assert [told.writer.put(Kind.TRACE, [bytes]) for _ in range(7)] == [True] * 5 + [False] * 2
    held.let_go.set()
    told.writer.close()
    assert len(told.spool.waiting()) == 6


def test_a_disk_that_is_behind_takes_no_more_bytes(tmp_path: Path) -> None:
    told, held = Told(tmp_path), Held()
    assert told.writer.put(Kind.TRACE, [held], MOST_QUEUED_BYTES + 1)
    assert not told.writer.put(Kind.TRACE, [bytes])
    held.let_go.set()
    told.writer.close()
    assert told.writer.put(Kind.TRACE, [bytes])
    told.writer.close()


def test_what_a_disk_that_hangs_has_not_taken_at_the_end_is_counted(tmp_path: Path) -> None:
    told, held = Told(tmp_path), Held()
    told.writer.put(Kind.TRACE, [held])
    assert held.begun.wait(10)
    told.writer.put(Kind.ERROR, [bytes, bytes])
    told.writer.put(Kind.TRACE, [bytes])
    told.writer.close(0.01)
    assert told.dropped == [(Kind.ERROR, 2), (Kind.TRACE, 1)]
    held.let_go.set()


def test_what_goes_for_want_of_room_is_told_by_kind(tmp_path: Path) -> None:
    bounds = {**WIDE, Kind.TRACE: (1, 1 << 20)}
    spool = Told(tmp_path, bounds).spool
    for _ in range(3):
        spool.write(Kind.TRACE, [b"a", b"b"])
    told = Told(tmp_path, bounds)
    told.writer.put(Kind.ERROR, [partial(_bytes, b"e")])
    told.writer.close()
    assert (Kind.TRACE, 4) in told.dropped


def test_a_disk_that_takes_nothing_is_told_of_once_and_each_envelope_counted(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    told = Told(tmp_path / "kept")
    for _ in range(3):
        told.writer.put(Kind.ERROR, [bytes, bytes])
    told.writer.close()
    assert told.dropped == [(Kind.ERROR, 2)] * 3
    assert [said_of(error) for error in told.failed] == ["File exists"]


def test_it_tells_again_of_a_disk_that_took_something_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    told = Told(tmp_path / "kept")
    for _ in range(2):
        told.writer.put(Kind.ERROR, [bytes])
        told.writer.close()
        told.writer.spool, away = Spool(tmp_path / "else", WIDE), told.writer.spool
        told.writer.put(Kind.ERROR, [bytes])
        told.writer.close()
        told.writer.spool = away
    assert len(told.failed) == 2


def test_one_that_cannot_be_made_costs_nobody_else(tmp_path: Path) -> None:
    """Found in review: whatever was no OSError ended the thread, and with it all that was still to come."""
    told = Told(tmp_path)

    def fails() -> bytes:
        raise TypeError("what must not be quoted")

    told.writer.put(Kind.TRACE, [partial(_bytes, b"a"), fails, partial(_bytes, b"b")])
    told.writer.put(Kind.ERROR, [partial(_bytes, b"e")])
    told.writer.close()
    assert [told.spool.read(one.name) for one in told.spool.waiting()] == [[b"e"], [b"a", b"b"]]
    assert [one for one in told.dropped if one[1]] == [(Kind.TRACE, 1)]
    assert [said_of(error) for error in told.failed] == ["TypeError"]
