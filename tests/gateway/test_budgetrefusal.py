"""What a refused caller is told: the budget, what is left, when it resets; and nothing of another's."""

from proxy.ai.bounds import Hold as Bound
from proxy.core.errors import Reason
from proxy.gateway.budgetrefusal import budget_refusal
from proxy.gateway.callrecord import Offer
from proxy.metering.decision import Holding
from proxy.metering.holds import new_hold
from proxy.metering.takes import Verdict
from proxy.policy.spending import OnExceed
from tests.gateway.calls import NOON, offer_for
from tests.metering.test_budgets import DOLLAR, budget, route, tokens


def refused(offer: Offer, *verdicts: Verdict, settled: int = 0, held: int = 0) -> Holding:
    plan = offer.plan.plan
    hold = new_hold(bytes(16), plan, offer.plan.amounts(offer.nanousd, offer.tokens))
    meters = [number for verdict in verdicts for number in (verdict, 0.0, 1000.0)]
    return Holding(hold, tuple(meters), (settled, held) * len(plan.meters))


def test_it_names_the_budget_what_is_left_and_when_it_resets() -> None:
    offer = offer_for(route(budget()), nanousd=DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.NOT_NOW, settled=4 * DOLLAR, held=DOLLAR // 2), NOON)
    assert error.reason is Reason.BUDGET_EXCEEDED
    assert dict(error.members) == {
        "budget": "tenant",
        "period": "day",
        "scope": "tenant:acme",
        "limit_usd": "5.00",
        "left_usd": "0.50",
        "needed_usd": "1.00",
        "resets_at": "2026-11-24T00:00:00Z",
    }
    assert "$0.50 left of $5.00" in error.detail


def test_a_call_larger_than_the_whole_budget_is_told_so() -> None:
    offer = offer_for(route(budget()), nanousd=6 * DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.NEVER), NOON)
    assert "more than the whole budget tenant (day) of $5.00" in error.detail


def test_the_first_budget_that_refused_is_named_and_one_that_would_only_warn_is_not() -> None:
    offer = offer_for(route(budget("soft", on_exceed=OnExceed.WARN), budget("hard")), nanousd=DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.NOT_NOW, Verdict.NOT_NOW), NOON)
    assert dict(error.members)["budget"] == "hard"


def test_where_only_tokens_are_short_no_budget_is_blamed() -> None:
    offer = offer_for(route(budget(), limits=(tokens("per-minute"),)), nanousd=DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.FITS, Verdict.NOT_NOW), NOON)
    assert error.reason is Reason.QUOTA_EXCEEDED
    assert "per-minute" in error.detail


def test_the_bound_is_what_is_needed() -> None:
    assert offer_for(route(budget()), nanousd=7).bound == Bound(7, 10, 20)
