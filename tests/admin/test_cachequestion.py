"""Where the cache would look for a request: as the gateway would, for whoever is said to ask."""

from pathlib import Path
from typing import Any

import pytest

from proxy.admin.cachequestion import place, read
from proxy.admin.purgewords import WordError
from proxy.cache.digests import PUBLIC, canonical_key, of_tenant, owner_prefix
from proxy.cache.shelf import shelf_of
from proxy.policy.caching import CacheScope
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.e2e.gateway import ISSUER
from tests.e2e.policies import policy

ROUTES = """
routes:
  - {name: reports, match: {path: "/reports/**"}, upstream: app, cache: {ignore_query: ["utm_*"]}}
  - {name: mine, match: {path: "/mine/**"}, upstream: app, cache: {scope: user, bypass: {tiers: [trial]}}}
  - {name: static, match: {path: "/static/**"}, upstream: app, auth: none, cache: {scope: public}}
  - {name: beta, match: {path: "/beta/**", headers: {X-Beta: "*"}}, upstream: app, cache: {}}
  - {name: app, match: {path: "/**", methods: [GET]}, upstream: app}
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    config: Path = tmp_path_factory.mktemp("policy") / "config.yaml"
    config.write_text(policy(9, ROUTES))
    return load(config, {}).policy


def shelf(rules: Policy, name: str) -> str:
    (route,) = (each for each in rules.routes if each.name == name)
    assert route.caching is not None
    return shelf_of(route, route.caching)


def test_the_key_is_the_gateways(rules: Policy) -> None:
    found = place(rules, read({"url": "https://App.test:443/reports/7?utm_source=x&b=1", "tenant": "acme"}))
    owner = owner_prefix(CacheScope.TENANT, "acme", "", None, shelf(rules, "reports"))
    assert found.key == canonical_key(owner, "https", "app.test", "/reports/7?b=1")
    assert found.partition == of_tenant("acme")
    found = place(rules, read({"url": "http://app.test/mine/7", "tenant": "acme", "user": "u1"}))
    owner = owner_prefix(CacheScope.USER, "acme", ISSUER, "u1", shelf(rules, "mine"))
    assert found.key == canonical_key(owner, "http", "app.test", "/mine/7")
    other = place(rules, read({"url": "http://app.test/mine/7", "tenant": "acme", "user": "u1", "issuer": "b"}))
    assert other.key != found.key
    found = place(rules, read({"url": "http://app.test/static/a.js", "tenant": "acme"}))
    assert found.key == canonical_key(
        owner_prefix(CacheScope.PUBLIC, None, "", None, shelf(rules, "static")), "http", "app.test", "/static/a.js"
    )
    assert found.partition == PUBLIC


@pytest.mark.parametrize(
    ("words", "route", "why"),
    [
        ({"url": "http://app.test/x"}, "app", "the route caches nothing"),
        ({"url": "http://app.test/x", "method": "post"}, None, "no route takes it"),
        ({"url": "http://app.test/a/../b"}, None, "it is refused: The path holds a dot segment"),
        ({"url": "http://app.test/beta/x"}, "app", "the route caches nothing"),
        ({"url": "http://app.test/beta/x", "headers": ["X-Beta: 1"]}, "beta", "answers here belong to a tenant"),
        ({"url": "http://app.test/reports/1"}, "reports", "answers here belong to a tenant, and a tenant is not known"),
        ({"url": "http://app.test/mine/1", "tenant": "a"}, "mine", "answers here belong to a user, and a user is not"),
        ({"url": "http://app.test/static/1", "method": "POST"}, "static", "only GET, HEAD are answered from the cache"),
        ({"url": "http://app.test/static/1", "headers": ["If-Match: x"]}, "static", "the request has contents, or"),
        ({"url": "http://app.test/static/1", "headers": ["X-HTTP-Method-Override: PUT"]}, "static", "it has fields by"),
        ({"url": "http://app.test/static/1", "headers": ["Connection: Accept"]}, "static", "it has fields by which"),
    ],
)
def test_what_the_cache_is_not_asked_says_why(rules: Policy, words: dict[str, Any], route: str, why: str) -> None:
    found = place(rules, read(words))
    assert (found.route.name if found.route else None, found.key) == (route, b"")
    assert found.passes.startswith(why)


def test_who_may_bypass_is_told_by_tier(rules: Policy) -> None:
    words = {"url": "http://app.test/mine/1", "tenant": "a", "user": "u", "headers": ["Cache-Control: no-cache"]}
    wishes = [place(rules, read(words | more)).wish for more in ({}, {"tier": "trial"})]
    assert [wish is not None and wish.no_cache for wish in wishes] == [False, True]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "url: say which"),
        ({"url": "/x"}, "url: write the whole URL"),
        ({"url": "http://a.test/x", "path": "/x"}, "path: there is no such field"),
        ({"url": "http://a.test/x", "tenant": ""}, "tenant: write text"),
        ({"url": "http://a.test/x", "headers": "A: b"}, "headers: write a list of lines"),
        ({"url": "http://a.test/x", "headers": ["A b"]}, "headers: write each as 'Name: value'"),
        ({"url": "http://a.test/x", "headers": [7]}, "headers: write each as 'Name: value'"),
    ],
)
def test_a_wrong_question_is_refused_by_the_name_of_its_field(words: dict[str, Any], told: str) -> None:
    with pytest.raises(WordError) as refused:
        read(words)
    assert str(refused.value).startswith(told)
