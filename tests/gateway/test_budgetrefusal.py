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


def refused(offer: Offer, *verdicts: Verdict, settled: int = 0, held: int = 0, left: float = 0.0) -> Holding:
    plan = offer.plan.plan
    hold = new_hold(bytes(16), plan, offer.plan.amounts(offer.nanousd, offer.tokens))
    meters = [number for verdict in verdicts for number in (verdict, left, 1500.0)]
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
    assert "budget" not in dict(error.members)


def test_a_limit_of_tokens_says_its_size_what_is_left_and_when_it_resets() -> None:
    """As a budget does; not earlier than the call would fit."""
    offer = offer_for(route(budget(), limits=(tokens("per-minute"),)), nanousd=DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.FITS, Verdict.NOT_NOW, left=20), NOON)
    assert dict(error.members) == {
        "limit": "per-minute",
        "scope": "tenant:acme",
        "window_s": 60,
        "limit_tokens": 100_000,
        "left_tokens": 20,
        "needed_tokens": 30,
        "resets_at": "2026-11-23T12:00:02Z",
    }
    assert "20 left of 100000 tokens in 60 s, and this call may use up to 30" in error.detail


def test_a_call_larger_than_a_whole_limit_is_told_so() -> None:
    offer = offer_for(route(budget(), limits=(tokens("per-minute"),)), nanousd=DOLLAR)
    error = budget_refusal(offer, refused(offer, Verdict.FITS, Verdict.NEVER, left=100_000), NOON)
    assert "more than the whole limit per-minute of 100000 tokens in 60 s" in error.detail
    assert "resets_at" not in dict(error.members)


def test_the_bound_is_what_is_needed() -> None:
    assert offer_for(route(budget()), nanousd=7).bound == Bound(7, 10, 20)
