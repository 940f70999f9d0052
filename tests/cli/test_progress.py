"""A bar for a person, nothing for a file."""

import pytest

from proxy.cli.progress import Progress


def test_a_bar_is_drawn_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(shown=True)
    bar(0.5, 10_000)
    bar.close()
    said = capsys.readouterr().err
    assert "█" * 15 + "·" * 15 + "  50%  10,000 lines" in said
    assert said.endswith("\r\x1b[K")


def test_where_the_end_is_not_known_lines_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(shown=True)(None, 10_000)
    assert "%" not in (said := capsys.readouterr().err)
    assert "10,000 lines" in said


def test_nothing_is_written_to_what_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress()
    bar(0.5, 10_000)
    bar.close()
    assert capsys.readouterr().err == ""
