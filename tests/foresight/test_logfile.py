"""Logs are read line by line; what cannot be read is counted and told."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.foresight import logfile
from proxy.foresight.logfile import MAX_LINE, STANDARD_INPUT, LogFiles
from tests.foresight.lines import line


def test_several_files_are_one_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(line(0, id="a") + line(1, id="b"))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(line(2, id="c")))
    files = LogFiles([tmp_path / "a.log", tmp_path / "b.log.gz"])
    assert [entry.request_id for entry in files.entries()] == ["a", "b", "c"]
    assert files.reading.lines == 3


def test_several_files_are_one_log_by_time_whatever_their_order(tmp_path: Path) -> None:
    """Of two gateways, or of one that rotates: read one after the other, what came together was judged apart, and the
    second file's lines all at the first one's end."""
    moments = {"one": range(0, 400, 2), "two": range(1, 400, 2), "older": range(-300, 0)}
    for name, at_s in moments.items():
        (tmp_path / name).write_bytes(b"".join(line(one, id=f"{one}") for one in at_s))
    files = LogFiles([tmp_path / name for name in moments])
    assert [int(entry.request_id) for entry in files.entries()] == list(range(-300, 400))


def test_a_line_of_another_day_does_not_hold_up_its_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(line(86_400, id="astray") + b"".join(line(n, id=f"{n}") for n in range(0, 300, 2)))
    (tmp_path / "b").write_bytes(b"".join(line(n, id=f"{n}") for n in range(1, 300, 2)))
    files = LogFiles([tmp_path / "a", tmp_path / "b"])
    assert [entry.request_id for entry in files.entries()] == [*map(str, range(300)), "astray"]


def test_standard_input_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line(id="x"))))
    assert [entry.request_id for entry in LogFiles([STANDARD_INPUT]).entries()] == ["x"]


def test_unreadable_lines_are_counted_and_the_first_few_told(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(line() + b"secret\n" * 7 + b'{"msg":"redis is back"}\n' + line())
    files = LogFiles([file])
    assert len(list(files.entries())) == 2
    assert (files.reading.unreadable, files.reading.others) == (7, 1)
    assert [number for _, number, _ in files.reading.told] == [2, 3, 4, 5, 6]
    assert not any("secret" in why for _, _, why in files.reading.told)


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"{" + b"x" * (3 * MAX_LINE) + b"\n" + line())
    files = LogFiles([file])
    assert len(list(files.entries())) == 1
    assert files.reading.unreadable >= 3


def test_progress_is_told_by_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "STEP", 10)
    file = tmp_path / "a.log"
    file.write_bytes(line() * 100)
    told: list[tuple[float | None, int]] = []
    list(LogFiles([file], lambda done, lines: told.append((done, lines))).entries())
    assert [lines for _, lines in told] == list(range(10, 101, 10))
    shares = [done for done, _ in told if done is not None]
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda packed: packed[:-12], "is cut off, or damaged"),
        (lambda packed: packed[: len(packed) // 2] + bytes(40) + packed[len(packed) // 2 + 40 :], "damaged"),
        (lambda packed: b"no gzip" + packed, "is no gzip file"),
        (lambda packed: packed[:-8] + bytes(8), "is no gzip file, or damaged"),
    ],
)
def test_a_packed_file_that_is_damaged_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes], why: str) -> None:
    """Not told as what went wrong in a library: its end would have been a traceback."""
    whole, broken = tmp_path / "a.log.gz", tmp_path / "b.log.gz"
    packed = gzip.compress(b"".join(line(n, id=f"r{n}") for n in range(3000)))
    whole.write_bytes(packed)
    broken.write_bytes(spoil(packed))
    with pytest.raises(OSError, match=why) as told:
        list(LogFiles([whole, broken]).entries())
    assert told.value.filename == str(broken)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFiles([tmp_path / "none.log"])
