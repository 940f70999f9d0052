"""The commands are there, and say what they take."""

import pytest

from proxy.cli.main import main


@pytest.mark.parametrize("command", ["test", "replay", "diff", "suggest", "why"])
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert "usage: sluicegate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["replay", "a.log", "--policy", "a.yaml", "--most", "few"], "'few' is not a share such as 0.5%"),
        (["suggest", "a.log", "--percentile", "0"], "is above 0 and up to 100"),
        (["suggest", "a.log", "--backtest", "-1"], "'-1' is not a number of days, from 1 on"),
        (["suggest", "a.log", "--backtest", "0"], "'0' is not a number of days, from 1 on"),
    ],
)
def test_what_is_wrongly_given_is_told(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert why in capsys.readouterr().err
