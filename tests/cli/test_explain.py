"""`sluicegate explain`: what would happen to a request."""

import io
import json
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.e2e.gateway import token
from tests.e2e.policies import policy

KEY = "sg_a-key-of-somebody"

RULES = """
limits:
  per-user: {scope: user, rate: {enterprise: 500/1m, default: 100/1m}}
  in-flight: {scope: tenant, concurrent: 3}
  daily: {scope: tenant, kind: calendar, rate: 1000/day}
  paced: {scope: user, kind: smooth, rate: 60/1m, burst: 5, shadow: true}
routes:
  - {name: trpc, match: {path: "/trpc/**"}, upstream: app, limits: [per-user], weight: {batch: trpc, per_item: 2}}
  - {name: read, match: {path: "/read/**", methods: [GET]}, upstream: app, limits: [per-user], auth: none}
  - {name: api, match: {path: "/api/**"}, upstream: app, limits: [per-user, in-flight, daily, paced],
     rewrite: {strip: /api}}
"""
IDENTITY = f'keys: {{robot: {{sha256: "{sha256(KEY.encode()).hexdigest()}", tenant: initech, routes: [api]}}}}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(policy(3000, RULES, identity=IDENTITY))
    return path


def explained(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict:
    assert main(["explain", "--config", str(config), "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_token_is_verified_and_its_request_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, config, "--path", "/api/x?y=1", "--token", token(user="ada", tier="enterprise"))
    assert told["identity"] | {} == {
        "kind": "user",
        "tenant": "acme",
        "user": "ada",
        "issuer": "test-issuer",
        "tier": "enterprise",
        "key": None,
        "feature": None,
        "cost_centre": None,
    }
    assert told["route"]["name"] == "api"
    assert told["upstream"] == {"name": "app", "url": ["http://127.0.0.1:3000/x?y=1"]}
    meters = {meter["limit"]: meter for meter in told["meters"]}
    assert {
        name: (meter["kind"], meter["rate"], meter["takes"], meter["shadow"]) for name, meter in meters.items()
    } == {
        "per-user": ("window", "500 in 60 s", 1.0, False),
        "in-flight": ("concurrency", "3 at once", 1.0, False),
        "daily": ("calendar", "1000 a day", 1.0, False),
        "paced": ("smooth", "60 in 60 s, 5 at once", 1.0, True),
    }
    assert len({meter["key"] for meter in told["meters"]}) == 4


def test_a_token_from_standard_input_stays_out_of_the_shells_history(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(token(user="ada") + "\n"))
    assert explained(capsys, config, "--path", "/api/x", "--token", "-")["identity"]["user"] == "ada"


def test_claims_are_believed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = {"sub": "grace", "app_metadata": {"company_id": "globex", "subscription_tier": "unheard"}}
    told = explained(capsys, config, "--path", "/api/x", "--claims", json.dumps(claims))
    assert (told["identity"]["tenant"], told["identity"]["tier"]) == ("globex", "trial")
    assert told["meters"][0]["rate"] == "100 in 60 s"


def test_a_call_to_a_provider_is_told_with_what_it_may_spend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each budget in each period: whose it is, the whole of it, and what this caller may use up of that."""
    rules = """
limits:
  tokens: {scope: [tenant, model], unit: tokens, rate: {enterprise: 2_000_000/1m, default: 200_000/1m}, shadow: true}
budgets:
  all: {scope: global, daily: $1_000, monthly: $30_999.50, reserve: {enterprise: 30%}}
  user: {scope: [user, feature], weekly: $7.5, on_exceed: {downgrade: gpt-4o-mini}}
routes:
  - {name: ai, match: {path: "/ai/**"}, upstream: openai, rewrite: {strip: /ai}, limits: [tokens],
     budgets: [all, user], max_output_tokens: 4096, estimate: learnt}
"""
    path = tmp_path / "config.yaml"
    path.write_text(
        policy(
            3000,
            rules,
            upstreams='openai: {primary: ["https://api.openai.com"], dialect: openai}',
            identity=f'keys: {{robot: {{sha256: "{sha256(KEY.encode()).hexdigest()}", tenant: initech, user: r2,\n'
            "  tier: trial, may_act_for: [], feature: search}}",
        )
    )
    arguments = ["--path", "/ai/v1/chat/completions", "--model", "gpt-4o", "--header", f"x-api-key: {KEY}"]
    told = explained(capsys, path, *arguments, "--header", "Sluicegate-Feature: chat")
    assert (told["identity"]["feature"], told["identity"]["cost_centre"]) == ("chat", None)
    assert told["calls"] == {
        "dialect": "openai",
        "max_output_tokens": 4096,
        "most_output_tokens": None,
        "hold": "learnt, quantile 0.995",
        "unbounded": "refused",
        "on_disconnect": "drain",
    }
    shown = [[one[key] for key in ("budget", "scope", "amount", "usable", "on_exceed")] for one in told["budgets"]]
    assert shown == [
        ["all", "global", "$1,000 a day", "$700", "block"],
        ["all", "global", "$30,999.50 a month", "$21,699.65", "block"],
        ["user", "user: r2 feature:chat", "$7.50 a week", "$7.50", "downgrade to gpt-4o-mini"],
    ]
    (tokens,) = told["tokens"]
    assert (tokens["scope"], tokens["rate"], tokens["shadow"]) == (
        "tenant:initech model:gpt-4o",
        "200000 in 60 s",
        True,
    )
    assert len({one["key"] for one in (*told["budgets"], tokens)}) == 4
    assert (told["meters"], told["route"]["redis_down"]) == ([], "closed")


def test_a_batch_is_weighed_as_the_gateway_weighs_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It said what one call takes, whatever the batch held."""
    told = explained(capsys, config, "--path", "/trpc/a,b,c?batch=1", "--claims", '{"sub": "u"}')
    assert told["meters"][0]["takes"] == 6.0


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--path", "/api/x"], 401, "token_missing"),
        (["--path", "/api/x", "--token", "not.a.token"], 401, "token_invalid"),
        (["--path", "/api/x", "--token", token(exp=1)], 401, "token_expired"),
        (["--path", "/nowhere"], 404, "no_route"),
        (["--path", "/read/x", "--method", "post"], 405, "method_refused"),
        (["--path", "/api/a//b"], 400, "bad_target"),
        (["--path", "/trpc/x", "--header", f"x-api-key: {KEY}"], 403, "key_route_refused"),
        (["--path", "/api/x", "--claims", '{"sub": "u"}', "--header", "X-Tenant-ID: other"], 403, "tenant_refused"),
    ],
)
def test_a_refusal_is_told_with_its_reason(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, reason: str
) -> None:
    told = explained(capsys, config, *arguments)
    assert (told["refused"]["status"], told["refused"]["reason"]) == (status, reason)


def test_a_key_is_named_and_not_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, config, "--path", "/api/x", "--header", f"x-api-key: {KEY}")
    assert (told["identity"]["kind"], told["identity"]["key"]) == ("machine", "robot")
    assert KEY not in json.dumps(told)


