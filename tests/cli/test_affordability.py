"""Budgets below a single call are told before anybody meets one."""

import pytest

from proxy.ai.prices.table import PriceTable
from proxy.cli.affordability import Affordability
from proxy.policy.compiler import compile_text

NOW_MS = 1_795_392_000_000  # 2026-11-23

TABLE = PriceTable(
    {
        "version": "test",
        "units": {
            "input_tokens": [1_000_000, {"direction": "input", "family": "tokens"}],
            "output_tokens": [1_000_000, {"direction": "output", "family": "tokens"}],
        },
        "providers": {
            "openai": {
                "models": [
                    {"id": model, "match": ["equals", model], "prices": [[None, prices]]}
                    for model, prices in {
                        "dear": {"input_tokens": "100", "output_tokens": "1000"},
                        "usual": {"input_tokens": "2", "output_tokens": "20"},
                        "cheap": {"input_tokens": "1", "output_tokens": "10"},
                        "free": {"input_tokens": "0", "output_tokens": "0"},
                        "embedder": {"input_tokens": "0.1"},
                    }.items()
                ]
            }
        },
    }
)

"""At 1,000 tokens of output: one cent, two cents, a dollar."""

POLICY = """
version: 1
tiers: [gold, trial, anonymous]
identity: {issuers: [{issuer: a, secrets: ["0123456789abcdef0123456789abcdef"]}]}
upstreams: {ai: {primary: ["https://a"], dialect: openai}}
budgets: {user: {scope: user, daily: {gold: $100, trial: $TRIAL, anonymous: $0.001}EXCEED}}
"""


def warned(route: str, *, trial: str = "$0.01", exceed: str = "", more: str = "") -> list[str]:
    text = POLICY.replace("$TRIAL", trial).replace("EXCEED", exceed) + more
    text += f"\nroutes: [{{name: ai, match: {{}}, upstream: ai, budgets: [user], {route}}}]\n"
    policy = compile_text(text, "config.yaml", {}).policy
    found = list(Affordability(policy, TABLE, NOW_MS).warnings())
    assert {path for path, _ in found} <= {("routes", 0)}
    return [message for _, message in found]


def test_a_tier_whose_budget_is_below_one_call_is_told() -> None:
    """With the cheapest model that costs anything; 1,001 tokens at $10 a million are just above a cent."""
    assert warned("max_output_tokens: 1000", trial="$0.02") == []
    assert warned("max_output_tokens: 1001") == [
        "for trial no call with 1,001 tokens of output fits the budget 'user' in a day: "
        "with the cheapest model, cheap, it may cost $0.01001"
    ]


def test_a_tier_that_most_models_are_too_dear_for_is_told() -> None:
    """A single dear model is no reason to: nobody would read on."""
    assert warned("max_output_tokens: 1000", trial="$0.019999999") == [
        "for trial a call with 1,000 tokens of output fits the budget 'user' in a day "
        "with half of the models at most: with the dearest, dear, it may cost $1"
    ]


def test_the_largest_call_that_may_be_asked_for_is_looked_at_too() -> None:
    (message,) = warned("max_output_tokens: {default: 500, most: 1001}")
    assert message.startswith("for trial no call with 1,001 tokens of output fits")


def test_without_a_cap_nothing_is_known() -> None:
    assert warned("unbounded_hold: $0.01") == []


@pytest.mark.parametrize(
    ("auth", "tiers"),
    [("required", "trial"), ("optional", "trial, anonymous"), ("none", "anonymous")],
)
def test_only_tiers_that_may_come_this_way_are_told(auth: str, tiers: str) -> None:
    (message,) = warned(f"max_output_tokens: 1001, auth: {auth}")
    assert message.startswith(f"for {tiers} no call")


def test_a_tier_that_may_spend_nothing_is_meant_to() -> None:
    assert warned("max_output_tokens: 1001", trial="$0") == []


@pytest.mark.parametrize(
    ("prices", "fits"),
    [
        ("{discounts: {openai: 1%}}", True),
        ("{overrides: {cheap: {input: $1/1M, output: $9.9/1M}}}", True),
        ("{overrides: {cheap: {input: $1/1M, output: $20/1M}}}", False),
        ("{overrides: {own: {input: $1/1M, output: $9.9/1M}}}", True),
        ("{overrides: {own: {input: $1/1M, output: $10/1M}}, discounts: {openai: 0.01%}}", False),
    ],
)
def test_the_policys_own_prices_count(prices: str, fits: bool) -> None:
    """A discount is off the table's prices; one's own are as agreed, and go before the table's."""
    found = warned("max_output_tokens: 1001", more=f"prices: {prices}")
    assert (not any("no call" in message for message in found)) is fits


def test_a_model_to_fall_back_on_must_be_priced_and_fit() -> None:
    downgrade = ", on_exceed: {downgrade: %s}"
    assert warned("max_output_tokens: 500", exceed=downgrade % "cheap") == []
    assert warned("max_output_tokens: 500", exceed=downgrade % "dear") == [
        "for trial the budget 'user' is below one call of 'dear', to which it downgrades: $0.50 for its output"
    ]
    assert warned("max_output_tokens: 500", exceed=downgrade % "nobody") == [
        "the budget 'user' downgrades to 'nobody', whose price nobody knows: it is refused"
    ]
    unknown = "prices: {unknown_model: {input: $1/1M, output: $1/1M}}"
    assert warned("max_output_tokens: 500", exceed=downgrade % "nobody", more=unknown) == []
