"""`sluicegate diff` and its exit codes."""

import json
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.foresight.policies import TEXT


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "old.yaml").write_text(TEXT)
    (tmp_path / "new.yaml").write_text(
        TEXT.replace("default: 5/1m", "default: 8/1m").replace("max_output_tokens: 100", "max_output_tokens: 50")
    )
    return [str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]


def test_the_same_is_0_and_another_is_1(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", files[0], files[0]]) == 0
    assert "are the same in effect" in capsys.readouterr().out
    assert main(["diff", *files]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "limit per-user on trpc, api, ai",
        "  rate (trial, anonymous): 5/1m → 8/1m",
        "route ai",
        "  calls.max_output_tokens: 100 → 50",
    ]


def test_programs_read_json(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *files, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["changes"][0] == {
        "subject": "limit per-user",
        "what": "rate",
        "was": "5/1m",
        "now": "8/1m",
        "callers": "trial, anonymous",
        "routes": ["trpc", "api", "ai"],
    }


SWITCHED = """\
version: 1
upstreams: {app: {primary: ["http://127.0.0.1:3000"]}}
sentry: {dsn: "${SENTRY_DSN:-}", environment: production}
alerts:
  to:
    - slack: "${SLACK:-}"
    - email: {smtp: "${SMTP:-}", user: "${SMTP_USER:-}", password: "${SMTP_PASSWORD:-}", from: gw@example.com}
      to: [tenant]
routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]
"""


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("production", "staging", "sentry.environment: production → staging"),
        ("to: [tenant]", 'to: ["claim:email"]', "channels.email-1.to: tenant → claim:email"),
        ("${SMTP_USER:-}", "me", "channels.email-1.user: (not shown) → another (not shown)"),
        ("${SLACK:-}", "${TEAM:-}", "  alerts.to[0].slack: ${SLACK:-} → ${TEAM:-}"),
    ],
)
def test_what_a_variable_switches_off_here_is_compared_all_the_same(
    tmp_path: Path, was: str, now: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI has none of production's variables: changes of what they are for were the same in effect. What they hold
    cannot be compared, and that there are others is a difference."""
    for name in ("SENTRY_DSN", "SLACK", "SMTP", "SMTP_USER", "SMTP_PASSWORD", "TEAM"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "old.yaml").write_text(SWITCHED)
    (tmp_path / "new.yaml").write_text(SWITCHED.replace(was, now))
    assert main(["diff", str(tmp_path / "old.yaml"), str(tmp_path / "old.yaml")]) == 0
    assert "note: not set here, and taken as set: SENTRY_DSN, SLACK, SMTP, " in capsys.readouterr().out
    assert main(["diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]) == 1
    assert told in capsys.readouterr().out
    assert main(["diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "--json"]) == 1
    assert "SENTRY_DSN" in json.loads(capsys.readouterr().out)["taken_as_set"]


def test_a_wrong_call_is_2(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", files[0], "none.yaml"]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err
