"""The whole policy, each value with where it is written."""

from pathlib import Path

import pytest

from proxy.cli.effectivelines import yaml_text
from proxy.policy.compiler import compile_text, load
from proxy.policy.effective import HIDDEN, effective, leaves, masked, plain
from proxy.policy.problems import shown

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "config.example.yaml"
SOUND = [EXAMPLE, *sorted((HERE / "warned").glob("*.yaml"))]


def origins(loaded) -> dict[str, str]:
    tree = effective(loaded.document)
    return {shown(path): str(leaf.origin or "default") for path, leaf in leaves(tree)}


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_the_effective_policy_is_the_policy(path):
    """Printed and read again it is the same in every value, defaults and variables too, and has the same version."""
    # A secret that stands in the file would not be shown.
    written = path.read_text("utf-8").replace("0123456789abcdef0123456789abcdef", "${SECRET}")
    loaded = compile_text(written, path.name, {}, base=path.parent, allow_missing_secrets=True)
    text = yaml_text(effective(loaded.document), origins=True)
    again = compile_text(text, path.name, {}, base=path.parent, allow_missing_secrets=True)
    assert again.policy == loaded.policy


def test_what_is_printed_of_the_effective_policy_is_complete(loaded):
    """Nothing is a default the second time."""
    once = loaded("limits: {a: {scope: ip, rate: 1/1m}}\nalerts: {}\nsentry: {}\n")
    text = yaml_text(effective(once.document), origins=False)
    again = compile_text(text, "config.yaml", {})
    assert plain(effective(again.document)) == plain(effective(once.document))
    assert {str(leaf.origin or "") for _, leaf in leaves(effective(again.document))} & {""} == set()


def test_each_value_has_its_file_and_line_or_is_a_default(tmp_path):
    """Of all files that say something, the one that has the last word."""
    (tmp_path / "config.yaml").write_text(
        "version: 1\nupstreams: {app: {primary: ['http://a']}}\ninclude: [sub/*.yaml]\nx-free: 1\n"
        "defaults: {auth: none}\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/limits.yaml").write_text("limits:\n  a:\n    scope: ip\n    rate: {gold: 5/1m, default: 1/1m}\n")
    (tmp_path / "sub/routes.yaml").write_text("routes:\n- {name: app, match: {}, upstream: app, limits: [a]}\n")
    (tmp_path / "prod.yaml").write_text("tiers: [gold, anonymous]\n\nlimits: {a: {rate: {gold: 9/1m}}}\n")
    loaded = load(tmp_path / "config.yaml", {}, overlays=[tmp_path / "prod.yaml"])
    found = {path: place.replace(f"{tmp_path}/", "") for path, place in origins(loaded).items()}
    assert found["upstreams.app.primary[0]"] == "config.yaml:2"
    assert found["limits.a.scope"] == "sub/limits.yaml:3"
    assert found["limits.a.rate.gold"] == "prod.yaml:3"
    assert found["limits.a.rate.default"] == "sub/limits.yaml:4"
    assert found["routes[0].limits[0]"] == "sub/routes.yaml:2"
    assert found["tiers[1]"] == "prod.yaml:1"
    assert found["routes[0].match.path"] == "default"
    assert found["listen.keepalive"] == "default"
    assert not any(path.startswith(("include", "x-")) for path in found)


def test_what_is_nothing_is_left_out(loaded):
    """An empty list that somebody wrote is not."""
    tree = plain(effective(loaded("ip: {deny: []}\nredis: {}\n").document))
    assert tree["ip"] == {"deny": []}
    assert tree["redis"]["timeout"] == "250ms"
    assert "maintenance" not in tree
    assert "tenants" not in tree
    assert "token" not in tree["admin"]


def test_no_secret_is_shown(loaded):
    """Neither what a variable brought, whatever it is put into, nor what stands in the file."""
    env = {"A": "hush-hush-hush-hush", "B": "hush.example", "N": "7"}
    text = (
        "admin: {token: '${A}'}\nredis: {meters: 'redis://:hush@r1/0', cache: 'redis://${B}:${A}@r2'}\n"
        "identity: {issuers: [{issuer: '${B}', secrets: [hush-0123456789abcdef0123456789abcdef, '${A}${A}']}]}\n"
        "alerts: {to: [{slack: 'https://hooks.slack.com/services/hush'}]}\nlisten: {max_fields: '${N}0'}\n"
        "sentry: {dsn: 'https://hush@sentry.example/7'}\nmetrics: {tenants: ['$${A}']}\n"
    )
    compiled = loaded(text, env)
    tree = effective(compiled.document)
    assert "hush" not in yaml_text(tree, origins=True)
    found = plain(tree)
    assert found["admin"]["token"] == "${A}"
    assert found["redis"]["meters"] == "redis://…@r1/0"
    assert found["redis"]["cache"] == "redis://${B}:${A}@r2"
    assert found["identity"]["issuers"][0]["secrets"] == [HIDDEN, "${A}${A}"]
    assert found["alerts"]["to"][0]["slack"] == "https://hooks.slack.com/…"
    assert found["sentry"]["dsn"] == "https://…@sentry.example/7"
    assert found["listen"]["max_fields"] == "${N}0"
    assert found["metrics"]["tenants"] == ["$${A}"]
    assert [path for path, leaf in leaves(tree) if leaf.masked] == [
        ("redis", "meters"),
        ("identity", "issuers", 0, "secrets", 0),
        ("alerts", "to", 0, "slack"),
        ("sentry", "dsn"),
    ]


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("hush", HIDDEN),
        ("redis://host:6379", "redis://host:6379"),
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("redis://user:hush@host:6379/0?x=hush", "redis://…@host:6379/0?x=…"),
        ("redis://host/0?hush", "redis://host/0?…"),
        ("redis+sentinel://:hush@a:1,b:2/mymaster/0", "redis+sentinel://…@a:1,b:2/mymaster/0"),
        ("https://host/services/hush", "https://host/…"),
        ("https://hush@sentry.example/7", "https://…@sentry.example/7"),
        ("smtps://mail:465", "smtps://mail:465"),
        ("redis://:hush/hush@host", HIDDEN),
        ("https://host/path/@hush", HIDDEN),
        ("postgresql://u:hush@db/ledger", "postgresql://…@db/ledger"),
        (
            "postgresql://db/ledger?sslmode=require&password=hush&db=1",
            "postgresql://db/ledger?sslmode=require&password=…&db=1",
        ),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("sqlite:////var/lib/ledger.db", "sqlite:////var/lib/ledger.db"),
        ("://hush", HIDDEN),
    ],
)
def test_of_a_secret_that_is_a_url_its_login_is_masked(secret, told):
    """Where a password may reach into what follows, nothing is."""
    assert masked(secret) == told
