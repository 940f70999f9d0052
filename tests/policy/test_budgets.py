"""Budgets as written become one for each period, with every tier covered."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from proxy.core.units import NANOS
from proxy.policy.model import Period, Policy, Scope, ScopeKind
from proxy.policy.spending import OnExceed

TIERS = "tiers: [gold, silver, trial, anonymous]\n"

Compiled = Callable[[str], Policy]


def test_each_period_is_a_budget_of_its_own(policy: Compiled) -> None:
    """Numbered one after another, whatever their names: the number is a budget's place in metrics."""
    budgets = policy(
        "budgets:\n"
        "  time_zone: Europe/Zurich\n"
        "  b: {scope: global, monthly: $25_000, daily: $1_000}\n"
        "  a: {scope: [tenant, model], weekly: $7.5}\n"
    ).budgets
    assert [(one.name, one.index, one.period) for one in budgets] == [
        ("b", 0, Period.DAY),
        ("b", 1, Period.MONTH),
        ("a", 2, Period.WEEK),
    ]
    assert {one.time_zone for one in budgets} == {"Europe/Zurich"}
    assert budgets[2].scopes == (Scope(ScopeKind.TENANT), Scope(ScopeKind.MODEL))
    assert budgets[2].amounts == dict.fromkeys(["standard", "anonymous"], 7_500_000_000)


def test_periods_begin_in_utc_unless_it_is_said(policy: Compiled) -> None:
    (budget,) = policy("budgets: {a: {scope: global, daily: $5}}\n").budgets
    assert budget.time_zone == "UTC"


def test_amounts_cover_every_tier(policy: Compiled) -> None:
    """By name, or by default; none at all is an amount, too."""
    (budget,) = policy(
        TIERS + "budgets: {a: {scope: user, daily: {gold: $5, anonymous: $0, default: $0.50}}}\n"
    ).budgets
    assert budget.amounts == {"gold": 5 * NANOS, "silver": NANOS // 2, "trial": NANOS // 2, "anonymous": 0}


@pytest.mark.parametrize(
    ("written", "usable"),
    [
        ("{}", {}),
        ("{gold: 30%}", {"silver": "0.7", "trial": "0.7", "anonymous": "0.7"}),
        ("{silver: 25%, gold: 30%}", {"silver": "0.7", "trial": "0.45", "anonymous": "0.45"}),
        ("{silver: 12.5%}", {"trial": "0.875", "anonymous": "0.875"}),
        ("{gold: 60%, trial: 40%}", {"silver": "0.4", "trial": "0.4", "anonymous": "0"}),
    ],
)
def test_what_is_kept_for_a_tier_only_it_and_better_ones_may_use(
    policy: Compiled, written: str, usable: dict[str, str]
) -> None:
    """A tier may use all but what is kept for tiers strictly better than it."""
    (budget,) = policy(TIERS + f"budgets: {{a: {{scope: global, daily: $10, reserve: {written}}}}}\n").budgets
    assert budget.usable == {tier: Fraction(share) for tier, share in usable.items()}


@pytest.mark.parametrize(
    ("written", "on_exceed", "model"),
    [
        ("", OnExceed.BLOCK, None),
        (", on_exceed: block", OnExceed.BLOCK, None),
        (", on_exceed: warn", OnExceed.WARN, None),
        (", on_exceed: {downgrade: gpt-4o-mini}", OnExceed.DOWNGRADE, "gpt-4o-mini"),
    ],
)
def test_what_happens_when_it_is_used_up(
    policy: Compiled, written: str, on_exceed: OnExceed, model: str | None
) -> None:
    (budget,) = policy(f"budgets: {{a: {{scope: global, daily: $5{written}}}}}\n").budgets
    assert (budget.on_exceed, budget.downgrade_to) == (on_exceed, model)


def test_tenants_have_exceptions(policy: Compiled) -> None:
    """An amount alone for the only period, or one for each that differs; with an end or without."""
    one, day, month = policy(
        "budgets: {one: {scope: tenant, weekly: $1}, two: {scope: tenant, daily: $1, monthly: $20}}\n"
        "tenants:\n"
        "  acme: {budgets: {one: $900, two: {daily: $50, monthly: $900}}, expires: 2026-12-31}\n"
        "  beta: {budgets: {one: {weekly: $2}, two: {monthly: $30}}}\n"
    ).budgets
    end_ms = 1_798_761_600_000
    assert one.tenants == {"acme": (900 * NANOS, end_ms), "beta": (2 * NANOS, None)}
    assert day.tenants == {"acme": (50 * NANOS, end_ms)}
    assert month.tenants == {"acme": (900 * NANOS, end_ms), "beta": (30 * NANOS, None)}
