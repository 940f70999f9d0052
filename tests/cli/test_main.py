"""The command line: its verbs, its exit codes, and what it says to a wrong call."""

import subprocess
import sys

import pytest

from proxy import __version__
from proxy.cli.main import main, parser


def test_every_command_is_documented_and_callable() -> None:
    """Each has a summary in --help and something to call."""
    actions = next(action for action in parser()._subparsers._group_actions)
    summaries = {choice.dest: choice.help for choice in actions._choices_actions}
    assert set(summaries) == {
        *("run", "check", "explain", "demo", "keys"),
        *("usage", "budget", "prices", "ledger", "reconcile"),
        *("purge", "cache"),
        *("test", "replay", "diff", "suggest", "why"),
    }
    assert all(summaries.values())


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "--config", "a", "--upstream", "b"], ["explain"], ["keys"], ["keys", "create"], ["nonsense"]],
    ids=" ".join,
)
def test_a_wrong_call_is_told_and_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: sluicegate" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sluicegate {__version__}\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"sluicegate {__version__}\n"


def test_a_reader_who_leaves_is_no_failure() -> None:
    """`sluicegate check --json-schema | head -1` ends without a traceback."""
    command = f"{sys.executable} -m proxy check --json-schema | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
