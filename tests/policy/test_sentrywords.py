"""What is written of Sentry and of browsers is what the gateway does."""

import pytest

from proxy import __version__
from proxy.policy.problems import PolicyError
from proxy.policy.sentry import Reported, Sentry, Tunnel, Vitals, Watching

DSN = "https://key@sentry.example/1"


def test_nothing_is_watched_unless_it_is_said(policy) -> None:
    assert policy().watching == Watching()


def test_defaults(policy) -> None:
    assert policy(f"sentry: {{dsn: '{DSN}'}}\nvitals: {{}}\n").watching == Watching(
        sentry=Sentry(
            dsn=DSN,
            environment="production",
            release=f"sluicegate@{__version__}",
            traces_sample_rate=0.0,
            report=frozenset({Reported.UPSTREAM_5XX, Reported.UPSTREAM_TIMEOUT}),
        ),
        vitals=Vitals(frozenset(), 120),
    )


def test_all_of_it(policy) -> None:
    watching = policy(
        f"sentry: {{dsn: '{DSN}', environment: staging, release: app@1, traces_sample_rate: 0.25, "
        "report: [store_away], tunnel: {max_body: 1MiB, per_minute: 7}}\n"
        "vitals: {measures: [boot], per_minute: 9}\nserver_timing: [db, render]\n"
        "cors: {origins: ['https://app.example']}\n"
    ).watching
    assert watching.sentry == Sentry(
        DSN, "staging", "app@1", 0.25, frozenset({Reported.STORE_AWAY}), Tunnel(1 << 20, 7)
    )
    assert watching.vitals == Vitals(frozenset({"boot"}), 9)
    assert watching.server_timing == {"db", "render"}
    assert watching.cors is not None


@pytest.mark.parametrize(
    ("written", "tunnel"), [("true", Tunnel(4 << 20, 120)), ("false", None), ("{per_minute: 1}", Tunnel(4 << 20, 1))]
)
def test_the_tunnel_is_a_switch_or_a_map(policy, written: str, tunnel: Tunnel | None) -> None:
    assert policy(f"sentry: {{dsn: '{DSN}', tunnel: {written}}}\n").watching.sentry.tunnel == tunnel


def test_a_project_without_a_dsn_hears_nothing(policy) -> None:
    """As a variable's default may be."""
    assert policy("sentry: {dsn: '${SENTRY_DSN:-}', traces_sample_rate: 1}\n").watching.sentry is None


@pytest.mark.parametrize(("rate", "value"), [("0", 0.0), ("1", 1.0), ("0.1", 0.1), ("1.0", 1.0), ("'.5'", 0.5)])
def test_shares(policy, rate: str, value: float) -> None:
    assert policy(f"sentry: {{dsn: '{DSN}', traces_sample_rate: {rate}}}\n").watching.sentry.traces_sample_rate == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentry: {traces_sample_rate: 1.5}", "sentry.traces_sample_rate: '1.5' is not a share from 0 to 1"),
        ("sentry: {traces_sample_rate: 10%}", "sentry.traces_sample_rate: '10%' is not a share from 0 to 1"),
        ("sentry: {report: [upstream_6xx]}", "sentry.report[0]: 'upstream_6xx' is not known"),
        ("sentry: {tunnel: {max_body: 1GiB}}", "sentry.tunnel.max_body: '1GiB' is not a size from 1KiB to 32MiB"),
        ("vitals: {measures: ['a b']}", "vitals.measures[0]: 'a b' is not a name"),
        *(
            (f"vitals: {{measures: [boot, {name}]}}", f"vitals.measures[1]: '{name}' is a web vital, which pages may")
            for name in ("lcp", "LCP", "Cls", "inp", "fcp", "ttfb")
        ),
        ("server_timing: ['']", "server_timing[0]: '' is not a name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(policy, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text + "\n")
    assert message in str(caught.value)
