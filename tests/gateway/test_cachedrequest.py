"""Whose a stored answer is, and what it is found by."""

import pytest

from proxy.cache.digests import PUBLIC, of_tenant
from proxy.cache.reuse import PLAIN
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.cachedrequest import CachedRequest, may_bypass, owner_of
from proxy.policy.caching import Bypass, CacheScope, Caching
from proxy.policy.model import ClaimRule
from tests.gateway.conftest import exchange_of

ANN = Identity(IdentityKind.USER, "gold", "acme", "issuer", "ann", claims={"role": "admin", "deep": {"x": 1}})
BOB = Identity(IdentityKind.USER, "gold", "acme", "issuer", "bob")
TWIN = Identity(IdentityKind.USER, "gold", "acme", "other-issuer", "ann")
OTHER = Identity(IdentityKind.USER, "gold", "umbrella", "issuer", "ann")
NOBODY = Identity(IdentityKind.ANONYMOUS, "anonymous")
MACHINE = Identity(IdentityKind.MACHINE, "gold", "acme", credential="server")


def request(identity, scope=CacheScope.TENANT, target="/a?b=1", host="app.test", scheme="http", **more):
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.target, exchange.forwarded_host, exchange.scheme = target, host, scheme
    caching = Caching(scope, **more)
    owner = owner_of(caching, "route", identity)
    return None if owner is None else CachedRequest(exchange, caching, "route", identity, owner, PLAIN)


def test_a_tenants_users_share_a_key_and_nobody_else():
    assert request(ANN).key == request(BOB).key == request(MACHINE).key
    assert len({request(one).key for one in (ANN, OTHER)}) == 2
    assert request(ANN).partition == of_tenant("acme")
    assert request(ANN).owner == "acme"


def test_a_user_is_the_pair_of_issuer_and_subject():
    keys = {request(one, CacheScope.USER).key for one in (ANN, BOB, TWIN, OTHER)}
    assert len(keys) == 4


def test_public_answers_are_everybodys():
    keys = {request(one, CacheScope.PUBLIC).key for one in (ANN, OTHER, NOBODY)}
    assert len(keys) == 1
    assert request(ANN, CacheScope.PUBLIC).partition == PUBLIC
    assert request(ANN, CacheScope.PUBLIC).owner is None


@pytest.mark.parametrize(
    ("identity", "scope"),
    [(NOBODY, CacheScope.TENANT), (NOBODY, CacheScope.USER), (MACHINE, CacheScope.USER)],
)
def test_where_there_is_no_owner_there_is_no_key(identity, scope):
    assert request(identity, scope) is None
    assert request(identity, scope) is None  # remembered as well


def test_the_scope_is_part_of_the_key():
    """A policy that changes it finds nothing of the old one's."""
    assert len({request(ANN, scope).key for scope in CacheScope}) == 3


def test_scheme_host_and_target_are_parts_of_the_key_and_the_hosts_case_is_not():
    one = request(ANN)
    assert one.key == request(ANN, host="APP.test").key
    for other in (request(ANN, host="app2.test"), request(ANN, scheme="https"), request(ANN, target="/a?b=2")):
        assert other.key != one.key


def test_ignored_parameters_are_not():
    one = request(ANN, ignore_query=("utm_*",))
    assert one.key == request(ANN, target="/a?utm_source=x&b=1", ignore_query=("utm_*",)).key
    assert request(ANN).key != request(ANN, target="/a?utm_source=x&b=1").key


@pytest.mark.parametrize(
    ("bypass", "may"),
    [
        (Bypass(), False),
        (Bypass(tiers=("gold",)), True),
        (Bypass(tiers=("silver",)), False),
        (Bypass(claims=(ClaimRule(((("role",), "admin"), (("deep", "x"), 1))),)), True),
        (Bypass(claims=(ClaimRule(((("role",), "admin"), (("deep", "x"), 2))),)), False),
        (Bypass(claims=(ClaimRule(((("role",), "user"),)), ClaimRule(((("role",), "admin"),)))), True),
    ],
)
def test_who_may_have_the_upstreams_own_answer(bypass, may):
    assert may_bypass(bypass, ANN) is may


def test_who_is_identified_counts_as_authorised():
    assert request(ANN).asked(frozenset()).identified
    assert not request(NOBODY, CacheScope.PUBLIC).asked(frozenset()).identified
