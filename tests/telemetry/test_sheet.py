"""A worker's counts in shared memory: what it writes, its parent reads, and death loses none of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from proxy.telemetry import sheet as sheet_module
from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import Family, Histogram, Kind
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader


@pytest.fixture
def files() -> Iterator[SheetFiles]:
    files = SheetFiles.make()
    yield files
    files.close()


def test_reader_sees_what_was_counted(files: SheetFiles) -> None:
    """A series is its name and labels; its value is the last one written."""
    sheet = Sheet(files)
    sheet.values[sheet.slot("a", ("x",))] += 2
    sheet.values[sheet.slot("a", ("y",))] += 3
    assert dict(SheetReader(files).series()) == {("a", ("x",)): 2.0, ("a", ("y",)): 3.0}


def test_same_series_has_one_slot(files: SheetFiles) -> None:
    sheet = Sheet(files)
    assert sheet.slot("a", ("x",)) == sheet.slot("a", ("x",)) != sheet.slot("a", ("y",))


def test_names_may_hold_anything(files: SheetFiles) -> None:
    """A label with quotes, line ends or other letters is told back as it was."""
    label = 'a"b\nc\\d é'
    sheet = Sheet(files)
    sheet.values[sheet.slot("n", (label,))] = 1
    assert dict(SheetReader(files).series()) == {("n", (label,)): 1.0}


def test_a_half_written_name_is_left_for_the_next_look(files: SheetFiles) -> None:
    """The parent may look while the worker writes a line."""
    reader = SheetReader(files)
    os.write(files.names_fd, b'["a", "x"]\n["b",')
    assert [key for key, _ in reader.series()] == [("a", ("x",))]
    os.write(files.names_fd, b' "y"]\n')
    assert [key for key, _ in reader.series()] == [("a", ("x",)), ("b", ("y",))]


def test_a_full_sheet_says_so_once_and_counts_no_more(
    files: SheetFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Labels that are not from closed sets cost neither a request nor another's count."""
    monkeypatch.setattr(sheet_module, "SLOTS", 3)
    sheet = Sheet(files)
    for name in ("a", "b", "c", "d", "b", "c"):
        sheet.values[sheet.slot(name)] += 1
    assert dict(SheetReader(files).series()) == {("a", ()): 1.0, ("b", ()): 2.0}
    assert [record.message for record in caplog.records] == ["no room for more series: what is new is not counted"]


@pytest.mark.parametrize("room", [3, 5, 7])
def test_a_histogram_that_finds_no_room_counts_nothing_elsewhere(
    files: SheetFiles, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Not even where some of its buckets found a slot."""
    monkeypatch.setattr(sheet_module, "SLOTS", room)
    sheet = Sheet(files)
    sheet.values[sheet.slot("a")] = 1
    histogram = Histogram(sheet, Family("h", Kind.HISTOGRAM, "", (), (1.0, 2.0, 3.0)), ())
    for value in (0.5, 1.5, 2.5, 9.5):
        histogram.observe(value)
    found = dict(SheetReader(files).series())
    assert found[("a", ())] == 1.0
    assert all(value == 1.0 for (name, _), value in found.items() if name == "h")


def test_counts_survive_sigkill(files: SheetFiles) -> None:
    """A killed worker has lost no count: the memory is its parent's too."""
    code = (
        "import os, sys\n"
        "from proxy.telemetry.sheet import Sheet, SheetFiles\n"
        "sheet = Sheet(SheetFiles(int(sys.argv[1]), int(sys.argv[2])))\n"
        "sheet.values[sheet.slot('a')] += 41\n"
        "sheet.values[sheet.slot('a')] += 1\n"
        "os.kill(os.getpid(), 9)\n"
    )
    fds = (files.names_fd, files.values_fd)
    done = subprocess.run([sys.executable, "-c", code, *map(str, fds)], pass_fds=fds, check=False)
    assert done.returncode == -signal.SIGKILL
    assert dict(SheetReader(files).series()) == {("a", ()): 42.0}


def test_an_exemplar_lies_beside_its_count(files: SheetFiles) -> None:
    """The newest alone, and only of the names that are asked for."""
    sheet, reader = Sheet(files), SheetReader(files)
    first, second = sheet.slot("a", ("x",)), sheet.slot("b")
    for number in (1, 2):
        sheet.exemplify(first, Exemplar(f"{number:032x}", number, 1000.0 + number))
    sheet.exemplify(second, Exemplar("f" * 32, 3, 1.0))
    assert list(reader.exemplars({"a", "c"})) == [(("a", ("x",)), Exemplar(f"{2:032x}", 2, 1002.0))]
    assert dict(reader.series()) == {("a", ("x",)): 0.0, ("b", ()): 0.0}


_WRITES = """
import sys
from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.sheet import Sheet, SheetFiles
sheet = Sheet(SheetFiles(int(sys.argv[1]), int(sys.argv[2])))
slot = sheet.slot("a")
number = 0
while True:
    number += 1
    sheet.exemplify(slot, Exemplar(f"{number:032x}", float(number), float(number)))
"""


def test_an_exemplar_that_is_written_over_all_the_time_is_read_whole(files: SheetFiles) -> None:
    """By another process: what is read is one of those that were written, and hardly ever is none to be had."""
    reader = SheetReader(files)
    fds = (files.names_fd, files.values_fd)
    writer = subprocess.Popen([sys.executable, "-c", _WRITES, *map(str, fds)], pass_fds=fds)
    try:
        deadline, seen = time.monotonic() + 20, set[float]()
        while len(seen) < 2000:
            assert time.monotonic() < deadline
            for _, found in reader.exemplars({"a"}):
                assert int(found.trace_id, 16) == found.value == found.at_s
                seen.add(found.value)
    finally:
        writer.kill()
        writer.wait()
