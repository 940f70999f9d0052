"""Limits as written become limits that can be counted."""

import pytest

from proxy.policy.model import MeterKind, Period, Rate, Scope, ScopeKind
from proxy.policy.problems import PolicyError

TIERS = "tiers: [gold, trial, anonymous]\n"


def test_a_single_rate_is_every_tiers(policy):
    """A default is what the others have."""
    limit = policy(TIERS + "limits: {a: {scope: ip, rate: 5/1m}}\n").limits["a"]
    assert limit.rates == dict.fromkeys(["gold", "trial", "anonymous"], Rate(5_000, 60_000))


def test_a_map_covers_every_tier(policy):
    """By name, or by default; in the order of the tiers."""
    limit = policy(TIERS + "limits: {a: {scope: ip, rate: {trial: 1/1m, default: 5/1h}}}\n").limits["a"]
    assert list(limit.rates.items()) == [
        ("gold", Rate(5_000, 3_600_000)),
        ("trial", Rate(1_000, 60_000)),
        ("anonymous", Rate(5_000, 3_600_000)),
    ]


@pytest.mark.parametrize(
    ("written", "kind", "rate"),
    [
        ("rate: 5/1m", MeterKind.WINDOW, Rate(5_000, 60_000)),
        ("kind: window, rate: 5/1m", MeterKind.WINDOW, Rate(5_000, 60_000)),
        ("kind: smooth, rate: 5/1m", MeterKind.SMOOTH, Rate(5_000, 60_000, 1_000)),
        ("kind: smooth, rate: 5/1m, burst: 3", MeterKind.SMOOTH, Rate(5_000, 60_000, 3_000)),
        ("kind: calendar, rate: 5/week", MeterKind.CALENDAR, Rate(5_000, period=Period.WEEK)),
        ("concurrent: 5", MeterKind.CONCURRENCY, Rate(5_000)),
    ],
)
def test_each_kind_has_its_numbers(policy, written, kind, rate):
    """Thousandths of a request, milliseconds."""
    limit = policy(f"limits: {{a: {{scope: ip, {written}}}}}\n").limits["a"]
    assert limit.kind is kind
    assert set(limit.rates.values()) == {rate}


def test_a_calendar_begins_in_its_time_zone(policy):
    """UTC, unless it is said."""
    limits = policy(
        "limits:\n"
        "  a: {scope: ip, kind: calendar, rate: 1/day}\n"
        "  b: {scope: ip, kind: calendar, rate: 1/day, time_zone: America/New_York}\n"
    ).limits
    assert [limit.time_zone for limit in limits.values()] == ["UTC", "America/New_York"]


def test_scopes_combine(policy):
    """In the order that they are written."""
    limit = policy("limits: {a: {scope: [route, claim:app.plan], rate: 1/1m}}\n").limits["a"]
    assert limit.scopes == (Scope(ScopeKind.ROUTE), Scope(ScopeKind.CLAIM, ("app", "plan")))


def test_limits_are_numbered_in_their_order(policy):
    """The number is the limit's place in metrics."""
    limits = policy("limits: {b: {scope: ip, rate: 1/1m}, a: {scope: ip, rate: 1/1m}}\n").limits
    assert [(limit.name, limit.index) for limit in limits.values()] == [("b", 0), ("a", 1)]


def test_the_least_amount_is_the_lightest_routes(policy):
    """It decides between exact times and sub-windows. What is in flight counts one, whatever it weighs."""
    limits = policy(
        "limits: {a: {scope: ip, rate: 9/1m}, b: {scope: ip, concurrent: 9}, c: {scope: ip, rate: 9/1m}}\n"
        "defaults: {auth: none, limits: [a, b]}\n"
        "routes:\n"
        "  - {name: light, match: {path: /l}, upstream: app, weight: 0.25}\n"
        "  - {name: heavy, match: {}, upstream: app, weight: 3, limits+: [c]}\n"
    ).limits
    assert {name: limit.min_amount for name, limit in limits.items()} == {"a": 250, "b": 1_000, "c": 3_000}


def test_tenants_have_exceptions(policy):
    """Each of the limit's own kind; smooth keeps its burst; with an end or without."""
    limits = policy(
        "limits:\n"
        "  a: {scope: tenant, rate: 1/1m}\n"
        "  b: {scope: tenant, concurrent: 1}\n"
        "  c: {scope: tenant, kind: smooth, rate: 1/1m, burst: 2}\n"
        "tenants:\n"
        "  acme: {limits: {a: 5/1h, b: 7, c: 9/1m}, expires: 2026-12-31}\n"
        "  no: {limits: {a: 6/1m}}\n"
    ).limits
    end_ms = 1_798_761_600_000
    assert limits["a"].tenants == {"acme": (Rate(5_000, 3_600_000), end_ms), "no": (Rate(6_000, 60_000), None)}
    assert limits["b"].tenants == {"acme": (Rate(7_000), end_ms)}
    assert limits["c"].tenants == {"acme": (Rate(9_000, 60_000, 2_000), end_ms)}


def test_a_number_for_every_tier_is_told_once_where_one_is_wrong(policy):
    """One line of the file, one message, however many tiers it stands for."""
    with pytest.raises(PolicyError) as error:
        policy(TIERS + "limits: {a: {scope: ip, rate: 5/day}}\n")
    assert len(error.value.problems) == 1
