"""`sluicegate budget`: where budgets stand, and grants; against a live gateway in tests/e2e/test_reports.py."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.admin import moments
from proxy.cli.main import main
from proxy.core.clock import SystemClock
from proxy.core.usage import Charge
from tests.admin.spent import a_call, filled, ledger_url, written_policy

DOLLAR = 10**9


@pytest.fixture
def config(tmp_path: Path) -> Path:
    now_ms = SystemClock().now_ms()
    month = Charge("tenant", "tenant:acme", f"{_date(now_ms)[:7]}", "{m0}b:1", now_ms + 3_600_000)
    over = Charge("tenant", "tenant:acme", "2020-01", "{m0}b:2", now_ms - 1)
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 3 * DOLLAR, month, over)], now_ms)
    return written_policy(tmp_path)


def _date(at_ms: int) -> str:
    return moments.shown(at_ms)


def said(capsys: pytest.CaptureFixture[str], config: Path, verb: str, *arguments: str, code: int = 0) -> str:
    assert main(["budget", verb, "--config", str(config), *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def shown(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[tuple[str, str], Any]:
    told = json.loads(said(capsys, config, "show", "--json", *arguments))
    return {(one["budget"], one["period"]): one for one in told["budgets"]}


def granted(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str, code: int = 0) -> str:
    return said(capsys, config, "grant", *arguments, "--until", "eod", "--reason", "a demo", code=code)


def test_living_budgets_stand_as_the_ledger_has_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no gateway runs; what is held is not known then, and that is said."""
    text = said(capsys, config, "show")
    head, *lines, note = text.splitlines()
    assert head.split()[:4] == ["budget", "scope", "period", "resets_at"]
    assert [line.split()[0] for line in lines] == ["global", "global", "tenant"]
    cells = dict(zip(head.split(), lines[2].split(), strict=True))
    assert (cells["amount"], cells["settled"], cells["held"], cells["left"]) == ("5000.00", "3.00", "-", "4997.00")
    assert note.startswith("from the ledger alone")
    assert "2020-01" not in text


def test_one_scope_is_shown_though_nobody_has_spent(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By user all tiers have the same here; by tenant they do not, and nobody of that one is known."""
    (mine,) = shown(capsys, config, "user:u-9").values()
    assert (mine["scope"], mine["amount_usd"], mine["left_usd"]) == ("user:test-issuer u-9", "10.00", "10.00")
    (theirs,) = shown(capsys, config, "tenant:nobody").values()
    assert (theirs["amount_usd"], theirs["settled_usd"]) == (None, "0.00")
    assert "no budget is counted by 'usr:u'" in said(capsys, config, "show", "usr:u", code=2)


def test_a_grant_is_on_top_until_another_takes_it_back(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = granted(capsys, config, "tenant:acme", "$200", "--by", "ops")
    assert told.startswith("granted $200.00 to tenant:acme on top of the budget tenant (month), until ")
    (mine,) = shown(capsys, config, "tenant:acme").values()
    assert (mine["amount_usd"], mine["granted_usd"], mine["left_usd"]) == ("5200.00", "200.00", "5197.00")
    assert granted(capsys, config, "tenant:acme", "$-50").startswith("granted $-50.00")
    (mine,) = shown(capsys, config, "tenant:acme").values()
    assert mine["amount_usd"] == "5150.00"


def test_a_grant_is_ended_before_its_time(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the number that is told when it is made, and by those that are in force."""
    assert "number 1 of the record" in granted(capsys, config, "tenant:acme", "$-100000", "--by", "ops")
    granted(capsys, config, "global", "$1", "--by", "ops")
    head, *lines = said(capsys, config, "grants").splitlines()
    cells = [dict(zip(head.split(), line.replace("a demo", "a-demo").split(), strict=True)) for line in lines]
    assert [(one["number"], one["scope"], one["ended_at"], one["amount"]) for one in cells] == [
        ("1", "tenant:acme", "-", "-100000.00"),
        ("2", "global", "-", "1.00"),
    ]
    assert said(capsys, config, "end", "1", "--reason", "well again") == (
        "ended number 1 of the record: $-100,000.00 to tenant:acme on top of the budget tenant\n"
    )
    (mine,) = shown(capsys, config, "tenant:acme").values()
    assert (mine["amount_usd"], mine["granted_usd"]) == ("5000.00", "0.00")
    assert said(capsys, config, "grants", "tenant:acme") == "no grant is in force\n"
    (ended,) = json.loads(said(capsys, config, "grants", "tenant:acme", "--all", "--json"))
    assert (ended["id"], ended["ended_because"], ended["reason"]) == (1, "well again", "a demo")
    assert said(capsys, config, "end", "2", "1", "--reason", "x", code=2) == (
        "sluicegate: grant number 1 was ended before\n"
    )
    assert "'-1'" in said(capsys, config, "end", "--reason", "x", "--", "-1", code=2)
    (ended,) = json.loads(said(capsys, config, "end", "2", "--reason", "x", "--by", "mia", "--json"))
    assert ended["ended_by"] == "mia"


def test_who_granted_it_is_who_runs_the_command(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "mia")
    (made,) = json.loads(granted(capsys, config, "global", "$1", "--json"))
    assert (made["budget"], made["by"], made["reason"]) == ("global", "mia", "a demo")


def test_a_user_without_a_name_is_told_by_number(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is given any user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    (made,) = json.loads(granted(capsys, config, "global", "$1", "--json"))
    assert made["by"] == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tenat:acme", "$1"), "no budget is counted by 'tenat:acme'"),
        (("tenant:acme", "$1", "--budget", "nope"), "the policy has no budget 'nope'"),
        (("tenant:acme", "many"), "not in dollars"),
    ],
)
def test_a_grant_that_cannot_be_is_a_wrong_call(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    said_so = granted(capsys, config, *arguments, code=2)
    assert told in said_so
    assert said_so.count("\n") == 1


def test_without_a_ledger_there_is_nothing_to_grant_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no ledger at" in granted(capsys, written_policy(tmp_path), "global", "$1", code=1)
