"""The whole way: a file, its surroundings, one frozen policy."""

import dataclasses
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from proxy.core.units import NANOS
from proxy.policy.compiler import compile_text, default_data_dir, defaults_for, load
from proxy.policy.model import (
    Address,
    AuthMode,
    HostMode,
    LegacyReset,
    MeterKind,
    Period,
    Rate,
    RedisDown,
    RouteMode,
    Scope,
    ScopeKind,
)
from proxy.policy.problems import PolicyError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def example():
    return load(EXAMPLE, {}, allow_missing_secrets=True)


def test_the_example_warns_of_what_it_says_itself(example):
    """It teaches, so nothing in it may be odd, but for a month that every day together would overspend."""
    assert [(problem.path, problem.message) for problem in example.warnings] == [
        ("budgets.global.daily", "31 days × $1,000 is $31,000, against $25,000 a month")  # noqa: RUF001
    ]
    assert example.files == (EXAMPLE,)


def test_the_example_says_what_it_means(example):
    """A sample of each kind of key."""
    policy = example.policy
    assert policy.listen.address == Address("0.0.0.0", 8080)
    assert policy.listen.workers == 0
    assert policy.tiers[-1] == "anonymous"
    assert len(policy.tiers) == 7
    assert policy.answers.legacy_reset is LegacyReset.OFF
    assert policy.maintenance is None
    limits = policy.limits
    assert limits["per-user"].rates["enterprise"] == Rate(3_000_000, 60_000)
    assert limits["per-user"].rates["anonymous"] == Rate(600_000, 60_000)
    assert limits["per-user"].min_amount == 100
    assert limits["per-day"].rates["trial"] == Rate(10_000_000, period=Period.DAY)
    assert limits["per-day"].time_zone == "Europe/Zurich"
    assert limits["uploads"].kind is MeterKind.SMOOTH
    assert limits["uploads"].rates["trial"] == Rate(10_000, 60_000, 3_000)
    assert limits["uploads"].shadow
    assert limits["ai-inflight"].kind is MeterKind.CONCURRENCY
    assert limits["ai-inflight"].rates["enterprise_plus"].capacity == 50_000
    rate, ends_ms = limits["per-tenant"].tenants["acme"]
    assert rate == Rate(20_000_000, 60_000)
    assert ends_ms == 1_798_761_600_000  # 2027-01-01T00:00:00Z: the end of the last day of 2026
    routes = {route.name: route for route in policy.routes}
    assert routes["static"].limits == ()
    assert [limit.name for limit in routes["uploads"].limits] == ["per-ip", "per-user", "uploads"]
    assert routes["prefetch"].weight == 100
    assert routes["ai-openai"].redis_down is RedisDown.CLOSED
    assert routes["ai-openai"].auth is AuthMode.REQUIRED
    assert routes["ai-openai"].strip_prefix == "/_ai/openai"
    assert policy.upstreams["openai"].host is HostMode.UPSTREAM
    assert policy.upstreams["app"].host is HostMode.PRESERVE
    assert policy.identity.claims.member_of == ("app_metadata", "company_ids")
    assert policy.identity.keys[0].may_act_for == ("*",)
    assert policy.identity.keys[0].feature == "assistant"
    assert policy.identity.claims.cost_centre == ("app_metadata", "cost_centre")


