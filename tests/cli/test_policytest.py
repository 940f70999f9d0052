"""`sluicegate test` and its exit codes."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from proxy.cli.main import main
from tests.foresight.policies import TEXT

GOOD = "tests:\n  - {name: it works, path: /health, expect: {route: health, decision: admitted}}\n"
BAD = GOOD + "  - name: it does not\n    path: /health\n    expect:\n      route: api\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(TEXT)
    return tmp_path


def test_all_passed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "t.yaml").write_text(GOOD)
    assert main(["test", str(folder / "t.yaml")]) == 0
    out = capsys.readouterr().out
    assert "ok    it works" in out
    assert "t.yaml: 1 passed, 0 failed by " in out
    assert main(["test", str(folder / "t.yaml"), "--quiet"]) == 0
    assert "ok" not in capsys.readouterr().out


def test_a_failure_is_told_with_file_line_and_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "t.yaml"
    file.write_text(BAD)
    assert main(["test", str(file), "--junit", str(folder / "report.xml")]) == 1
    out = capsys.readouterr().out
    assert f"FAIL  it does not\n      {file}:6: expect.route: expected api, got health" in out
    suite = ET.parse(folder / "report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = suite.iter("failure")
    assert ":6: expect.route" in failure.get("message", "")


def test_the_policy_is_the_one_that_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.yaml").write_text(TEXT.replace("name: health", "name: healthy"))
    (folder / "t.yaml").write_text("policy: other.yaml\n" + GOOD)
    assert main(["test", str(folder / "t.yaml")]) == 1
    assert main(["test", str(folder / "t.yaml"), "--config", str(folder / "config.yaml")]) == 0


@pytest.mark.parametrize("case", ["no file", "a wrong file", "no policy", "no place for the report"])
def test_a_wrong_call_is_no_failed_test(folder: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "t.yaml").write_text("tests: [{name: a}]" if case == "a wrong file" else GOOD)
    arguments = ["test", str(folder / ("none.yaml" if case == "no file" else "t.yaml"))]
    if case == "no policy":
        arguments += ["--config", str(folder / "none.yaml")]
    if case == "no place for the report":
        arguments += ["--junit", str(folder / "none" / "report.xml")]
    assert main(arguments) == 2
    assert capsys.readouterr().err
