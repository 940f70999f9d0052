"""What the commands about money have in common."""

import argparse
from pathlib import Path

import pytest

from proxy.admin.stores import Unanswered
from proxy.cli.books import answer, policy_of, wrong_call
from tests.admin.spent import written_policy


async def _say(code: int) -> int:
    if code < 0:
        raise Unanswered("nobody knows")
    return code


def test_what_cannot_be_told_is_one_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert (answer(_say(0)), answer(_say(1)), answer(_say(-1))) == (0, 1, 1)
    assert capsys.readouterr().err == "sluicegate: nobody knows\n"


def test_a_wrong_call_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong_call(ValueError("so not")) == 2
    assert capsys.readouterr().err == "sluicegate: so not\n"


def test_a_policy_that_is_refused_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written_policy(tmp_path)
    args = argparse.Namespace(config=config, overlay=[], allow_missing_secrets=False)
    assert policy_of(args) is not None
    config.write_text(config.read_text() + "unknown: 1\n")
    assert policy_of(args) is None
    assert "config.yaml" in capsys.readouterr().err
