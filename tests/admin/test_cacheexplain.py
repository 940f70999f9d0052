"""What the cache would do with a request, given what Redis has; and that nothing secret is told of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.cacheexplain import Look, told
from proxy.admin.cachequestion import Place, place, read
from proxy.cache.digests import (
    EVERYWHERE,
    of_tenant,
    purge_of_all,
    purge_of_prefix,
    purge_of_shelf,
    purge_of_tag,
    purge_of_url,
    tags_of,
)
from proxy.cache.entry import Stored, Terms
from proxy.cache.purges import EVERYTHING
from proxy.cache.shared import Listed, Listing
from proxy.cache.shelf import shelf_of
from proxy.policy.compiler import load
from tests.cache.stored import NOW_MS, answer
from tests.e2e.policies import policy

ACME = of_tenant("acme")
SEEN = NOW_MS << 20
ROUTES = """
routes:
  - {name: reports, match: {path: "/reports/**"}, upstream: app, cache: {profile: rfc}}
  - {name: app, match: {path: "/**"}, upstream: app}
"""
TARGET = "/reports/a/7?b"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    config: Path = tmp_path_factory.mktemp("policy") / "config.yaml"
    config.write_text(policy(9, ROUTES))
    rules = load(config, {}).policy

    def ask(*headers: str, url: str = f"http://app.test{TARGET}", method: str = "GET") -> Place:
        return place(rules, read({"url": url, "tenant": "acme", "headers": list(headers), "method": method}))

    return ask


def stored(**changes: Any) -> Stored:
    tags = tags_of(ACME, "app.test", TARGET, (b"t",))
    headers = [(b"Content-Type", b"text/plain"), (b"X-Secret", b"geheim"), (b"Cache-Tag", b"t")]
    return answer(**{"seen": SEEN, "tags": tags, "headers": headers, **changes})


def look(*variants: Stored, purged: tuple[int, ...] | None = None, **mark: Any) -> Look:
    """The log begins before all was fetched; ``purged``: by a record after it."""
    listing = Listing(tuple(Listed(one, 123, NOW_MS + 600_000) for one in variants), **mark)
    return Look(listing, SEEN - 1, () if purged is None else ((SEEN + (5_000 << 20), purged),))


@pytest.mark.parametrize(
    ("changes", "headers", "result"),
    [
        ({}, (), "hit"),
        ({"terms": Terms(NOW_MS, 0, 1_000)}, (), "miss"),
        ({"terms": Terms(NOW_MS, 0, 1_000), "etag": b'"a"'}, (), "revalidate"),
        ({"terms": Terms(NOW_MS, 0, 1_000, swr_ms=60_000)}, (), "stale"),
        ({"terms": Terms(NOW_MS, 0, 1_000)}, ("Cache-Control: max-stale=60",), "stale"),
        ({}, ("Cache-Control: no-cache",), "miss"),
        ({"etag": b'"a"'}, ("Cache-Control: no-cache",), "revalidate"),
        ({"etag": b'"a"'}, ("Cache-Control: no-cache, no-store",), "miss"),
        ({"terms": Terms(NOW_MS, 0, 300_000, no_cache=True), "etag": b'"a"'}, (), "revalidate"),
        ({"range": (0, 3, 10)}, (), "miss"),
        ({"range": (0, 3, 10)}, ("Range: bytes=0-1",), "hit"),
        ({"terms": Terms(NOW_MS, 0, 1_000)}, ("Cache-Control: only-if-cached",), "504"),
        ({}, ("Cache-Control: only-if-cached", "If-Match: x"), "504"),
        ({}, ("X-HTTP-Method-Override: DELETE",), "bypass"),
    ],
)
def test_what_a_request_would_get(asked: Any, changes: dict[str, Any], headers: tuple[str, ...], result: str) -> None:
    assert told(asked(*headers), look(stored(**changes)), NOW_MS + 10_000)["would"]["result"] == result


def test_what_stands_in_for_an_upstream_that_fails(asked: Any) -> None:
    stale = stored(terms=Terms(NOW_MS, 0, 1_000, sie_ms=60_000))
    assert told(asked(), look(stale), NOW_MS + 10_000)["would"]["if_the_upstream_fails"] == "stale"
    dead = stored(terms=Terms(NOW_MS, 0, 1_000, must_revalidate=True))
    assert "if_the_upstream_fails" not in told(asked(), look(dead), NOW_MS + 10_000)["would"]


@pytest.mark.parametrize(
    ("digests", "by"),
    [
        ((EVERYTHING,), "everything"),
        ((), "the log of purges began anew: nobody knows what was purged before"),
        (purge_of_all(ACME), "everything of tenant acme"),
        (purge_of_url(ACME, "app.test", TARGET), "this URL on app.test of tenant acme"),
        (purge_of_url(EVERYWHERE, "", TARGET), "this URL"),
        (purge_of_prefix(ACME, "", "/reports/a"), "the prefix /reports/a of tenant acme"),
        (purge_of_prefix(EVERYWHERE, "app.test", "/"), "the prefix / on app.test"),
        (purge_of_tag(ACME, b"t"), "the tag t of tenant acme"),
        (purge_of_tag(EVERYWHERE, b"t"), "the tag t"),
    ],
)
def test_what_purged_it_is_named(asked: Any, digests: tuple[int, ...], by: str) -> None:
    found = told(asked(), look(stored(), purged=digests), NOW_MS + 10_000)
    assert found["stored"][0]["purged"] == {"at": "2025-10-09T08:53:25.000Z", "by": by}
    assert found["would"] == {"result": "miss", "why": "what is stored was purged"}


def test_what_the_gateway_itself_has_taken_out_is_named(asked: Any) -> None:
    """What the app has said otherwise since, and what a reload has let go of."""
    found = asked()
    shelf = purge_of_shelf(shelf_of(found.route, found.caching))
    one = stored(tags=(77, shelf, *stored().tags))
    for digest, by in ((77, "the app itself"), (shelf, "a policy that did not cache this route")):
        purged = told(found, look(one, purged=(digest,)), NOW_MS + 10_000)["stored"][0]["purged"]
        assert purged["by"].startswith(by)


def test_a_purge_of_another_or_of_before_its_fetch_is_none(asked: Any) -> None:
    for digests in (purge_of_all(of_tenant("other")), purge_of_tag(ACME, b"other")):
        assert told(asked(), look(stored(), purged=digests), NOW_MS)["stored"][0]["purged"] is None
    later = stored(seen=SEEN + (5_000 << 20))
    assert told(asked(), look(later, purged=purge_of_all(ACME)), NOW_MS)["would"]["result"] == "hit"


def test_what_the_log_does_not_reach_back_to_is_invalid(asked: Any) -> None:
    for gap, by in (({"first": SEEN + 1}, "begins later"), ({"first": None}, "is missing")):
        found = told(asked(), replace(look(stored()), **gap), NOW_MS)
        assert by in found["stored"][0]["purged"]["by"]
        assert found["would"]["result"] == "miss"


def test_a_variant_is_selected_by_the_requests_fields(asked: Any) -> None:
    german, french = (stored(vary=(("accept-language", f"={language}"),)) for language in ("de", "fr"))
    found = told(asked("Accept-Language: fr"), look(german, french), NOW_MS)
    assert [one["selected"] for one in found["stored"]] == [False, True]
    assert found["stored"][0]["selecting"] == [{"name": "accept-language", "value": "de", "same": False}]
    found = told(asked(), look(german, french), NOW_MS)
    assert found["would"]["why"].startswith("no stored variant was selected")


def test_why_nothing_is_stored(asked: Any) -> None:
    marked = look(not_stored_until_ms=NOW_MS + 5_000, not_stored_why="set-cookie")
    found = told(asked(), marked, NOW_MS)
    assert found["not_stored"] == {"why": "set-cookie", "until": "2025-10-09T08:53:25.000Z"}
    assert found["would"]["why"] == "the upstream's last answer was not stored: set-cookie"
    found = told(asked(), marked, NOW_MS + 5_000)  # it has ended
    assert found["not_stored"] is None
    assert found["would"]["why"].startswith("Redis has nothing under this key")


def test_only_harmless_fields_are_told_with_their_values(asked: Any) -> None:
    secret = stored(vary=(("cookie", "#digest"), ("x-user", "=geheim")), body=b"geheim")
    found = told(asked("Cookie: geheim", "X-User: geheim"), look(secret), NOW_MS)
    assert "geheim" not in json.dumps(found)
    assert "digest" not in json.dumps(found)
    assert found["stored"][0]["fields"] == [
        {"name": "Content-Type", "value": "text/plain"},
        {"name": "X-Secret"},
        {"name": "Cache-Tag", "value": "t"},
    ]
    assert [one["name"] for one in found["stored"][0]["selecting"]] == ["cookie", "x-user"]


def test_its_terms_are_told_in_seconds(asked: Any) -> None:
    terms = Terms(NOW_MS, 2_000, 300_000, heuristic=True, must_revalidate=True, swr_ms=30_000)
    (one,) = told(asked(), look(stored(terms=terms, fetch_ms=12)), NOW_MS + 8_000)["stored"]
    assert (one["age_s"], one["left_s"], one["stale_while_revalidate_s"]) == (10, 290, 30)
    assert (one["guessed"], one["must_revalidate"], one["no_cache"]) == (True, True, False)
    assert (one["bytes"], one["fetch_ms"], one["status"]) == (123, 12, 200)


def test_a_route_that_caches_nothing_says_so(asked: Any) -> None:
    found = told(asked(url="http://app.test/x"), Look(), NOW_MS)
    assert found["would"] == {"result": "bypass", "why": "the route caches nothing"}
    assert "stored" not in found
    json.dumps(told(asked(), look(stored()), NOW_MS))  # all of it is JSON
