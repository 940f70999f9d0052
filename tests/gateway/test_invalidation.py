"""What a write takes out of the cache, and whose."""

from types import SimpleNamespace

import pytest

from proxy.cache.digests import PUBLIC, of_tenant, purge_of_url
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.invalidation import Invalidation
from proxy.policy.compiler import compile_text
from tests.gateway.conftest import exchange_of

POLICY = """
version: 1
identity: {issuers: [{issuer: t, secrets: ["ssssssssssssssssssssssssssssssss"]}]}
upstreams: {app: {primary: ["http://127.0.0.1:1"]}}
routes:
  - {name: write, match: {path: "/api/**", methods: [POST, PUT]}, upstream: app}
  - {name: api, match: {path: "/api/**"}, upstream: app, cache: {ttl: , ignore_query: utm_*}}
  - {name: static, match: {path: "/static/**"}, upstream: app, auth: none, cache: {scope: public, ttl: }}
  - {name: rest, match: {path: "/**"}, upstream: app}
"""
ANN = Identity(IdentityKind.USER, "standard", "acme", "t", "ann")
NOBODY = Identity(IdentityKind.ANONYMOUS, "anonymous")


class Caches:
    """Hears what is purged."""

    def __init__(self):
        self.purged = []
        self.log = SimpleNamespace(purge=self.purged.extend)
        self.metrics = SimpleNamespace(inc=lambda *_: None)


@pytest.fixture(scope="module")
def invalidation():
    return Invalidation(compile_text(POLICY, "p.yaml", {}).policy)


def purged(invalidation, identity, target, method="POST", status=200, headers=()):
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.method, exchange.target, exchange.forwarded_host = method, target, "App.test"
    caches = Caches()
    invalidation.heard(exchange, identity, status, list(headers), caches)
    return caches.purged


def of(partition, target):
    return list(purge_of_url(partition, "app.test", target))


def test_a_write_through_any_route_invalidates_what_its_tenant_has_stored(invalidation):
    """Named as the caching route names it."""
    assert purged(invalidation, ANN, "/api/a?utm_source=x&b=1") == of(of_tenant("acme"), "/api/a?b=1")


def test_routes_see_a_path_decoded_and_purges_name_it_as_it_came(invalidation):
    """Its key is made of the bytes that were asked for."""
    assert purged(invalidation, ANN, "/%61pi/a") == of(of_tenant("acme"), "/%61pi/a")
    assert purged(invalidation, ANN, "/api/%00") == of(of_tenant("acme"), "/api/%00")


def test_what_is_public_anybody_may_invalidate(invalidation):
    """Whether a write succeeds is the app's to say."""
    assert purged(invalidation, NOBODY, "/static/a") == of(PUBLIC, "/static/a")


def test_nobody_invalidates_a_tenants(invalidation):
    assert purged(invalidation, NOBODY, "/api/a") == []


@pytest.mark.parametrize(("method", "status"), [("POST", 400), ("POST", 500), ("GET", 200), ("HEAD", 200)])
def test_what_failed_or_was_safe_invalidates_nothing(invalidation, method, status):
    assert purged(invalidation, ANN, "/api/a", method, status) == []


def test_where_nothing_is_cached_there_is_nothing_to_invalidate(invalidation):
    assert purged(invalidation, ANN, "/other") == []


def test_what_the_answer_names_goes_too(invalidation):
    headers = [(b"Location", b"/api/new"), (b"Content-Location", b"http://elsewhere.test/api/b")]
    assert purged(invalidation, ANN, "/api/a", headers=headers) == [
        *of(of_tenant("acme"), "/api/a"),
        *of(of_tenant("acme"), "/api/new"),
    ]


def test_who_asks_for_nothing_to_be_cached_pays_nothing():
    plain = POLICY.replace(", cache: {ttl: , ignore_query: utm_*}", "").replace(", cache: {scope: public, ttl: }", "")
    nothing = Invalidation(compile_text(plain, "p.yaml", {}).policy)
    assert not nothing.concerns("POST")


@pytest.mark.parametrize(
    ("method", "sent", "purges"),
    [("POST", True, True), ("DELETE", True, True), ("POST", False, False), ("POST", None, False), ("GET", True, False)],
)
def test_a_write_that_nobody_has_heard_of_invalidates_its_own_url_once_it_was_sent(invalidation, method, sent, purges):
    """It may have been acted on; one that never left has not been."""
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.method, exchange.target, exchange.forwarded_host = method, "/api/a", "App.test"
    exchange.attempt = None if sent is None else SimpleNamespace(sent=sent)
    caches = Caches()
    invalidation.unheard(exchange, ANN, caches)
    assert caches.purged == (of(of_tenant("acme"), "/api/a") if purges else [])
