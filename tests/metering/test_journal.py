"""What a dead worker had written is read again, whatever its last moment was."""

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.metering.holds import Hold, new_hold
from proxy.metering.journal import Journal
from proxy.metering.settlement import What, settling
from tests.metering.purses import ORPHAN, RECORD, purse

PLAN = purse(1_000)


def a_hold(number: int) -> Hold:
    return new_hold(b"w" * 8 + number.to_bytes(8, "little"), PLAN, (number,), ORPHAN).taken(5, (0,))


def test_it_is_read_as_it_was_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    holds = [a_hold(number) for number in range(5)]
    for hold in holds:
        journal.hold(hold)
    for hold in holds[:3]:
        journal.end(settling(hold, (7,), RECORD))
    journal.posted(holds[0].id, 9, (100, 1))
    journal.posted(holds[1].id, 9, (0, 0))
    journal.forget(holds[4].id)
    journal.seen(9, 44)
    journal.close()
    again = Journal(tmp_path / "j")
    assert set(again.held) == {holds[3].id}
    assert set(again.ended) == {holds[0].id, holds[2].id}
    end = again.ended[holds[0].id]
    assert (end.epoch, end.entry, end.operation.what) == (9, (100, 1), What.SETTLE)
    assert (end.operation.amounts, end.operation.record, end.operation.hold.record) == ((7,), RECORD, b"")
    assert again.held[holds[3].id].record == ORPHAN
    assert (again.epoch, again.sequence) == (9, 44)
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_loses_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.hold(a_hold(1))
    journal.hold(a_hold(2))
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert set(again.held) == {a_hold(1).id}
    again.hold(a_hold(3))
    again.close()
    last = Journal(path)
    assert set(last.held) == {a_hold(1).id, a_hold(3).id}, "what came after the torn line is read too"
    last.close()


def test_an_end_is_kept_until_the_outbox_of_its_epoch_has_moved_beyond_it(tmp_path: Path) -> None:
    """An older epoch's entries say nothing: the store has forgotten them, and their numbers begin anew."""
    journal = Journal(tmp_path / "j")
    for number in (1, 2, 3):
        journal.end(settling(a_hold(number), (7,), RECORD))
        journal.posted(a_hold(number).id, 9 if number < 3 else 8, (100, number))
    journal.landed(9, (100, 2))
    assert set(journal.ended) == {a_hold(2).id, a_hold(3).id}
    journal.landed(9, (101, 0))
    assert set(journal.ended) == {a_hold(3).id}
    journal.close()


def test_it_stays_small_and_whole_over_many_calls(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path, least_bytes=10_000)
    journal.hold(a_hold(0))
    for number in range(1, 500):
        journal.hold(a_hold(number))
        journal.end(settling(a_hold(number), (7,), RECORD))
        journal.forget(a_hold(number).id)
        assert path.stat().st_size < 11_000
    journal.close()
    again = Journal(path)
    assert (set(again.held), again.ended) == ({a_hold(0).id}, {})
    again.close()
    assert path.stat().st_mode & 0o77 == 0, "nobody else reads it"


def test_a_disk_that_is_full_leaves_no_half_line(tmp_path: Path) -> None:
    """Half a line would hide all that come after it; what was refused is told, and there is room again later."""
    path = tmp_path / "journal"
    code = """
import resource, signal, sys
from pathlib import Path
from proxy.metering.holds import HoldPlan, new_hold
from proxy.metering.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
def hold(n): return new_hold(n.to_bytes(16, "little"), HoldPlan(()), (), b"r" * 500).taken(5, ())
journal.hold(hold(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
try: journal.hold(hold(2))
except OSError: print("told")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.hold(hold(3))
"""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "told\n"
    assert [int.from_bytes(name, "little") for name in Journal(path).held] == [1, 3]
