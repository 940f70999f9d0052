"""`sluicegate prices`: shows, checks and compares."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from proxy.ai.prices.table import bundled
from proxy.cli.main import main
from proxy.core.clock import SystemClock
from tests.admin.spent import a_call, filled, ledger_url, written_policy


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["prices", *arguments]) == code
    return capsys.readouterr()


def with_prices(folder: Path, prices: str) -> str:
    config = written_policy(folder)
    config.write_text(config.read_text() + f"prices: {prices}\n")
    return str(config)


def test_list_prices_need_no_policy(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "gpt-4o-mini", "--provider", "openai")
    assert bundled().version in out
    assert next(line.split()[4] for line in out.splitlines() if line.split()[2] == "input") == "0.15"
    out, _ = said(capsys, "--provider", "anthropic")
    assert all(line.startswith("anthropic ") for line in out.splitlines()[2:])


def test_a_policys_prices_are_those_of_the_providers_that_it_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_prices(tmp_path, "{discounts: {openai: 10%}, overrides: {mine: {input: $1/1M, output: $2/1M}}}")
    out, _ = said(capsys, "--config", config)
    assert {line.split()[0] for line in out.splitlines()[3:]} == {"openai"}
    assert "openai: 10% off the list price" in out
    assert any(line.split()[:3] == ["openai", "mine", "policy"] for line in out.splitlines())


def test_a_model_that_nobody_knows_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "gpt-4o", "nobody-knows", code=1)
    assert "gpt-4o" in out
    assert err.startswith("sluicegate: nobody knows the price of 'nobody-knows'")


def test_a_provider_that_nobody_knows_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert "openai" in said(capsys, "--provider", "opnai", code=2)[1]
    assert "needs --config" in said(capsys, "check", code=2)[1]


def test_check_tells_what_matches_nothing_and_what_was_used_without_a_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_prices(tmp_path, "{aliases: {prod: gpt-4oo}}")
    now_ms = SystemClock().now_ms()
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 1), a_call("r2", now_ms, 1, model="secret-1")], now_ms)
    out, _ = said(capsys, "check", "--config", config, code=1)
    alias, used = out.splitlines()
    assert alias.startswith("prices.aliases.prod: 'gpt-4oo' is no model of openai")
    assert used.startswith("secret-1 of openai was used lately")


def test_check_says_when_all_is_well_and_what_it_could_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = said(capsys, "check", "--config", with_prices(tmp_path, "{aliases: {prod: gpt-4o}}"))
    assert out == f"ok: 1 aliases, 0 overrides; {bundled().version}\n"
    assert err.startswith("what was used lately is not looked at: there is no ledger")


def test_compare_holds_the_table_against_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "compare")[0] == f"the same: {bundled().version}\n"


def test_compare_says_when_there_is_no_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "genai_prices" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert "not installed" in said(capsys, "compare", code=1)[1]
