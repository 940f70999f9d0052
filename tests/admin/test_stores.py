"""Where a policy's two Redis are."""

from pathlib import Path

import pytest

from proxy.admin.stores import Unanswered, cache_url, meters_url
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.e2e.policies import policy

ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, cache: {}}]'


def compiled(folder: Path, redis: str) -> Policy:
    config = folder / "config.yaml"
    config.write_text(policy(9, ROUTES, redis=redis))
    return load(config, {}).policy


def test_the_meters_url_is_the_policys_and_the_caches_the_same(tmp_path: Path) -> None:
    found = compiled(tmp_path, 'meters: "redis://gate:geheim@127.0.0.1:7"')
    assert str(meters_url(found)) == str(cache_url(found)) == "standalone at 127.0.0.1:7"


def test_the_cache_may_have_its_own(tmp_path: Path) -> None:
    found = compiled(tmp_path, 'meters: "redis://127.0.0.1:7", cache: "redis://127.0.0.1:8"')
    assert str(meters_url(found)) == "standalone at 127.0.0.1:7"
    assert str(cache_url(found)) == "standalone at 127.0.0.1:8"


def test_an_embedded_redis_answers_while_its_gateway_runs(tmp_path: Path) -> None:
    found = compiled(tmp_path, "meters: embedded")
    for url in (meters_url, cache_url):
        with pytest.raises(Unanswered, match="does not run: no gateway does"):
            url(found)