def test_the_example_says_what_may_be_spent(example):
    """A thousand a day and twenty-five thousand a month of all together, and each tier's own day."""
    policy = example.policy
    spending = next(route.spending for route in policy.routes if route.name == "ai-openai")
    assert [(one.name, one.period) for one in spending.budgets] == [
        ("global", Period.DAY),
        ("global", Period.MONTH),
        ("tenant", Period.MONTH),
        ("user", Period.DAY),
    ]
    day, month, tenant, user = spending.budgets
    assert {amount // NANOS for amount in day.amounts.values()} == {1_000}
    assert {amount // NANOS for amount in month.amounts.values()} == {25_000}
    assert day.capacity("enterprise", 1_000 * NANOS) == 700 * NANOS
    assert day.capacity("enterprise_plus", 1_000 * NANOS) == 1_000 * NANOS
    assert tenant.tenants["acme"][0] == 900 * NANOS
    assert [user.amounts[tier] / NANOS for tier in policy.tiers] == [100, 50, 20, 10, 5, 0.5, 0.5]
    assert [limit.name for limit in spending.tokens] == ["ai-tokens"]
    assert spending.max_output_tokens == 4096
    assert policy.ledger.url == "sqlite:////var/lib/sluicegate/ledger.db"
    assert policy.prices.factors == {"openai": Fraction(85, 100)}
    assert [channel.name for channel in policy.alerts.channels] == []  # no address is known here
    assert policy.alerts.contacts == {"acme": ("ops@acme.example",)}


def test_a_policy_travels_to_workers_whole(example):
    """Pickled and back, it is the same."""
    assert pickle.loads(pickle.dumps(example.policy)) == example.policy


def test_a_policy_cannot_be_changed(example):
    """A request keeps the one it began with."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        example.policy.version = "x"


def test_a_policy_does_not_show_its_secrets(policy):
    """Whoever prints or logs one tells nothing."""
    compiled = policy(
        "redis: {meters: 'redis://:hush-redis@host'}\n"
        "admin: {token: hush-hush-hush-admin}\n"
        "identity: {issuers: [{issuer: a, secrets: [hush-0123456789abcdef0123456789abcdef]}]}\n"
    )
    assert "hush" not in repr(compiled)


def test_workers_import_neither_pydantic_nor_yaml():
    """They are lean: a policy comes to them pickled."""
    code = (
        "import sys, proxy.policy.model, proxy.policy.matching, proxy.policy.target\n"
        "import proxy.policy.spending\n"
        "heavy = {'pydantic', 'pydantic_core', 'yaml'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_version_follows_the_content(policy):
    """Comments and order of the environment don't matter; a number and a secret do."""
    text = "listen: {max_fields: %s}\nadmin: {token: '${T}'}\n"
    env = {"T": "a" * 16}
    first = policy(text % 50, env).version
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert policy("# a comment\n" + text % 50, env).version == first
    assert policy(text % 51, env).version != first
    assert policy(text % 50, {"T": "b" * 16}).version != first
    amounts = [
        policy(f"budgets: {{a: {{scope: global, daily: {amount}}}}}\n").version for amount in ("$1", "$1.0", "$2")
    ]
    assert amounts[0] == amounts[1] != amounts[2]


def test_defaults_are_an_experts(policy):
    """What is not said is bounded and safe."""
    compiled = policy()
    listen = compiled.listen
    assert listen.address == Address("127.0.0.1", 8080)
    assert (listen.max_uri, listen.max_header, listen.max_fields) == (8192, 16384, 100)
    assert (listen.header_timeout_ms, listen.keepalive_ms, listen.drain_ms) == (10_000, 75_000, 30_000)
    assert (listen.body_min_rate, listen.body_grace_ms) == (500, 20_000)
    assert compiled.metrics == Address("127.0.0.1", 9902)
    assert compiled.admin is not None
    assert compiled.admin.address == Address("127.0.0.1", 9901)
    assert compiled.redis.meters == "embedded"
    assert compiled.redis.timeout_ms == 250
    assert compiled.identity.attempts_per_minute == 600
    (route,) = compiled.routes
    assert route.max_body == 10 * 2**20
    assert route.redis_down is RedisDown.OPEN
    assert route.mode is RouteMode.ENFORCE
    timeouts = compiled.upstreams["app"].timeouts
    assert (timeouts.connect_ms, timeouts.first_byte_ms, timeouts.idle_ms) == (2_000, 30_000, 60_000)


def test_listeners_can_be_off(policy):
    """YAML's bool and the word alike."""
    assert policy("metrics: off\nadmin: 'off'\n").metrics is None
    assert policy("metrics: off\nadmin: 'off'\n").admin is None


def test_no_file_at_all_protects_an_app():
    """On loopback, 600 a minute from one address, the app's own tokens untouched."""
    policy = defaults_for("http://127.0.0.1:3000", env={"HOME": "/home/a"})
    assert policy.listen.address.host == "127.0.0.1"
    (route,) = policy.routes
    assert route.match.path == "/**"
    assert route.auth is AuthMode.NONE
    (limit,) = route.limits
    assert limit.scopes == (Scope(ScopeKind.IP),)
    assert set(limit.rates.values()) == {Rate(600_000, 60_000)}
    assert policy.data_dir == "/home/a/.local/state/sluicegate"
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_no_file_at_all_takes_what_the_command_line_says():
    """And tells what is wrong with it, without a line."""
    policy = defaults_for("https://a/b/", listen="0.0.0.0:80", data_dir="/x", redis="redis://h")
    assert policy.upstreams["app"].primary[0].base_path == "/b"
    assert (policy.listen.address.port, policy.data_dir, policy.redis.meters) == (80, "/x", "redis://h")
    with pytest.raises(PolicyError) as error:
        defaults_for("localhost:3000")
    assert str(error.value).startswith("(defaults): upstreams.app.primary[0]: must be a URL")


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/root"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/root"}, "/state/sluicegate"),
        ({"HOME": "/home/ops"}, "/home/ops/.local/state/sluicegate"),
        ({}, "/var/lib/sluicegate"),
    ],
)
def test_the_data_directory_is_where_the_system_wants_it(env, folder):
    """systemd's, XDG's, or a daemon's."""
    assert default_data_dir(env) == folder


