"""The arguments of the commands about money."""

import subprocess
import sys

import pytest

from proxy.cli.main import main, parser
from proxy.cli.moneyarguments import spelled


def test_who_serves_never_pays_for_sql() -> None:
    """The parent of a gateway parses its command line with ours in it, and stays for months."""
    heavy = "{'sqlalchemy', 'alembic', 'aiosqlite', 'asyncpg', 'genai_prices'}"
    code = f"import sys, proxy.cli.main; proxy.cli.main.parser(); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [["usage"], ["ledger"], ["ledger", "migrate"], ["ledger", "version"], ["reconcile"], ["budget"], ["budget", "show"],
     ["budget", "grant"], ["budget", "grants"], ["budget", "end"], ["prices"]],
    ids=" ".join,
)  # fmt: skip
def test_each_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert " ".join(["sluicegate", *words]) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "read"), [("-$5", "$-5"), ("-$1_000.50", "$-1_000.50"), ("$-5", "$-5"), ("$5", "$5")]
)
def test_an_amount_below_zero_is_no_option(typed: str, read: str) -> None:
    words = spelled(["budget", "grant", "tenant:acme", typed, "--until", "eod", "--reason", "x"])
    assert parser().parse_args(words).amount == read
