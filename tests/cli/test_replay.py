"""`sluicegate replay` and its exit codes."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.foresight.lines import line
from tests.foresight.policies import TEXT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.yaml").write_text(TEXT)
    (tmp_path / "new.yaml").write_text(TEXT.replace("default: 5/1m", "default: 3/1m"))
    (tmp_path / "a.log").write_bytes(b"".join(line(n) for n in range(10)) + b"rubbish\n")
    return tmp_path


def replay(folder: Path, *arguments: str) -> int:
    return main(["replay", str(folder / "a.log"), "--policy", str(folder / "new.yaml"), *arguments])


def test_refusals_are_told_by_tenant_and_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(folder) == 0
    said = capsys.readouterr()
    assert "10 requests, 7 refused (70.0%)" in said.out
    assert "initech  per-user    2026-11-23 12:00:03  r1" in said.out
    assert "note: 1 lines could not be read: " in said.out
    assert "a.log:11: neither nginx's" in said.out
    assert said.err == ""


def test_the_difference_between_two_policies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(folder, "--against", str(folder / "old.yaml")) == 0
    said = capsys.readouterr().out
    assert "2 newly refused, 0 newly admitted" in said
    assert "old.yaml  new.yaml  difference" in said


def test_ci_may_bound_what_is_refused(folder: Path) -> None:
    old = ("--against", str(folder / "old.yaml"))
    assert [replay(folder, *more) for more in (("--most", "70%"), ("--most", "0.69"))] == [0, 1]
    assert [replay(folder, *old, *more) for more in (("--most", "20%"), ("--most", "19%"))] == [0, 1]


def test_what_the_log_refused_before_limits_is_not_the_policys(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line(n, status=401, outcome="refused", reason="token_expired", tenant=None, user=None) for n in range(9)]
    (folder / "a.log").write_bytes(line(20) + b"".join(lines))
    assert replay(folder, "--most", "0%") == 0
    assert "10 requests, 9 refused (90.0%)" in capsys.readouterr().out


def test_programs_read_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["policies"][0]["refusals"][0]["refused"] == 7


@pytest.mark.parametrize("arguments", [("--against", "none.yaml"), ("--tier", "gold")])
def test_a_wrong_call(folder: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(folder, *arguments) == 2
    assert capsys.readouterr().err


def test_a_log_that_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.log").unlink()
    assert replay(folder) == 2
    (folder / "a.log.gz").write_bytes(b"no gzip")
    assert main(["replay", str(folder / "a.log.gz"), "--policy", str(folder / "new.yaml")]) == 2
    assert "a.log.gz: is no gzip file" in capsys.readouterr().err
    (folder / "a.log.gz").write_bytes(gzip.compress(line() * 100)[:-20])
    assert main(["replay", str(folder / "a.log.gz"), "--policy", str(folder / "new.yaml")]) == 2
    assert "a.log.gz: is cut off, or damaged" in capsys.readouterr().err


def test_two_gateways_logs_are_told_as_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has every second request: together they are what one gateway would have logged."""
    lines = [line(n * 13, id=f"r{n}") for n in range(1000)]
    (folder / "a.log").write_bytes(b"".join(lines))
    policy = ("--policy", str(folder / "old.yaml"), "--most", "0%")
    assert main(["replay", str(folder / "a.log"), *policy]) == 0
    whole = capsys.readouterr().out
    for name, own in (("b.log", lines[::2]), ("c.log", lines[1::2])):
        (folder / name).write_bytes(b"".join(own))
    for names in (("b.log", "c.log"), ("c.log", "b.log")):
        assert main(["replay", *(str(folder / name) for name in names), *policy]) == 0
        assert capsys.readouterr().out == whole


def test_a_log_in_no_order_is_no_ground_for_a_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(n * 13) for n in range(300)]
    (folder / "a.log").write_bytes(b"".join(lines[150:] + lines[:150]))
    assert replay(folder) == 0
    assert "150 of 300 requests (50.0%) stand in no order of time" in capsys.readouterr().err
    assert replay(folder, "--most", "100%") == 2
    capsys.readouterr()
    assert replay(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["late"] == 150
    assert told["doubt"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a.log: is empty"),
        (b"rubbish\n" * 3, "a.log: none of its 3 lines tells of a request that limits could count: "),
        (line(path="/_gateway/usage"), "none of its 1 lines"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--most", "0%"), ("--json",)])
def test_a_log_with_nothing_to_judge_is_2(
    folder: Path, content: bytes, why: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.log").write_bytes(content)
    assert replay(folder, *more) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert said.out == ""


def test_memory_does_not_grow_with_the_log(folder: Path) -> None:
    """Ten times the lines of the same callers, and not a quarter more."""

    def peak(lines: int) -> int:
        (folder / "a.log").write_bytes(b"".join(line(n, user=f"u{n % 50}") for n in range(lines)))
        tracemalloc.start()
        try:
            assert replay(folder) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is made once
    assert peak(8000) < 1.25 * peak(800)
