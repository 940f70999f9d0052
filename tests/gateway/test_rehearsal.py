"""What only a worker would find out is found before a policy is in force."""

from pathlib import Path

import pytest

from proxy.gateway.rehearsal import load_rehearsed
from proxy.otlp import extra
from proxy.policy.problems import PolicyError

POLICY = """
version: 1
tiers: [standard, anonymous]
identity:
  issuers: [{issuer: t, jwks_file: keys.json}]
  claims: {tenant: tenant, user: sub}
upstreams: {app: {primary: ["https://127.0.0.1:1"], ca_file: ca.pem}}
routes: [{name: app, match: {path: /**}, upstream: app}]
"""


def test_keys_and_certificates_are_tried(tmp_path: Path) -> None:
    """A key set and a certificate that are there, and are none, are told together; the policy is not in force."""
    (tmp_path / "keys.json").write_text("{}")
    (tmp_path / "ca.pem").write_text("not a certificate")
    (tmp_path / "config.yaml").write_text(POLICY)
    with pytest.raises(PolicyError) as refused:
        load_rehearsed(tmp_path / "config.yaml", {})
    told = "\n".join(map(str, refused.value.problems))
    assert "config.yaml:4: identity: issuer t:" in told
    assert "keys.json" in told
    assert "config.yaml:7: upstreams.app.ca_file: cannot be used" in told


def test_a_store_that_no_worker_could_open_is_told(tmp_path: Path) -> None:
    """A worker would end on such a URL, and the next one, too."""
    (tmp_path / "config.yaml").write_text(
        "version: 1\nupstreams: {}\nroutes: []\nredis: {meters: 'redis://:hush@h/abc'}\n"
    )
    with pytest.raises(PolicyError) as refused:
        load_rehearsed(tmp_path / "config.yaml", {})
    (problem,) = refused.value.problems
    assert str(problem).endswith("config.yaml:4: redis.meters: a Redis URL's database is a number")


def test_an_extra_that_is_missing_is_told_where_somebody_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, a policy that names a collector would be one that tells it nothing."""
    plain = "version: 1\nupstreams: {}\nroutes: []\n"
    (tmp_path / "config.yaml").write_text(f"{plain}otlp: {{endpoint: 'https://otlp.example'}}\n")
    (tmp_path / "plain.yaml").write_text(f"{plain}otlp: {{endpoint: '${{NOT_SET:-}}'}}\n")
    assert load_rehearsed(tmp_path / "config.yaml", {}).policy.watching.otlp is not None
    monkeypatch.setattr(extra, "_NEEDED", ("not_there",))
    load_rehearsed(tmp_path / "plain.yaml", {})
    with pytest.raises(PolicyError) as refused:
        load_rehearsed(tmp_path / "config.yaml", {})
    (told,) = map(str, refused.value.problems)
    assert told.endswith("config.yaml:4: otlp: needs an extra that is not installed: pip install 'sluicegate[otlp]'")
