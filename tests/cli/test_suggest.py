"""`sluicegate suggest` and its exit codes."""

from pathlib import Path

import pytest
import yaml

from proxy.cli.main import main
from tests.foresight.lines import line
from tests.foresight.policies import TEXT
from tests.foresight.traffic import lines_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(TEXT)
    (tmp_path / "a.log").write_bytes(b"".join(lines_of(4, users=9, sessions=3, seed=1)))
    return tmp_path / "a.log"


def checked(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What was suggested, once `check` accepts it."""
    out = capsys.readouterr().out
    file.write_text(out)
    assert main(["check", str(file)]) == 0
    capsys.readouterr()
    return out


def test_without_a_policy_one_is_made(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suggest", str(log), "--percentile", "99", "--window", "5m"]) == 0
    out = checked(log.with_name("s.yaml"), capsys)
    policy = yaml.safe_load(out)
    assert policy["tiers"] == ["enterprise", "growth", "trial", "anonymous"]
    rates = policy["limits"]["per-user"]["rate"]
    assert all(rate.endswith("/5m") for rate in rates.values())
    assert int(rates["enterprise"].split("/")[0]) > int(rates["trial"].split("/")[0])
    assert out.startswith("# Limits at the 99th percentile of each tier's use on 4 days.\n")


def test_a_policys_own_limits_get_other_rates(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suggest", str(log), "--config", str(log.with_name("config.yaml")), "--backtest", "1"]) == 0
    out = checked(log.with_name("s.yaml"), capsys)
    comments = [text for text in out.splitlines() if text.startswith("#")]
    assert "later: requests" in comments[1]
    assert any(text.startswith("# On 1 later days it refuses ") for text in comments)
    assert "# As they were, since requests alone do not tell their use: paced, ai-tokens." in comments
    unchanged = [text for text in TEXT.splitlines() if "rate:" not in text and "concurrent:" not in text]
    assert set(unchanged) <= set(out.splitlines())


def test_too_few_are_no_ground_for_a_limit(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One request of an enterprise caller was made a limit of 1/1m for all of them."""
    log.write_bytes(
        log.read_bytes() + line(0, tier="enterprise", user="rare", tenant="rare").replace(b"app.ex", b"a.ex")
    )
    config = log.with_name("config.yaml")
    config.write_text(TEXT.replace("trial, anonymous]", "growth, trial, anonymous]"))
    log.write_bytes(b"".join(text for text in log.read_bytes().splitlines(True) if b'"enterprise-' not in text))
    assert main(["suggest", str(log), "--config", str(config)]) == 0
    out = checked(log.with_name("s.yaml"), capsys)
    assert "# As they were, since it takes 100 requests of 3 callers of a tier on the days that are fitted:" in out
    assert "#   per-user for enterprise: 1 requests of 1 caller" in out
    assert yaml.safe_load(out)["limits"]["per-user"]["rate"]["enterprise"] == "20/1m"


@pytest.mark.parametrize("lines", [3, 99])
def test_a_log_of_a_few_requests_is_2(log: Path, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(b"".join(line(n, user=f"u{n}") for n in range(lines)))
    assert main(["suggest", str(log)]) == 2
    said = capsys.readouterr()
    assert "nothing to suggest by: it takes 100 requests of 3 callers" in said.err
    assert said.out == ""


def test_tiers_that_a_policy_cannot_have_are_taken_as_unknown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(
        b"".join(line(n, user=f"u{n % 5}", tier=tier) for n in range(150) for tier in ("on", "gold plan", "2026"))
    )
    assert main(["suggest", str(log)]) == 0
    out = checked(log.with_name("s.yaml"), capsys)
    assert yaml.safe_load(out)["tiers"] == ["2026", "on", "anonymous"]
    assert "# note: the policy has no tier gold plan: taken as on" in out


def test_a_policy_in_several_files_gets_an_overlay(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in flight has no rate: it failed for every such policy, and blamed a file that nobody had written."""
    limits, rest = tmp_path / "limits.yaml", tmp_path / "whole.yaml"
    begin, end = TEXT.index("limits:"), TEXT.index("budgets:")
    limits.write_text(TEXT[begin:end])
    rest.write_text(f"include: [limits.yaml]\n{TEXT[:begin]}{TEXT[end:]}")
    log.write_bytes(b"".join(line(n, path="/api/upload", method="POST", ms=9000, user=f"u{n % 9}") for n in range(300)))
    assert main(["suggest", str(log), "--config", str(rest)]) == 0
    (tmp_path / "suggested.yaml").write_text(text := capsys.readouterr().out)
    assert "  in-flight: {concurrent: {" in text
    assert main(["check", str(rest), "--overlay", str(tmp_path / "suggested.yaml")]) == 0


def test_ci_may_bound_what_the_backtest_misses_by(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["suggest", str(log), "--percentile", "70", "--backtest", "2"]
    assert main([*arguments, "--within", "100%"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*arguments, "--within", "0.0001%"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert any(text.startswith("sluicegate: per-user for trial: ") for text in said)
    assert said[-1].startswith("sluicegate: in total: ")


def test_refusals_that_were_predicted_and_never_came_are_a_miss(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three days of bursts, then one without: 300 predicted and none found was no miss at all."""
    bursts = [
        line(day * 86_400 + n * 600 + k / 10, user=f"u{n % 9}") for day in range(3) for n in range(50) for k in range(9)
    ]
    calm = [line(3 * 86_400 + n * 60) for n in range(400)]
    log.write_bytes(b"".join(bursts + calm))
    arguments = ["suggest", str(log), "--percentile", "40", "--backtest", "1"]
    assert main([*arguments, "--within", "5%"]) == 1
    said = capsys.readouterr()
    assert "On 1 later days it refuses 0; predicted were " in said.out
    assert ", off by all." in said.out
    assert "which is more than chance explains" in said.err


def test_a_miss_cannot_be_asked_for_without_a_backtest(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suggest", str(log), "--within", "5%"]) == 2
    assert "say --backtest DAYS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-"], "standard input will not do"),
        (["a.log", "--backtest", "4"], "leaves none to fit"),
        (["none.log"], "No such file"),
        (["config.yaml"], "lines tells of a request that limits could count"),
        (["a.log", "--config", "none.yaml"], "No such file"),
        (["a.log", "--config", "a.log"], "not YAML"),
        (["a.log", "--window", "5"], "a unit is missing"),
    ],
)
def test_a_wrong_call_is_2(
    log: Path, arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(log.parent)
    assert main(["suggest", *arguments]) == 2
    assert why in capsys.readouterr().err
