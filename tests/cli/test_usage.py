"""`sluicegate usage`: reports from a real ledger, on both databases."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.main import main
from proxy.core.clock import SystemClock
from tests.admin.spent import a_call, filled, ledger_url, written_policy

DAY_MS = 86_400_000


def records(now_ms: int) -> list[Any]:
    made = [
        a_call(f"r{n}", now_ms - n * DAY_MS - 1, 1_000_000_007 + n, company_id=("acme", "=zeta")[n % 2], feature=None)
        for n in range(5)
    ]
    return [*made, a_call("old", now_ms - 40 * DAY_MS, 10**12, company_id="acme")]


@pytest.fixture
def now_ms() -> int:
    return SystemClock().now_ms()


@pytest.fixture
def config(tmp_path: Path, now_ms: int) -> Path:
    filled(ledger_url(tmp_path), records(now_ms), now_ms)
    return written_policy(tmp_path)


def said(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str, code: int = 0) -> str:
    assert main(["usage", "--config", str(config), *arguments]) == code
    out, err = capsys.readouterr()
    assert not (out if code else err)
    return err if code else out


def test_the_table_is_aligned_and_adds_up(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last thirty days by tenant unless it is said otherwise, with the sum below."""
    head, *lines, whole = said(capsys, config).splitlines()
    assert head.split() == [
        "tenant", "calls", "input", "cached", "cache_write", "output", "estimated", "orphaned", "cost_usd",
    ]  # fmt: skip
    assert [line.split() for line in lines] == [
        ["acme", "3", "300", "15", "0", "60", "0", "0", "3.000000027"],
        ["=zeta", "2", "200", "10", "0", "40", "0", "0", "2.000000018"],
    ]
    assert whole.split() == ["all", "5", "500", "25", "0", "100", "0", "0", "5.000000045"]
    assert len({len(line) for line in (head, *lines, whole)}) == 1


def test_since_and_until_bound_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 3600))
    text = said(capsys, config, "--since", "60d", "--until", until, "--by", "tenant", "--json")
    assert {line["tenant"]: line["calls"] for line in json.loads(text)} == {"acme": 3, "=zeta": 2}


def test_a_spreadsheet_gets_every_nano_dollar_and_no_formula(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(said(capsys, config, "--by", "tenant,feature", "--csv"))))
    assert [(line["tenant"], line["feature"], line["cost_usd"]) for line in lines] == [
        ("acme", "", "3.000000027"),
        ("'=zeta", "", "2.000000018"),
    ]


@pytest.fixture
def of_two_issuers(tmp_path: Path, now_ms: int) -> Path:
    made = [
        a_call(f"r{n}", now_ms - 1, 100 + n, user_id="u1", issuer=issuer)
        for n, issuer in enumerate(("https://a.example", "https://b.example", ""))
    ]
    filled(ledger_url(tmp_path), made, now_ms)
    return written_policy(tmp_path)


def test_users_of_two_issuers_are_two(of_two_issuers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both may have a user u1: each is a line, with its issuer beside it, in all three forms."""
    head, *lines, whole = said(capsys, of_two_issuers, "--by", "user").splitlines()
    assert head.split()[:3] == ["issuer", "user", "calls"]
    assert [line.split()[:2] for line in lines[1:]] == [["https://b.example", "u1"], ["https://a.example", "u1"]]
    assert whole.split()[:2] == ["all", "3"]
    both = [("", "u1"), ("https://b.example", "u1"), ("https://a.example", "u1")]
    table = csv.DictReader(io.StringIO(said(capsys, of_two_issuers, "--by", "user", "--csv")))
    assert [(line["issuer"], line["user"]) for line in table] == both
    found = json.loads(said(capsys, of_two_issuers, "--by", "user", "--json"))
    assert [(line["issuer"], line["user"]) for line in found] == both
    asked = said(capsys, of_two_issuers, "--by", "user,issuer", "--json")
    assert list(json.loads(asked)[0])[:2] == ["user", "issuer"]


def test_without_any_word_it_is_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, config, "--by", "", "--since", "366d").splitlines()[1].split()[-1] == "1005.000000045"


def test_an_unknown_word_names_those_that_are_known(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, config, "--by", "tenant,modle", code=2)
    assert told.startswith("sluicegate: there is no report by 'modle', only by tenant, issuer, user, tier, model")
    assert "twice" in said(capsys, config, "--by", "day,day", code=2)
    assert "such as 30d" in said(capsys, config, "--since", "lately", code=2)


def test_a_ledger_that_is_not_there_is_one_line_and_stays_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written_policy(tmp_path)
    told = said(capsys, config, code=1)
    assert told.count("\n") == 1
    assert "there is no ledger at" in told
    assert not (tmp_path / "ledger.db").exists()


def test_a_ledger_without_tables_says_what_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ledger.db").touch()
    told = said(capsys, written_policy(tmp_path), code=1)
    assert "ledger migrate" in told
    assert told.count("\n") == 1


def test_a_server_that_is_away_is_one_line_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written_policy(tmp_path, ledger="postgresql://gate:geheim@127.0.0.1:1/ledger")
    told = said(capsys, config, code=1)
    assert told.startswith("sluicegate: the ledger (postgresql+asyncpg://gate:***@127.0.0.1:1/ledger)")
    assert told.count("\n") == 1


def test_reports_read_the_replica(
    tmp_path: Path, now_ms: int, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a ``read_url``, the ledger that gateways write to is not even asked."""
    filled(postgres_url, records(now_ms), now_ms)
    config = written_policy(tmp_path, ledger="postgresql://127.0.0.1:1/ledger")
    assert "cannot be used" in said(capsys, config, code=1)
    config.write_text(config.read_text().replace("ledger: {url:", f'ledger: {{read_url: "{postgres_url}", url:'))
    assert "acme" in said(capsys, config)


def test_a_policy_that_spends_nothing_has_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("version: 1\nupstreams: {a: {primary: ['http://127.0.0.1:9']}}\ndefaults: {auth: none}\n"
                      "routes: [{name: r, match: {path: /x}, upstream: a, limits: []}]\n")  # fmt: skip
    assert "no ledger" in said(capsys, config, code=1)
