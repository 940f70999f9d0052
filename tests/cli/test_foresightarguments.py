"""The commands are there, and say what they take."""

import pytest

from proxy.cli.main import main


@pytest.mark.parametrize("command", ["test", "replay", "diff", "suggest", "why"])
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert "usage: sluicegate" in capsys.readouterr().out
