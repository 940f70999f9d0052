"""`sluicegate diff` and its exit codes."""

import json
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.foresight.policies import TEXT


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "old.yaml").write_text(TEXT)
    (tmp_path / "new.yaml").write_text(
        TEXT.replace("default: 5/1m", "default: 8/1m").replace("max_output_tokens: 100", "max_output_tokens: 50")
    )
    return [str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]


def test_the_same_is_0_and_another_is_1(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", files[0], files[0]]) == 0
    assert "are the same in effect" in capsys.readouterr().out
    assert main(["diff", *files]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "limit per-user on trpc, api, ai",
        "  rate (trial, anonymous): 5/1m → 8/1m",
        "route ai",
        "  calls.max_output_tokens: 100 → 50",
    ]


def test_programs_read_json(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *files, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["changes"][0] == {
        "subject": "limit per-user",
        "what": "rate",
        "was": "5/1m",
        "now": "8/1m",
        "callers": "trial, anonymous",
        "routes": ["trpc", "api", "ai"],
    }


def test_a_wrong_call_is_2(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", files[0], "none.yaml"]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err
