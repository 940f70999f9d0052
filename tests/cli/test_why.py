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
    assert "each meter before and after: a line names those that refused alone; --config replays the log" in out


def test_with_the_policy_its_meters_are_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(log, "r5", "--config", str(log.with_name("config.yaml"))) == 0
    out = capsys.readouterr().out
    assert "as a replay of this log by policy" in out
    assert "per-user    5/1m      full          5     1         5" in out
    assert why(log, "r5", "--config", str(log.with_name("config.yaml")), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["line"]["id"] == "r5"
    assert told["meters"][1] == {
        "name": "per-user", "unit": "requests", "scope": "user:test ada", "rate": "5/1m", "verdict": "full",
        "shadow": False, "before": 5, "asks": 1, "settled": None, "after": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_id", "words"),
    [
        ("r6", "nothing: the gateway answered it by itself"),
        ("r7", "no meter was asked: (no_route)"),
        ("r8", "no meter counts it"),
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
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))
    assert why(Path("-"), "r5", "--config", str(log.with_name("config.yaml"))) == 0
    assert "full          5     1         5" in capsys.readouterr().out


def test_a_call_that_outlived_its_client_is_told_with_its_end(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its line was written when the client left; a later one says what it came to."""
    gone = {"path": "/ai/v1/chat/completions", "method": "POST", "route": "ai", "outcome": "client_gone", "status": 499}
    later = {
        "msg": "call settled",
        "route": "ai",
        "cost_usd": 0.25,
        "tokens_in": 7,
        "tokens_out": 3,
        "estimated": False,
    }
    with log.open("ab") as file:
        file.write(line(600, id="g1", **gone, held_usd=0.5, held_tokens=90))
        file.write(line(600, id="g2", **gone, held_usd=0.5, held_tokens=90))
        file.write(json.dumps({"id": "g1", **later}).encode() + b"\n")
    assert why(log, "g1", "--config", str(log.with_name("config.yaml"))) == 0
    out = capsys.readouterr().out
    assert "call      $0.250000000, 7 tokens in, 3 out, held $0.500000000 and 90 tokens" in out
    assert ["user", "$1/day", "fits", "$0", "$0.50", "$0.25", "$0.25"] in [row.split() for row in out.splitlines()]
    assert why(log, "g2") == 0
    assert "what the call came to: it went on without its client" in capsys.readouterr().out


def test_a_packed_log_that_is_cut_off_is_2(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not 1: whether it has the request nobody knows."""
    packed = log.with_suffix(".log.gz")
    for damaged in (gzip.compress(log.read_bytes())[:-20], gzip.compress(log.read_bytes())[:40] + b"\0" * 90):
        packed.write_bytes(damaged)
        assert why(packed, "r99") == 2
        assert f"{packed}: is cut off, or damaged" in capsys.readouterr().err
    packed.write_bytes(log.read_bytes())
    assert why(packed, "r99") == 2
    assert f"{packed}: is no gzip file" in capsys.readouterr().err
    packed.write_bytes(gzip.compress(log.read_bytes())[:-4])
    assert why(packed, "r5") == 0  # it was there before the end
    assert why(packed, "r5", "--config", str(log.with_name("config.yaml"))) == 2


def test_a_call_is_told_with_what_it_held_and_what_it_came_to(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Limits, budgets and limits of tokens, before it and after it; of one that a budget refused, too."""
    ai = {"path": "/ai/v1/chat/completions", "method": "POST", "route": "ai", "held_usd": 0.75, "held_tokens": 90}
    refused = {"status": 429, "outcome": "refused", "reason": "budget_exceeded", "limits": ["user"]}
    with log.open("ab") as file:
        file.write(line(600, id="c1", **ai, cost_usd=0.5, tokens_in=7, tokens_out=3))
        file.write(line(601, id="c2", **ai, **refused))
    assert why(log, "c1", "--config", str(log.with_name("config.yaml"))) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["meter", "rate", "before", "it", "asks", "settled", "at", "after", "it"] in rows
    assert ["per-user", "5/1m", "fits", "0", "1", "-", "1"] in rows
    assert ["user", "$1/day", "fits", "$0", "$0.75", "$0.50", "$0.50"] in rows
    assert ["ai-tokens", "1000/1m", "fits", "0", "90", "10", "10"] in rows
    assert why(log, "c2", "--config", str(log.with_name("config.yaml"))) == 0
    out = capsys.readouterr().out
    assert "limits    refused by user\n" in out
    rows = [row.split() for row in out.splitlines()]
    assert ["user", "$1/day", "full", "$0.50", "$0.75", "-", "$0.50"] in rows
    assert ["per-user", "5/1m", "fits", "1", "1", "-", "1"] in rows


def test_a_wrong_call_is_2(log: Path) -> None:
    assert why(log, "r5", "--config", "none.yaml") == 2
    assert why(Path("none.log"), "r5") == 2
