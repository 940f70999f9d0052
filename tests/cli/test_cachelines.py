"""What is told of the cache, as text for people."""

from typing import Any

from proxy.cli.cachelines import explained, table

ROUTE: dict[str, Any] = {
    "requests": 1500, "hits": 1200, "stale": 1, "revalidated": 2, "coalesced": 3,
    "misses": {"all": 200, "why": {"uri-miss": 150, "stale": 50}}, "bypassed": {"all": 94, "why": {"method": 94}},
    "hit_ratio": 0.8578, "stored": 170, "not_stored": {"all": 30, "why": {"set-cookie": 30}}, "served_bytes": 123456,
}  # fmt: skip
NOTHING = {"all": 0, "why": {}}
QUIET = dict.fromkeys(ROUTE, 0) | dict.fromkeys(("misses", "bypassed", "not_stored"), NOTHING)
STATS: dict[str, Any] = {
    "hit_ratio_is": "hits of all",
    "routes": [
        {"route": "reports", "scope": "tenant", **ROUTE},
        {"route": "static", "scope": None, **QUIET, "hit_ratio": None},
    ],
    "all": ROUTE,
    "memory": {"bytes": 1_000, "most_bytes": 2_000_000, "entries": 7, "evicted": 1},
    "purges": {"by_writes": 4, "by_admin_api": 1},
    "workers": {"ready": 2, "hear_of_purges": 2, "all_hear_of_purges": True, "store_nothing_in_redis": 0},
    "isolation_violations": {},
}


def test_stats_are_a_line_a_route_with_the_reasons_below() -> None:
    head, reports, static, whole, *rest = table(STATS).splitlines()
    cells = dict(zip(head.split(), reports.split(), strict=True))
    assert (cells["hits"], cells["hit_ratio"], cells["served_bytes"]) == ("1,200", "85.8%", "123,456")
    assert dict(zip(head.split(), static.split(), strict=True))["hit_ratio"] == "-"
    assert whole.startswith("all ")
    assert rest == [
        "hit_ratio is hits of all",
        "reports, misses: uri-miss 150, stale 50",
        "reports, bypassed: method 94",
        "reports, not stored: set-cookie 30",
        "workers' memory: 1,000 of 2,000,000 bytes, 7 URLs, 1 evicted",
        "purges: 4 by writes, 1 by the admin API",
        "2 of 2 workers hear of purges",
    ]


def test_what_is_wrong_is_told_last() -> None:
    workers = {"ready": 2, "hear_of_purges": 1, "all_hear_of_purges": False, "store_nothing_in_redis": 2}
    *_, deaf, full, violated = table(
        {**STATS, "workers": workers, "isolation_violations": {"reports\x1b": 3}}
    ).splitlines()
    assert deaf == "1 of 2 workers hear of purges: the others reuse nothing older than a second"
    assert full == "2 workers store nothing in Redis: its memory is used up"
    assert violated == "tenant isolation violated on route reports\ufffd: 3 answers refused"


VARIANT: dict[str, Any] = {
    "status": 200, "selected": True, "purged": {"by": "this URL", "at": "2026-11-23T07:00:00.000Z"},
    "selecting": [{"name": "accept-language", "value": "de", "same": True}, {"name": "cookie", "same": False}],
    "age_s": 12.0, "left_s": -2.5, "lifetime_s": 9.5, "guessed": False, "no_cache": False, "must_revalidate": True,
    "stale_while_revalidate_s": 0.0, "stale_if_error_s": 30.0, "fetched": "FETCHED", "fetch_ms": 7,
    "kept_in_redis_until": "UNTIL", "bytes": 2048, "range": None, "etag": '"a"', "last_modified": None,
    "fields": [{"name": "Content-Type", "value": "text/plain"}, {"name": "X-Secret"}],
}  # fmt: skip
TOLD: dict[str, Any] = {
    "request": {"method": "GET", "host": "app.test", "target": "/x\x1b"},
    "route": "reports",
    "caching": {"scope": "tenant", "ttl": 300.0, "early": True, "methods": ["GET", "HEAD"], "only_query": None},
    "key": {"scope": "tenant", "tenant": "acme"},
    "stored": [VARIANT],
    "not_stored": {"why": "no-store", "until": "THEN"},
    "would": {"result": "miss", "why": "what is stored was purged", "if_the_upstream_fails": "stale"},
}


def test_an_explanation_begins_with_what_the_request_would_get() -> None:
    assert explained(TOLD).splitlines() == [
        "GET /x\ufffd on app.test: miss, since what is stored was purged",
        "if the upstream fails: stale",
        "route: reports",
        "caching: scope tenant, ttl 300, early yes, methods GET HEAD",
        "key: scope tenant, tenant acme",
        "not stored: no-store; until THEN nobody waits for it",
        "stored in Redis: 1",
        '- 200, 2,048 bytes, age 12.0 s, stale for 2.5 s, must-revalidate, stale-if-error 30 s, etag "a", selected',
        "  fetched FETCHED in 7 ms, kept until UNTIL",
        "  purged: this URL, at 2026-11-23T07:00:00.000Z",
        "  selected by: accept-language 'de' (as asked), cookie (not as asked)",
        "  fields: Content-Type: text/plain; X-Secret",
    ]


def test_what_the_cache_is_not_asked_is_told_in_two_lines() -> None:
    bypassed = {**TOLD, "route": None, "caching": None, "would": {"result": "bypass", "why": "no route takes it"}}
    del bypassed["key"]
    assert explained(bypassed).splitlines() == [
        "GET /x\ufffd on app.test: bypass, since no route takes it",
        "route: -",
    ]
