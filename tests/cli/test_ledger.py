"""`sluicegate ledger`: tables made and told, on a file and on a server."""

import io
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.admin.spent import written_policy


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["ledger", *arguments]) == code
    out, err = capsys.readouterr()
    assert not (out if code == 1 and err else err)
    return out or err


def test_tables_are_made_once_and_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no ledger yet" in said(capsys, "version", "--url", url, code=1)
    assert said(capsys, "migrate", "--url", url).startswith("the ledger was at nothing and is at ")
    head = said(capsys, "version", "--url", url).strip()
    assert said(capsys, "migrate", "--url", url) == f"at {head} already\n"


def test_a_file_gets_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written_policy(tmp_path, ledger=f"sqlite:///{tmp_path}/deep/down/ledger.db")
    said(capsys, "migrate", "--config", str(config))
    assert (tmp_path / "deep/down/ledger.db").stat().st_size
    assert (tmp_path / "deep/down").stat().st_mode & 0o777 == 0o700


def test_to_ask_for_the_version_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "version", "--config", str(written_policy(tmp_path)), code=1)
    assert not (tmp_path / "ledger.db").exists()


def test_a_url_with_a_password_need_not_be_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"sqlite:///{tmp_path}/l.db\n"))
    said(capsys, "migrate", "--url", "-")
    assert (tmp_path / "l.db").exists()


@pytest.mark.parametrize("url", ["postgresql://gate:geheim@127.0.0.1:1/x", "mysql://gate:geheim@h/x", "geheim"])
def test_what_cannot_be_a_ledger_is_one_line_without_a_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("migrate", "version"):
        told = said(capsys, verb, "--url", url, code=1)
        assert told.count("\n") == 1
        assert "geheim" not in told
