"""Every command that reads a policy reads its overlays, too."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.cli.main import main, parser
from tests.foresight.policies import TEXT
from tests.foresight.traffic import lines_of

# Which argument of a command is a policy.
POLICIES = {"config", "policy", "old", "new", "against"}


def commands(top: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """All that can be called, verbs too."""
    below = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, top
    for action in below:
        for verb, one in action.choices.items():
            yield from commands(one, f"{name} {verb}".strip())


READERS = {name: one for name, one in commands(parser()) if POLICIES & {action.dest for action in one._actions}}


def test_the_commands_that_read_a_policy_are_known() -> None:
    assert {"run", "check", "explain", "test", "replay", "diff", "suggest", "why", "usage", "purge"} <= set(READERS)
    assert "keys create" not in READERS


@pytest.mark.parametrize("name", READERS)
def test_each_takes_overlays(name: str) -> None:
    """Several, in order; none if none is given."""
    action = next((one for one in READERS[name]._actions if one.option_strings == ["--overlay"]), None)
    assert action is not None
    assert (action.type, action.default) == (Path, [])
    assert isinstance(action, argparse._AppendAction)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy, an overlay that lets nobody through, one that lets all, and a log."""
    (tmp_path / "config.yaml").write_text(TEXT)
    (tmp_path / "strict.yaml").write_text("limits: {per-user: {rate: 1/1h}}\n")
    (tmp_path / "loose.yaml").write_text("limits: {per-user: {rate: 1_000_000/1m}}\n")
    (tmp_path / "a.log").write_bytes(b"".join(lines_of(2, users=9, sessions=3, seed=1)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main(list(arguments)) == code
    return json.loads(capsys.readouterr().out)


def rate(found: Any) -> Any:
    return next(meter["rate"] for meter in found["meters"] if meter["limit"] == "per-user")


def test_the_last_overlay_is_on_top(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "--path", "/api/x", "--claims", '{"sub": "u", "tier": "trial"}', "--json"]
    assert rate(told(capsys, *arguments, "--overlay", "strict.yaml")) == "1 in 3600 s"
    both = ["--overlay", "strict.yaml", "--overlay", "loose.yaml"]
    assert rate(told(capsys, *arguments, *both)) == "1e+06 in 60 s"


def test_check_tells_what_is_wrong_in_an_overlay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "strict.yaml").write_text("limits:\n  per-user: {rat: 1/1h}\n")
    assert main(["check", "--overlay", "strict.yaml"]) == 1
    assert "strict.yaml:2: limits.per-user.rat: unknown key 'rat'; did you mean 'rate'?" in capsys.readouterr().err


def test_two_policies_may_differ_by_their_overlays_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over both first, then each one's own."""
    same = ["diff", "config.yaml", "config.yaml", "--json"]
    assert told(capsys, *same, "--overlay", "strict.yaml")["changes"] == []
    found = told(capsys, *same, "--overlay", "strict.yaml", "--new-overlay", "loose.yaml", code=1)
    assert [(one["subject"], one["was"], one["now"]) for one in found["changes"]] == [
        ("limit per-user", "1/1h", "1_000_000/1m")
    ]
    found = told(capsys, *same, "--old-overlay", "loose.yaml", "--new-overlay", "strict.yaml", code=1)
    assert [(one["was"], one["now"]) for one in found["changes"]] == [("1_000_000/1m", "1/1h")]


def test_a_log_is_replayed_through_overlays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", "a.log", "--policy", "config.yaml"]
    assert main([*arguments, "--overlay", "loose.yaml", "--most", "0%"]) == 0
    assert main([*arguments, "--overlay", "strict.yaml", "--most", "0%"]) == 1
    capsys.readouterr()
    against = [*arguments, "--against", "config.yaml", "--old-overlay", "loose.yaml", "--new-overlay", "strict.yaml"]
    assert main(against) == 0
    out = capsys.readouterr().out
    assert "config.yaml + loose.yaml" in out
    assert "config.yaml + strict.yaml" in out


def test_a_policys_tests_hold_with_its_overlays(folder: Path) -> None:
    (folder / "tests.yaml").write_text(
        "tests:\n- name: one is enough\n  claims: {sub: u, tier: trial}\n  path: /api/x\n"
        "  before: {requests: 1}\n  expect: {decision: refused}\n"
    )
    assert main(["test", "tests.yaml", "--overlay", "strict.yaml"]) == 0
    assert main(["test", "tests.yaml", "--overlay", "loose.yaml"]) == 1


def test_what_is_suggested_for_several_files_is_an_overlay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is put over them as they are: no file has to be rewritten."""
    arguments = ["suggest", "a.log", "--config", "config.yaml", "--overlay", "strict.yaml", "--percentile", "100"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert list(yaml.safe_load(out)) == ["limits"]
    (folder / "suggested.yaml").write_text(out)
    both = ["--overlay", "strict.yaml", "--overlay", "suggested.yaml"]
    assert main(["check", *both]) == 0
    assert main(["replay", "a.log", "--policy", "config.yaml", *both, "--most", "0%"]) == 0


def test_the_version_that_a_log_names_is_that_of_all_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "--effective", "--json"]
    versions = {told(capsys, *arguments, *over)["policy"] for over in ([], ["--overlay", "loose.yaml"])}
    assert len(versions) == 2
