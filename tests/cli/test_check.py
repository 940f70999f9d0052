"""`sluicegate check` and its exit codes."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.cli.main import main
from tests.e2e.policies import policy

ROOT = Path(__file__).parents[2]
GOOD = policy(1, 'routes: [{name: app, match: {path: "/**"}, upstream: app}]')


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("option", [(), ("--config",)])
def test_a_good_file_is_said_to_be(config: Path, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Named as every other command wants it, too."""
    config.write_text(GOOD)
    assert main(["check", *option, str(config)]) == 0
    said = capsys.readouterr()
    assert ": ok, policy " in said.out
    assert said.err == ""


def test_every_error_is_told_at_once_with_file_line_and_path(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(
        "version: 1\n"
        "upstreams: {app: {primary: [http://a]}}\n"
        "limits: {slow: {scope: user, rate: 5/1z}}\n"
        "unheard_of: 1\n"
        "routes: [{name: a, match: {path: /**}, upstream: appp, auth: none, limits: []}]\n"
    )
    assert main(["check", str(config)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"{config}: 3 errors"
    assert any(line.startswith(f"{config}:3: limits.slow.rate: ") and "unknown unit 'z'" in line for line in lines)
    assert any(line.startswith(f"{config}:4: ") and "unheard_of" in line for line in lines)
    assert any(line.startswith(f"{config}:5: routes[0].upstream: ") and "'app'" in line for line in lines)


def test_a_route_that_cannot_be_reached_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    routes = """
routes:
  - {name: all, match: {path: "/**"}, upstream: app}
  - {name: late, match: {path: "/late"}, upstream: app}
"""
    config.write_text(policy(1, routes))
    assert main(["check", str(config)]) == 0
    assert "warning: " in (said := capsys.readouterr().err)
    assert "late" in said


def test_budgets_that_do_not_add_up_are_warnings(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against each other, and against the price of a call."""
    budgets = """
budgets:
  global: {scope: global, daily: $1_000, monthly: $25_000}
  user: {scope: user, daily: {enterprise: $100, default: $0.000001}}
routes:
  - {name: ai, match: {path: "/ai/**"}, upstream: openai, budgets: [global, user], max_output_tokens: 4096}
"""
    config.write_text(policy(1, budgets, upstreams='openai: {primary: ["https://api.openai.com"], dialect: openai}'))
    assert main(["check", str(config)]) == 0
    said = capsys.readouterr()
    assert "31 days × $1,000 is $31,000, against $25,000 a month" in said.err  # noqa: RUF001
    line = 1 + next(n for n, text in enumerate(config.read_text().splitlines()) if "{name: ai" in text)
    place = f"warning: {config}:{line}: routes[0]: "
    assert f"{place}for growth_team, trial no call with 4,096 tokens of output fits" in said.err
    assert "3 budgets" in said.out


def test_a_file_that_is_not_there_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(config)]) == 1
    assert "No such file" in capsys.readouterr().err


def test_missing_secrets_are_errors_unless_they_may_be(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_SECRET", raising=False)
    config.write_text(GOOD.replace("s" * 32, "${A_SECRET}"))
    assert main(["check", str(config)]) == 1
    assert "'A_SECRET' is not set" in capsys.readouterr().err
    assert main(["check", "--allow-missing-secrets", str(config)]) == 0


def test_the_example_is_good_and_its_schema_accepts_it(capsys: pytest.CaptureFixture[str]) -> None:
    example = ROOT / "config.example.yaml"
    assert main(["check", str(example), "--allow-missing-secrets"]) == 0
    capsys.readouterr()
    assert main(["check", "--json-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    written = json.loads(json.dumps(yaml.safe_load(example.read_text()), default=str))  # editors know no YAML dates
    jsonschema.validate(written, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "unheard_of": 1}, schema)
