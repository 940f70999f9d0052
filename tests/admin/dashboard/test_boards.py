"""The tables: what was counted within the window, by route, reason, limit, upstream."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.admin.dashboard.boards import (
    MOST_REASONS,
    MOST_ROWS,
    Health,
    boards,
    health,
    limits,
    listed,
    refusals,
    routes,
    upstreams,
)
from proxy.admin.dashboard.figures import Figures
from proxy.admin.dashboard.history import Window
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from tests.e2e.policies import policy as policy_text

ROUTES = """
limits: {per-user: {scope: user, rate: 10/1m}, all: {scope: global, rate: 100/1m}}
routes:
  - {name: api, match: {path: "/api/**"}, upstream: app, limits: [per-user]}
  - {name: files, match: {path: "/files/**"}, upstream: store, cache: {}}
  - {name: app, match: {path: "/**"}, upstream: app}
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    text = policy_text(9, ROUTES, upstreams='store: {primary: ["http://127.0.0.1:8", "http://127.0.0.1:7"]}')
    return compile_text(text, "config.yaml", {}).policy


def window(counted: Figures) -> Window:
    return Window(10_000, counted)


def rows(board: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {row[name]: row for row in board["rows"]}


def test_reasons_are_told_in_words_largest_first() -> None:
    told = refusals(
        window(
            {
                ("reason", "client", "quota_exceeded"): 30.0,
                ("reason", "upstream", "upstream_reset"): 50.0,
                ("reason", "gateway", "maintenance"): 5.0,
                ("reason", "client", "client_gone"): 99.0,  # no answer of ours
            }
        )
    )
    assert [(row["reason"], row["kind"], row["count"], row["per_s"]) for row in told["rows"]] == [
        ("upstream_reset", "failed", 50, 5.0),
        ("quota_exceeded", "refused", 30, 3.0),
        ("maintenance", "refused", 5, 0.5),
    ]
    assert told["rows"][1]["title"] == "Quota exceeded"


def test_limits_tell_what_they_decided_from_memory_too(policy: Policy) -> None:
    counted: Figures = {
        ("limit", "per-user", "admitted"): 9.0,
        ("limit", "per-user", "refused"): 2.0,
        ("limit", "per-user", "remembered"): 3.0,
        ("limit", "all", "shadow_refused"): 1.0,
        ("limit", "of-an-earlier-policy", "refused"): 9.0,
        ("budget", "global"): 4.0,
    }
    assert limits(policy, window(counted))["rows"] == [
        {"limit": "per-user", "admitted": 9, "refused": 5, "shadow": 0},
        {"limit": "budget global", "admitted": None, "refused": 4, "shadow": 0},
        {"limit": "all", "admitted": 0, "refused": 0, "shadow": 1},
    ]


def test_routes_are_those_of_the_policy_busiest_first(policy: Policy) -> None:
    counted: Figures = {
        ("ended", "files", "served"): 60.0,
        ("ended", "files", "refused"): 20.0,
        ("ended", "files", "failed"): 10.0,
        ("ended", "files", "errored"): 10.0,
        ("took", "files", "0.01"): 100.0,
        ("cache", "files", "hit"): 30.0,
        ("cache", "files", "miss"): 10.0,
        ("ended", "none", "refused"): 5.0,
        ("ended", "of-an-earlier-policy", "served"): 999.0,
    }
    ever: Figures = {("cache", "files", "hit"): 50.0, ("cache", "files", "miss"): 50.0}
    told = routes(policy, window(counted), ever)
    assert [row["route"] for row in told["rows"]] == ["files", "none", "api", "app"]
    assert told["rows"][0] == {
        "route": "files", "per_s": 10.0, "count": 100, "refused": 0.2, "failed": 0.2, "p50_ms": 7.5, "p95_ms": 9.75,
        "caches": True, "hit_ratio": 0.75, "hit_ratio_ever": 0.5,
    }  # fmt: skip
    assert told["rows"][2]["refused"] is None, "of nothing there is no share"
    assert [row["route"] for row in routes(policy, window({}), {})["rows"]] == ["api", "files", "app"]


def test_an_upstream_is_judged_by_what_it_did_and_not_by_what_we_refused(policy: Policy) -> None:
    """Calls that found budgets closed never reached it."""
    counted: Figures = {
        ("ended", "api", "failed"): 40.0,
        ("ended", "api", "errored"): 3.0,
        ("ended", "app", "errored"): 2.0,
        ("upstream", "app", "0.01"): 50.0,
        ("unanswered", "store"): 7.0,  # behind a client's back, too
        ("retried", "app"): 4.0,
    }
    told = rows(upstreams(policy, window(counted)), "upstream")
    app, store = told["app"], told["store"]
    assert (app["health"], app["failed"], app["failures"], app["retries"]) == (Health.FAILING, 0.1, 5, 4)
    assert (store["health"], store["failed"], store["per_s"]) == (Health.DOWN, 1.0, 0.7)
    assert store["addresses"] == ["127.0.0.1:8", "127.0.0.1:7"]
    assert {row["health"] for row in upstreams(policy, window({}))["rows"]} == {Health.QUIET}


@pytest.mark.parametrize(
    ("asked", "failed", "told"),
    [
        (0, 0, Health.QUIET),
        (100, 4, Health.HEALTHY),
        (100, 5, Health.FAILING),
        (3, 3, Health.DOWN),
        (1, 0, Health.HEALTHY),
    ],
)
def test_health(asked: float, failed: float, told: Health) -> None:
    assert health(asked, failed) is told


def test_listed_tenants_are_told_with_all_others_as_one() -> None:
    lately: Figures = {("tenant", "acme", "forwarded"): 8.0, ("tenant", "acme", "refused"): 2.0}
    ever: Figures = {**lately, ("tenant", "other", "forwarded"): 5.0}
    assert listed(window(lately), ever)["rows"] == [
        {"tenant": "acme", "per_s": 1.0, "count": 10, "refused": 2, "ever": 10},
        {"tenant": "other", "per_s": 0.0, "count": 0, "refused": 0, "ever": 5},
    ]
    assert listed(window({}), {})["rows"] == []


def test_every_table_is_bounded_and_says_what_it_leaves_out(policy: Policy) -> None:
    """A policy of a thousand routes and a list of a thousand tenants make no larger page."""
    route = policy.routes[0]
    many = replace(policy, routes=tuple(replace(route, name=f"r{n}") for n in range(1_000)))
    counted: Figures = {("tenant", f"t{n}", "forwarded"): 1.0 for n in range(1_000)}
    counted |= {("reason", "client", f"reason-{n}"): 1.0 for n in range(1_000)}
    told = boards(many, window(counted), counted)
    assert {name: (len(board["rows"]), board["more"]) for name, board in told.items()} == {
        "refusals": (MOST_REASONS, 1_000 - MOST_REASONS),
        "limits": (0, 0),
        "routes": (MOST_ROWS, 1_000 - MOST_ROWS),
        "upstreams": (2, 0),
        "listed": (MOST_ROWS, 1_000 - MOST_ROWS),
    }
