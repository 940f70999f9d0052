"""Journals belong to processes: nobody reads one whose process lives, and what the dead leave is taken over once."""

import os
import struct
import subprocess
import sys
import zlib
from math import inf
from pathlib import Path

import pytest

from proxy.gateway.journals import Journals
from proxy.metering.holds import HoldPlan, new_hold


def hold(number: int) -> bytes:
    return number.to_bytes(16, "little")


def write(journals: Journals, number: int) -> None:
    journal = journals.open()
    journal.hold(new_hold(hold(number), HoldPlan(()), ()).taken(5, ()))
    journal.seen(number, number)
    journal.close()


def test_a_journal_of_a_process_that_lives_is_nobody_elses(tmp_path: Path) -> None:
    """Two processes of one folder never meet in a file, whatever their parents are."""
    first, second = Journals(tmp_path), Journals(tmp_path)
    write(first, 1)
    write(second, 2)
    assert first.left() == second.left() == []


def test_what_a_dead_one_has_left_is_taken_over_once(tmp_path: Path) -> None:
    first, second, third = (Journals(tmp_path) for _ in range(3))
    write(first, 1)
    second.open()
    third.open()
    first.close()
    (left,) = second.left()
    assert third.left() == []
    assert list(left.journal.held) == [hold(1)]
    assert left.journal.epoch == 1
    left.remove()
    left.close()
    assert third.left() == second.left() == []


def test_what_could_not_be_taken_over_is_left_again(tmp_path: Path) -> None:
    """By the same process and by others: whoever failed has let go of the lock."""
    first, second, third = (Journals(tmp_path) for _ in range(3))
    write(first, 1)
    first.close()
    for journals in (second, second, third):
        (left,) = journals.left()
        assert list(left.journal.held) == [hold(1)]
        left.close()


def test_what_is_not_understood_is_put_aside_and_loses_nothing(tmp_path: Path) -> None:
    """Lines of another version: the rest is taken over, and the file is there for people."""
    first, second = Journals(tmp_path), Journals(tmp_path)
    write(first, 1)
    (path,) = tmp_path.glob("*.journal")
    foreign = b"".join(
        struct.pack("<IIB", zlib.crc32(body, kind), len(body), kind) + body
        for kind, body in ((1, b"short"), (2, bytes(40)), (3, b""), (5, struct.pack("<dd", inf, 0)), (77, b"new"))
    )
    path.write_bytes(foreign + path.read_bytes() + foreign)
    whole = path.read_bytes()
    first.close()
    (left,) = second.left()
    assert (list(left.journal.held), left.journal.unreadable) == ([hold(1)], 10)
    left.remove()
    left.close()
    assert second.left() == []
    assert path.with_suffix(".unreadable").read_bytes() == whole


def test_one_journal_that_cannot_be_read_locks_no_other(tmp_path: Path) -> None:
    for number in (1, 2):
        journals = Journals(tmp_path)
        write(journals, number)
        journals.close()
    (tmp_path / "0-bad.journal").mkdir()
    own = Journals(tmp_path)
    with pytest.raises(OSError, match="directory"):
        own.left()
    (tmp_path / "0-bad.journal").rmdir()
    lefts = own.left()
    assert sorted(name for left in lefts for name in left.journal.held) == [hold(1), hold(2)]
    for left in lefts:
        left.close()


def test_a_process_that_is_killed_gives_its_lock_back(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.gateway.test_journals import write;"
        "from proxy.gateway.journals import Journals; j = Journals(Path(sys.argv[1])); write(j, 7);"
        "print('written', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"written\n"
        assert Journals(tmp_path).left() == []
        os.kill(one.pid, 9)
        one.wait()
        (left,) = Journals(tmp_path).left()
        assert list(left.journal.held) == [hold(7)]


def test_a_journal_that_absorbs_others_knows_the_newest_store(tmp_path: Path) -> None:
    for number in (3, 5, 4):
        journals = Journals(tmp_path)
        write(journals, number)
        journals.close()
    own = Journals(tmp_path)
    journal = own.open()
    for left in own.left():
        journal.absorb(left.journal)
        left.remove()
        left.close()
    assert (journal.epoch, journal.sequence) == (5, 5)
    assert set(journal.held) == {hold(3), hold(4), hold(5)}
    assert len(list(tmp_path.glob("*.journal"))) == 1
