"""Log lines reach their reader whole, and a reader who does not read stalls nobody."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.telemetry import log as log_module
from proxy.telemetry.log import JsonFormatter, LineWriter, TextFormatter


async def test_lines_arrive_whole_and_in_order() -> None:
    read_fd, write_fd = os.pipe()
    dropped: list[int] = []
    writer = LineWriter(write_fd, asyncio.get_running_loop(), dropped.append)
    lines = [b'{"n": %d}\n' % n for n in range(1000)]
    for line in lines:
        writer.write(line)
    writer.close()
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as reader:
        assert reader.read() == b"".join(lines)
    assert dropped == []


async def test_a_regular_file_gets_each_gathering_in_one_piece(tmp_path: Path) -> None:
    """Files are written on the loop: a thread would cost more than the write."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        before = threading.active_count()
        writer = LineWriter(file.fileno(), asyncio.get_running_loop(), lambda _count: None)
        assert threading.active_count() == before
        writer.write(b"a\n")
        writer.write(b"b\n")
        writer.close()
    assert path.read_bytes() == b"a\nb\n"


async def test_a_reader_who_does_not_read_costs_lines_and_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound lines are dropped and counted; the loop never waits for the pipe."""
    monkeypatch.setattr(log_module, "MAX_PENDING", 1000)
    monkeypatch.setattr(log_module, "FLUSH_S", 0.001)
    read_fd, write_fd = os.pipe()
    dropped: list[int] = []
    writer = LineWriter(write_fd, asyncio.get_running_loop(), dropped.append)
    async with asyncio.timeout(10):
        while not dropped:
            writer.write(b"x" * 60_000 + b"\n")
            await asyncio.sleep(0.002)
    os.close(read_fd)  # the writer's thread ends with EPIPE
    writer.close()
    os.close(write_fd)
    assert sum(dropped) >= 1


def record(**fields: object) -> logging.LogRecord:
    made = logging.LogRecord("sluicegate", logging.WARNING, __file__, 1, "redis %s", ("away",), None)
    made.fields = fields
    return made


def test_json_events_are_one_object_with_their_fields() -> None:
    line = JsonFormatter().format(record(worker=3))
    event = json.loads(line)
    assert event["msg"] == "redis away"
    assert event["level"] == "warning"
    assert event["worker"] == 3
    assert "\n" not in line


def test_text_events_are_for_a_person() -> None:
    assert TextFormatter().format(record(worker=3)) == "warning: redis away worker=3"


def failed(secret: str) -> BaseException:
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ValueError(f"cannot read the field of {secret}") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_has_its_frames_and_causes_and_nothing_that_came_with_a_request(
    formatter: logging.Formatter,
) -> None:
    made = record()
    error = failed("hunter2")
    made.exc_info = (type(error), error, error.__traceback__)
    line = formatter.format(made).replace("\\n", "\n").replace('\\"', '"')
    assert "hunter2" not in line
    assert "ValueError: cannot read the field of …" in line
    assert line.index("KeyError: …  (__cause__ of a later one)") < line.index("ValueError: ")
    assert f'File "{__file__}", line' in line
    assert "in failed" in line


ENDING = """
import logging, sys, threading
from proxy.telemetry.log import configure
configure(json_lines=True)
secret = sys.argv[1]
class Broken:
    def __del__(self):
        raise LookupError(secret)
def fail():
    raise KeyError(secret)
Broken()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise ValueError("it ends by " + secret)
"""


def test_what_nobody_catches_is_a_line_and_says_no_more() -> None:
    """The interpreter would print it all: of a process, of a thread, of what is let go."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, "hunter2"], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert "hunter2" not in ended.stderr
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["msg"] for line in lines] == [
        "an exception had nobody to be raised to",
        "a thread ended by an exception",
        "the process ends by an exception",
    ]
    assert lines[-1]["level"] == "critical"
    assert lines[-1]["exception"].endswith("ValueError: it ends by …")