def test_missing_secrets_are_allowed_where_asked():
    """For a check in CI: secrets, digests, URLs, addresses and durations alike."""
    text = """
version: 1
listen: {address: "${LISTEN}", header_timeout: "${T}", workers: "${W}", trusted_proxies: ["${NET}"]}
admin: {token: "${TOKEN}"}
redis: {meters: "redis://:${PASSWORD}@host"}
identity:
  issuers:
    - {issuer: "${ISSUER}", jwks: "${JWKS}", secrets: ["${S1}", "${file:/nowhere/s2}"], algorithms: [HS512, RS256]}
  keys: {a: {sha256: "${A}"}, b: {sha256: {hash: "${B}", expires: "${END}"}}}
  keys_file: not-there.yaml
upstreams: {app: {primary: ["${APP}"], headers: {Authorization: "Bearer ${KEY}"}}, b: {primary: ["http://${HOST}:3000"]}}
routes: [{name: app, match: {path: "/a"}, upstream: app}, {name: b, match: {}, upstream: b, max_body: "${MAX}"}]
"""
    policy = compile_text(text, "config.yaml", {}, base=Path("/nowhere"), allow_missing_secrets=True).policy
    assert len(policy.identity.keys) == 2
    with pytest.raises(PolicyError) as error:
        compile_text(text, "config.yaml", {}, base=Path("/nowhere"))
    assert len(error.value.problems) == 18


def test_numbers_and_words_may_come_from_variables(policy):
    """A variable is text; each kind of value reads it."""
    env = {"N": "2_0", "D": "5s", "OFF": "off", "YES": "true", "DAY": "2026-12-31"}
    compiled = policy(
        "listen: {max_fields: '${N}', drain: '${D}'}\nmaintenance: ${OFF}\n"
        "limits: {a: {scope: ip, rate: '${N}/1m', shadow: '${YES}'}}\n"
        "tenants: {acme: {limits: {a: '${N}/1m'}, expires: '${DAY}'}}\n",
        env,
    )
    assert compiled.listen.max_fields == 20
    assert compiled.listen.drain_ms == 5_000
    assert compiled.maintenance is None
    assert compiled.limits["a"].shadow
    assert compiled.limits["a"].tenants["acme"][1] == 1_798_761_600_000


def test_empty_lists_that_may_be_written_open_nothing(policy):
    """Nobody is trusted, nobody may be named, no route is open; `ip.allow` alone is the absence of a rule."""
    compiled = policy(
        "listen: {trusted_proxies: []}\nip: {allow: [], deny: []}\nmaintenance: {allow_ips: []}\n"
        "cors: {origins: ['*'], methods: [], expose: []}\n"
        "identity:\n"
        "  issuers: [{issuer: a, jwks: 'https://a', tenants: []}]\n"
        f"  keys: {{k: {{sha256: {'a' * 64}, may_act_for: [], routes: []}}}}\n"
    )
    (key,), (issuer,) = compiled.identity.keys, compiled.identity.issuers
    assert (key.may_act_for, key.routes, issuer.tenants) == ((), (), ())
    assert compiled.listen.trusted_proxies == compiled.maintenance.allow == compiled.ip.allow == ()
    assert (compiled.routes[0].cors.methods, compiled.routes[0].cors.expose) == ((), ())


def test_free_keys_are_homes_for_anchors(policy):
    """x- keys are looked at by nobody."""
    compiled = policy("x-any: [1, {a: }]\nx-rates: &rates {default: 5/1m}\nlimits: {a: {scope: ip, rate: *rates}}\n")
    assert compiled.limits["a"].rates["anonymous"] == Rate(5_000, 60_000)


# --- files -------------------------------------------------------------------------------------------------------


