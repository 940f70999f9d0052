"""Where a route's answers are kept: never with those that other terms have let in."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.cache.shelf import shelf_of
from proxy.policy.caching import AssertTenant, CacheScope, Caching, Downstream, Profile
from proxy.policy.compiler import compile_text

POLICY = """
version: 1
upstreams: {app: {primary: ["http://127.0.0.1:1"]}, other: {primary: ["http://127.0.0.1:2"]}}
defaults: {auth: none}
routes: [{name: app, match: {path: "/a/**"}, upstream: app, cache: {scope: public}}]
"""
(ROUTE,) = compile_text(POLICY, "p.yaml", {}).policy.routes
CACHING = Caching(CacheScope.PUBLIC, statuses=frozenset({200, 404, 410}))


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": CacheScope.TENANT},
        {"profile": Profile.RFC},
        {"ttl_ms": 2_000},
        {"force": True},
        {"statuses": frozenset({200, 404})},
        {"error_ttl_ms": 0},
        {"stale_while_revalidate_ms": 0},
        {"stale_if_error_ms": 1_000},
        {"ignore_query": ("a",)},
        {"only_query": ()},
        {"assert_tenant": AssertTenant(header="x-company")},
        {"assert_tenant": AssertTenant(json=("x-company",))},
    ],
)
def test_other_terms_are_another_shelf(changes: Any) -> None:
    assert shelf_of(ROUTE, replace(CACHING, **changes)) != shelf_of(ROUTE, CACHING)


@pytest.mark.parametrize(
    "changes", [{"name": "b"}, {"upstream": "other"}, {"strip_prefix": "/a"}, {"add_prefix": "/a"}]
)
def test_another_route_or_what_it_leads_to_is_another_shelf(changes: Any) -> None:
    assert shelf_of(replace(ROUTE, **changes), CACHING) != shelf_of(ROUTE, CACHING)
    moved = replace(ROUTE, match=replace(ROUTE.match, path="/**"))
    assert shelf_of(moved, CACHING) != shelf_of(ROUTE, CACHING)


@pytest.mark.parametrize(
    "changes",
    [{"hits_pay": 0}, {"wait_ms": 1}, {"early": False}, {"downstream": Downstream.AS_IS}, {"status_field": False}],
)
def test_how_a_stored_answer_is_given_makes_no_other(changes: Any) -> None:
    """What is stored outlives such changes."""
    assert shelf_of(replace(ROUTE, index=5), replace(CACHING, **changes)) == shelf_of(ROUTE, CACHING)


def test_every_process_gives_it_the_same_name() -> None:
    """Sets have no order, and hashes of texts are another in each process: gateways would share nothing."""
    assert shelf_of(ROUTE, CACHING) == "app/937382c399356a4d9c"