def test_for_a_person_it_is_text(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(config), "--path", "/read/x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "policy",
        "identity",
        "route",
        "meters",
        "upstream",
    ]


@pytest.mark.parametrize("arguments", [["--claims", "[1]"], ["--claims", "{"], ["--header", "no colon"]])
def test_a_wrong_call_is_said_to_be(config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["explain", "--config", str(config), "--path", "/api/x", *arguments]) == 2
    assert capsys.readouterr().err.startswith("sluicegate: ")


# --- the whole policy ---


def test_the_effective_policy_is_printed_with_origins_or_without(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As YAML that is a policy, and as JSON."""
    over = config.with_name("prod.yaml")
    over.write_text("limits:\n  daily:\n    rate: 7/day\n")
    call = ["explain", "--config", str(config), "--overlay", str(over), "--effective"]
    assert main(call) == 0
    bare = capsys.readouterr().out
    assert bare.startswith("# policy ")
    assert bare.splitlines()[0].endswith(f": {config}, {over}")
    config.with_name("whole.yaml").write_text(bare.replace("<hidden>", "s" * 32))
    assert main(["check", str(config.with_name("whole.yaml"))]) == 0
    capsys.readouterr()
    assert main([*call, "--origin"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("#")[1].strip() for line in lines if line.strip().startswith("rate: 7/day")] == [f"{over}:3"]
    assert any(line.startswith("  keepalive: 75s ") and line.endswith("# default") for line in lines)
    assert main([*call, "--origin", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(config), str(over)]
    assert told["effective"]["limits"]["daily"]["rate"] == "7/day"
    assert told["origins"]["limits.daily.rate"] == f"{over}:3"
    assert told["origins"]["listen.keepalive"] == "default"
    assert main([*call, "--json"]) == 0
    assert "origins" not in json.loads(capsys.readouterr().out)


def test_what_holds_no_secret_is_a_policy_as_it_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Redis without a login is nothing to hide: masked, the policy of deploy/compose was refused by check."""
    bare = tmp_path / "config.yaml"
    bare.write_text(
        "version: 1\nredis: {meters: 'redis://redis:6379/0', cache: 'redis://cache:6379/0'}\n"
        "upstreams: {app: {primary: ['http://127.0.0.1:3000']}}\n"
        "routes: [{name: app, match: {path: '/**'}, upstream: app, auth: none}]\n"
    )
    assert main(["explain", "--config", str(bare), "--effective"]) == 0
    told = capsys.readouterr().out
    assert "masked" not in told
    whole = tmp_path / "whole.yaml"
    whole.write_text(told)
    assert main(["check", str(whole)]) == 0
    capsys.readouterr()
    assert main(["diff", str(bare), str(whole)]) == 0


def test_what_is_masked_is_said_to_be(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(config), "--effective"]) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[1]
        .startswith("# masked, for they stand in the files: identity.issuers[0].secrets")
    )
    assert main(["explain", "--config", str(config), "--effective", "--json"]) == 0
    assert "identity.issuers[0].secrets[0]" in json.loads(capsys.readouterr().out)["masked"]


def test_the_effective_policy_shows_variables_as_they_are_written(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", "hush" * 8)
    config.write_text(config.read_text().replace("s" * 32, "${THE_SECRET}"))
    assert main(["explain", "--config", str(config), "--effective", "--origin"]) == 0
    out = capsys.readouterr().out
    assert "secrets: ['${THE_SECRET}']" in out
    assert "hush" not in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--effective", "--path", "/"], "not allowed with argument"),
        ([], "one of the arguments --path --effective is required"),
    ],
)
def test_either_a_request_or_the_policy_is_explained(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--config", str(config), *arguments])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


def test_origins_are_of_the_effective_policy(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(config), "--path", "/", "--origin"]) == 2
    assert capsys.readouterr().err == "sluicegate: --origin goes with --effective\n"
