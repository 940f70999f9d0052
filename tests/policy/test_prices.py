"""Prices of one's own: whole, exact, and under the names that the price table uses."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from proxy.policy.model import Policy
from proxy.policy.spending import Account, OwnPrice, Prices

Compiled = Callable[[str], Policy]


def test_nothing_said_is_the_table_alone(policy: Compiled) -> None:
    """What nobody knows is refused."""
    assert policy("").prices == policy("prices: {unknown_model: refuse}\n").prices == Prices()


def test_own_prices(policy: Compiled) -> None:
    """Dollars as written, in the units of the price list; a window alone leaves the price."""
    prices = policy(
        "prices:\n"
        "  unknown_model: {input: $10/1M, output: $30/1M}\n"
        "  aliases: {my-deployment: gpt-4o}\n"
        "  overrides:\n"
        "    my-finetune: {input: $3/1M, cached_read: $0.30/1M, web_search: $10/1K, window: 200_000}\n"
        "    embedder: {input: $0.02/1M}\n"
        "    local: {window: 8192}\n"
    ).prices
    assert prices.unknown == OwnPrice({"input": Decimal(10), "output": Decimal(30)})
    assert prices.aliases == {"my-deployment": "gpt-4o"}
    assert prices.overrides == {
        "my-finetune": OwnPrice(
            {"input": Decimal(3), "cached_read": Decimal("0.3"), "web_search": Decimal(10)}, window=200_000
        ),
        "embedder": OwnPrice({"input": Decimal("0.02")}),
        "local": OwnPrice({}, window=8192),
    }


def test_discounts_are_what_is_left_to_pay(policy: Compiled) -> None:
    """Exactly; by the provider's name in the price table, which for Gemini is another than the dialect's."""
    prices = policy("prices: {discounts: {openai: 15%, gemini: 33.3333%}}\n").prices
    assert prices.factors == {"openai": Fraction(85, 100), "google": Fraction(666_667, 1_000_000)}


def test_tiers_of_ones_own(policy: Compiled) -> None:
    """With them an account may have a tier that no list prices."""
    prices = policy(
        "prices: {accounts: {gemini: {service_tier: priority}, azure: {service_tier: priority}}, overrides:"
        " {g: {input: $1/1M, output: $2/1M, service_tiers: {priority: {input: $3/1M, output: $4/1M}}}}}\n"
    ).prices
    assert prices.overrides["g"].tiers == {"priority": {"input": Decimal(3), "output": Decimal(4)}}
    assert prices.accounts["google"] == prices.accounts["azure"] == Account((("service_tier", "priority"),))


def test_accounts(policy: Compiled) -> None:
    prices = policy(
        "prices: {accounts: {openai: {service_tier: priority}, gemini: {service_tier: flex}, anthropic: {geo: us},"
        " mistral: {}}}\n"
    ).prices
    assert prices.accounts == {
        "openai": Account((("service_tier", "priority"),)),
        "google": Account((("service_tier", "flex"),)),
        "anthropic": Account(geo="us"),
        "mistral": Account(),
    }
