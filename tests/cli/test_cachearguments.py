"""The arguments of the commands about the cache."""

import subprocess
import sys

import pytest

from proxy.cli.main import parser


@pytest.mark.parametrize(
    "line",
    [
        "purge",
        "purge --url /a --prefix /b",
        "purge --tag a --all",
        "purge --all --within a --public",
        "cache",
        "cache explain",
        "cache stats /x",
    ],
)
def test_what_is_missing_or_too_much_is_refused(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(line.split())
    assert ended.value.code == 2


def test_tags_and_header_lines_may_be_repeated() -> None:
    assert parser().parse_args(["purge", "--tag", "a", "--tag", "b"]).tags == ["a", "b"]
    asked = parser().parse_args(["cache", "explain", "http://a.test/", "-H", "A: b", "--header", "C: d"])
    assert asked.headers == ["A: b", "C: d"]


def test_no_command_about_the_cache_needs_sql() -> None:
    """Nor does the admin API of the parent, which stays for months."""
    code = "import sys, proxy.cli.main, proxy.cli.cache, proxy.cli.purge; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
