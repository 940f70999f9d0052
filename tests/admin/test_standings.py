"""Where budgets stand, decided from what is known of them."""

from pathlib import Path

import pytest

from proxy.admin.granting import fitting
from proxy.admin.standings import Budgets
from proxy.core.identity import Identity, IdentityKind
from proxy.core.usage import Charge, Spender
from proxy.metering.budgets import make_call_plan
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.admin.spent import written_policy
from tests.ledger.samples import NOW_MS  # 2026-11-18

DOLLAR = 10**9


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(written_policy(tmp_path), {}).policy


@pytest.fixture
def budgets(policy: Policy) -> Budgets:
    return Budgets(policy.budgets, NOW_MS)


def test_what_is_asked_for_is_what_admission_counts(policy: Policy, budgets: Budgets) -> None:
    """Name, period, counter and end are those that a call's own plan charges."""
    identity = Identity(IdentityKind.USER, "trial", "acme", "test-issuer", "u 1")
    plan = make_call_plan(policy.routes[0], identity, "203.0.113.9", "m", NOW_MS, {})
    for held in plan.held:
        found = fitting(policy, held.scope, held.budget.name)
        charges = [budgets.charge(budget, subject) for budget, subject in found if budget.period is held.budget.period]
        theirs = held.charge(NOW_MS)
        assert charges == [theirs]
        assert (charges[0].counter, charges[0].ends_ms) == (theirs.counter, theirs.ends_ms)


def test_budgets_of_everybody_are_there_before_anybody_spends(budgets: Budgets) -> None:
    assert [(one.budget, one.scope, one.period) for one in budgets.of_everybody()] == [
        ("global", "global", "2026-11-18"),
        ("global", "global", "2026-11"),
    ]


@pytest.mark.parametrize(
    ("spender", "amount", "left"),
    [
        (Spender("enterprise", "acme"), 5_010 * DOLLAR, 5_007 * DOLLAR),
        (Spender("trial", "acme"), 210 * DOLLAR, 207 * DOLLAR),
        (Spender("gone", "acme"), None, None),
        (None, None, None),
    ],
)
def test_an_amount_is_that_of_who_spent_last(
    budgets: Budgets, spender: Spender | None, amount: int | None, left: int | None
) -> None:
    """Grants are on top of it; tiers that do not agree say nothing where nobody is known."""
    charge = Charge("tenant", "tenant:acme", "2026-11")
    granted = {("tenant", "tenant:acme"): 10 * DOLLAR, ("tenant", "tenant:zeta"): DOLLAR}
    found = budgets.standing(charge, spender, granted, 2 * DOLLAR, DOLLAR)
    assert (found.amount, found.left, found.granted) == (amount, left, 10 * DOLLAR)


def test_where_all_tiers_have_the_same_nobody_need_have_spent(budgets: Budgets) -> None:
    charge = Charge("user", "user:test-issuer u", "2026-11-18")
    assert budgets.standing(charge, None, {}, 11 * DOLLAR, None).left == -DOLLAR


def test_what_is_taken_back_never_goes_below_nothing(budgets: Budgets) -> None:
    charge = Charge("user", "user:test-issuer u", "2026-11-18")
    granted = {("user", "user:test-issuer u"): -50 * DOLLAR}
    assert budgets.standing(charge, None, granted, 0, 0).amount == 0


def test_a_period_that_the_policy_does_not_have_is_told_without_its_amount(budgets: Budgets) -> None:
    """Of a budget that is gone, and of one whose time zone was another."""
    for charge in (Charge("gone", "global", "2026-11-18"), Charge("user", "user:i u", "2026-11-18 Asia/Tokyo")):
        assert budgets.standing(charge, Spender("trial"), {}, 1, 0).amount is None
