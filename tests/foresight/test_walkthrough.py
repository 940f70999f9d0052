"""docs/policy-testing.md is true: its files are made, its commands run, and what they print is what it shows."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.foresight.traffic import lines_of

PAGE = Path(__file__).parents[2] / "docs" / "policy-testing.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REDIRECTED = re.compile(r" >([a-z.]+)")


def numbered(lines: list[bytes]) -> list[bytes]:
    """Each request with an id of its own."""
    return [line.replace(b'"id": "r1"', b'"id": "r%x"' % number) for number, line in enumerate(lines)]


def run(command: str) -> str:
    """What a line of a console prints: one of our commands, or a grep."""
    command, asks_code = command.removesuffix("; echo $?"), command.endswith("; echo $?")
    redirected = REDIRECTED.search(command)
    program, *arguments = shlex.split(command if redirected is None else command[: redirected.start()])
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        if program == "grep":
            pattern, file = arguments
            code = 0
            told.writelines(line for line in Path(file).read_text().splitlines(True) if re.search(pattern, line))
        else:
            assert program == "sluicegate"
            code = main(arguments)
    printed = told.getvalue()
    if redirected is not None:
        Path(redirected[1]).write_text(printed)
        printed = ""
    return printed + (f"{code}\n" if asks_code else "")


def made(folder: Path, text: str) -> None:
    """A file of the page: whole, or another one with a line replaced."""
    head, _, body = text.partition("\n")
    name, _, base = head.removeprefix("# ").partition(": ")
    if base:
        old = (folder / base.removesuffix(" with")).read_text()
        key = body.partition(":")[0]
        body = "\n".join(body.rstrip("\n") if line.startswith(key + ":") else line for line in old.split("\n"))
    (folder / name).write_text(body)


def console(text: str) -> list[tuple[str, str]]:
    """Commands and what the page shows of each."""
    return [(command, shown) for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]


@pytest.mark.full
def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("access.log").write_bytes(b"".join(numbered(list(lines_of(10, users=30, sessions=3, seed=4)))))
    ran = 0
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "yaml":
            made(tmp_path, text)
            continue
        for command, shown in console(text):
            printed = run(command)
            assert re.fullmatch(re.escape(shown).replace("…", ".*"), printed), f"{command}\n{printed}"
            ran += 1
    assert ran >= 10
