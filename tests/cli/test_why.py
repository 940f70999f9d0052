"""`sluicegate why` and its exit codes."""

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.foresight.lines import line
from tests.foresight.policies import TEXT, compiled


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(TEXT)
    lines = [line(n, id=f"r{n}", policy=compiled().version) for n in range(5)]
    lines += [
        b"rubbish with r5\n",
        b'{"msg":"no request","id":"r5"}\n',
        line(5, id="r5", status=429, outcome="refused", reason="quota_exceeded", limits=["per-user"]),
        line(6, id="r6", path="/_gateway/usage", outcome="answered"),
        line(7, id="r7", path="/nowhere", outcome="refused"),
        line(8, id="r8", path="/health", tenant="\x1b[31mred"),
    ]
    (tmp_path / "a.log").write_bytes(b"".join(lines))
    return tmp_path / "a.log"


def why(log: Path, request_id: str, *arguments: str) -> int:
    return main(["why", request_id, "--log", str(log), *arguments])


def test_a_line_is_told_in_words(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, "r5") == 0
    out = capsys.readouterr().out
    assert "limits    refused by per-user" in out
    assert "outcome   429, refused: refused by the policy" in out
    assert "each limit before and after: a line names those that refused alone; say --config" in out


def test_with_the_policy_its_meters_are_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, "r5", "--config", str(log.with_name("config.yaml"))) == 0
    out = capsys.readouterr().out
    assert "as a replay of this log by policy" in out
    assert "per-user    5/1m      full          5      1" in out
    assert why(log, "r5", "--config", str(log.with_name("config.yaml")), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["line"]["id"] == "r5"
    assert told["meters"][1] == {
        "limit": "per-user", "rate": "5/1m", "before": 5, "takes": 1, "verdict": "full", "shadow": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_id", "words"),
    [
        ("r6", "nothing: the gateway answered it by itself"),
        ("r7", "no limit was asked: (no_route)"),
        ("r8", "no limit counts it"),
    ],
)
def test_where_no_limit_was_asked(log: Path, request_id: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, request_id, "--config", str(log.with_name("config.yaml"))) == 0
    out = capsys.readouterr().out
    assert words in out
    assert "\x1b" not in out


def test_a_request_that_the_log_does_not_have_is_1(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, "r99") == 1
    assert "no request 'r99' in " in capsys.readouterr().err


def test_packed_logs_and_standard_input(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = log.with_suffix(".log.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert why(packed, "r5") == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))
    assert why(Path("-"), "r5") == 0


def test_a_wrong_call_is_2(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, "r5", "--config", "none.yaml") == 2
    assert why(Path("none.log"), "r5") == 2
    assert why(Path("-"), "r5", "--config", str(log.with_name("config.yaml"))) == 2