def test_named_files_are_beside_the_policy_and_are_told(tmp_path):
    """Each is watched: a change in one asks for a reload."""
    (tmp_path / "sub").mkdir()
    for name in ("jwks.json", "ca.pem", "token"):
        (tmp_path / "sub" / name).write_text("x" * 16)
    (tmp_path / "keys.yaml").write_text("ci: {sha256: '" + "a" * 64 + "', revoked: false}\n")
    (tmp_path / "config.yaml").write_text(
        "version: 1\ndata_dir: data\nadmin: {token: '${file:sub/token}'}\n"
        "identity: {issuers: [{issuer: a, jwks_file: sub/jwks.json}], keys_file: keys.yaml}\n"
        "upstreams: {app: {primary: ['https://a'], ca_file: sub/ca.pem}}\n"
        "routes: [{name: app, match: {}, upstream: app}]\n"
    )
    loaded = load(tmp_path / "config.yaml", {})
    names = ["config.yaml", "sub/token", "sub/ca.pem", "keys.yaml", "sub/jwks.json"]
    assert loaded.files == tuple(tmp_path / name for name in names)
    assert loaded.policy.identity.issuers[0].jwks_file == str(tmp_path / "sub/jwks.json")
    assert loaded.policy.upstreams["app"].ca_file == str(tmp_path / "sub/ca.pem")
    assert loaded.policy.data_dir == str(tmp_path / "data")
    assert [key.name for key in loaded.policy.identity.keys] == ["ci"]


def test_files_that_are_not_there_are_told_too(loaded, tmp_path):
    """They may come, and a refused policy be mended by it."""
    (tmp_path / "a").write_text("x" * 16)
    text = "admin: {token: '${file:a}'}\nsentry: {dsn: '${file:/nowhere/b}'}\ninclude: ['*.part.yaml']\n"
    taken = loaded(text, allow_missing_secrets=True)
    assert (taken.files, taken.globs) == ((tmp_path / "a", Path("/nowhere/b")), (tmp_path / "*.part.yaml",))
    with pytest.raises(PolicyError) as error:
        loaded(text)
    assert (error.value.files, error.value.globs) == (taken.files, taken.globs)


def test_what_is_wrong_in_the_keys_file_is_told_with_its_lines(tmp_path):
    """After the policy's own faults, each with its file."""
    (tmp_path / "keys.yaml").write_text(
        f"twin: {{sha256: {'a' * 64}}}\ninline: {{sha256: {'b' * 64}}}\n"
        "odd: {sha256: nope, rutes: [app]}\nlost:\n  sha256: '" + "c" * 64 + "'\n  tier: gold\n  routes: [ap]\n"
    )
    (tmp_path / "config.yaml").write_text(
        f"version: 1\nidentity: {{keys: {{inline: {{sha256: {'a' * 64}}}}}, keys_file: keys.yaml}}\n"
        "listen: {workers: some}\nupstreams: {app: {primary: ['https://a']}}\n"
        "routes: [{name: app, match: {}, upstream: app}]\n"
    )
    with pytest.raises(PolicyError) as error:
        load(tmp_path / "config.yaml", {})
    assert [str(problem).replace(f"{tmp_path}/", "") for problem in error.value.problems] == [
        "config.yaml:3: listen.workers: 'some' is not a number from 1 to 256, or auto",
        "keys.yaml:1: twin.sha256: is the hash of the key 'inline', too",
        "keys.yaml:2: inline: the policy file has a key of this name, too",
        "keys.yaml:3: odd.sha256: must be the key's SHA-256 in 64 hexadecimal digits, never the key itself",
        "keys.yaml:3: odd.rutes: unknown key 'rutes'; did you mean 'routes'?",
        "keys.yaml:6: lost.tier: unknown tier 'gold'; one of anonymous, standard",
        "keys.yaml:7: lost.routes[0]: unknown route 'ap'; did you mean 'app'?",
    ]


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(tmp_path):
    """Absent, or not text."""
    with pytest.raises(PolicyError, match=r"gone\.yaml: cannot be read: No such file"):
        load(tmp_path / "gone.yaml", {})
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="is not UTF-8 text"):
        load(tmp_path / "config.yaml", {})


def test_an_empty_keys_file_has_no_keys(loaded, tmp_path):
    """As it is before the first key is made."""
    (tmp_path / "keys.yaml").write_text("# nothing yet\n")
    assert loaded("identity: {keys_file: keys.yaml}\n").policy.identity.keys == ()
