"""What the cache has done, from the parent's sums."""

from pathlib import Path

import pytest

from proxy.admin.cachestats import stats
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from proxy.telemetry.metrics import (
    CACHE_BYTES,
    CACHE_BYTES_SERVED,
    CACHE_CURRENT,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_PURGES,
    CACHE_REQUESTS,
    CACHE_STORES,
    ISOLATION,
    Family,
)
from proxy.telemetry.sheet import SeriesKey
from tests.e2e.policies import policy

ROUTES = """
routes:
  - {name: reports, match: {path: "/reports/**"}, upstream: app, cache: {}}
  - {name: static, match: {path: "/static/**"}, upstream: app, cache: {scope: public}}
  - {name: app, match: {path: "/**"}, upstream: app}
cache: {memory: 2MiB}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Policy:
    config = tmp_path / "config.yaml"
    config.write_text(policy(9, ROUTES))
    return load(config, {}).policy


def key(family: Family, *labels: str) -> SeriesKey:
    return family.name, labels


def requests(route: str, result: str, why: str = "", tier: str = "trial") -> SeriesKey:
    return key(CACHE_REQUESTS, route, tier, result, why)


TOTALS = {
    requests("reports", "hit"): 60.0,
    requests("reports", "hit", tier="enterprise"): 10.0,
    requests("reports", "stale", "error"): 3.0,
    requests("reports", "revalidated", "stale"): 4.0,
    requests("reports", "coalesced"): 3.0,
    requests("reports", "miss", "uri-miss"): 15.0,
    requests("reports", "miss", "stale"): 5.0,
    requests("reports", "bypass", "method"): 50.0,
    requests("gone", "miss", "uri-miss"): 1.0,
    key(CACHE_STORES, "reports", "stored"): 12.0,
    key(CACHE_STORES, "reports", "no-store"): 2.0,
    key(CACHE_STORES, "reports", "private"): 7.0,
    key(CACHE_BYTES_SERVED, "reports"): 4096.0,
    key(CACHE_BYTES): 1000.0,
    key(CACHE_ENTRIES): 12.0,
    key(CACHE_EVICTIONS): 3.0,
    key(CACHE_PURGES, "write"): 5.0,
    key(CACHE_PURGES, "ops"): 2.0,
    key(CACHE_CURRENT): 2.0,
    key(ISOLATION, "reports"): 1.0,
}


def test_the_ratio_is_of_requests_that_were_not_bypassed(rules: Policy) -> None:
    told = stats(rules, TOTALS, 2)
    reports = told["routes"][0]
    assert (reports["requests"], reports["hits"], reports["hit_ratio"]) == (150, 70, 0.8)
    assert reports["misses"] == {"all": 20, "why": {"uri-miss": 15, "stale": 5}}
    assert reports["bypassed"] == {"all": 50, "why": {"method": 50}}
    assert (reports["stored"], reports["not_stored"]) == (12, {"all": 9, "why": {"private": 7, "no-store": 2}})
    assert reports["served_bytes"] == 4096
    assert told["hit_ratio_is"] == "(hits + stale + revalidated + coalesced) / (requests - bypassed)"


def test_routes_that_cache_are_told_though_nobody_asked_and_others_only_if_they_did(rules: Policy) -> None:
    told = stats(rules, TOTALS, 2)
    assert [(one["route"], one["scope"]) for one in told["routes"]] == [
        ("reports", "tenant"),
        ("static", "public"),
        ("gone", None),
    ]
    static = told["routes"][1]
    assert (static["requests"], static["hit_ratio"], static["not_stored"]["why"]) == (0, None, {})
    assert (told["all"]["requests"], told["all"]["hit_ratio"]) == (151, round(80 / 101, 4))


def test_memory_purges_and_workers(rules: Policy) -> None:
    told = stats(rules, TOTALS, 2)
    assert told["memory"] == {"bytes": 1000, "most_bytes": 4 << 20, "entries": 12, "evicted": 3}
    assert told["purges"] == {"by_writes": 5, "by_admin_api": 2}
    assert told["isolation_violations"] == {"reports": 1}
    assert told["workers"]["all_hear_of_purges"]
    assert not stats(rules, TOTALS, 3)["workers"]["all_hear_of_purges"]
    assert not stats(rules, {}, 0)["workers"]["all_hear_of_purges"]
