"""A policy's own prices go before the table's, and a forgotten line is never free."""

from decimal import Decimal

import pytest

from proxy.ai.prices.pricelist import OVERRIDES, Override, PriceList
from proxy.ai.prices.table import bundled
from proxy.ai.prices.units import cost_nanousd

NOW = 1_795_000_000_000


def test_an_override_replaces_the_whole_price() -> None:
    own = Override({"input": Decimal(3), "output": Decimal(6)}, window=1000)
    prices = PriceList(bundled(), overrides={"My-Finetune": own}).find("openai", "my-finetune")
    assert prices is not None
    counts = {"input_tokens": 10, "cache_read_tokens": 10, "output_tokens": 1}
    assert cost_nanousd(prices.rates(NOW), counts) == 10 * 3000 + 6000
    assert prices.window == 1000


def test_an_overrides_tier_is_whole() -> None:
    """What the standard price has apart and the tier has not is billed at the tier's wider price."""
    standard = {"input": Decimal(3), "cached_read": Decimal(1), "output": Decimal(6), "web_search": Decimal(10)}
    own = Override(standard, tiers={"priority": {"input": Decimal(5), "output": Decimal(9)}})
    prices = PriceList(bundled(), overrides={"m": own}).find("openai", "m")
    assert prices is not None
    priority = (("service_tier", "priority"),)
    counts = {"input_tokens": 10, "cache_read_tokens": 10, "output_tokens": 1, "web_searches": 1}
    assert cost_nanousd(prices.rates(NOW), counts) == 10 * 1000 + 6000 + 10_000_000
    assert cost_nanousd(prices.rates(NOW, priority), counts) == 10 * 5000 + 9000 + 10_000_000
    assert prices.prices_for(NOW, priority) == set(priority)
    assert prices.prices_for(NOW, (("service_tier", "scale"),)) == set()


def test_an_alias_has_the_price_of_what_it_names() -> None:
    prices = PriceList(bundled(), aliases={"mine": "gpt-5"})
    assert prices.find("azure", "Mine") is prices.find("azure", "gpt-5")
    assert prices.find("azure", "theirs") is None


def test_a_window_alone_leaves_the_price() -> None:
    prices = PriceList(bundled(), overrides={"gpt-5": Override(window=7)})
    own, table = prices.find("openai", "gpt-5"), bundled().find("openai", "gpt-5")
    assert own is not None
    assert table is not None
    assert (own.window, own.prices) == (7, table.prices)
    assert prices.find("openai", "gpt-5") is own
    assert prices.find("groq", "gpt-5") is None


@pytest.mark.parametrize("price", [{"inputs": Decimal(1)}, {"input": Decimal(-1)}, {"input": Decimal("NaN")}])
def test_what_is_no_price_is_an_error(price: dict) -> None:
    with pytest.raises(ValueError, match="not a price"):
        PriceList(bundled(), overrides={"m": Override(price)})


def test_every_word_names_a_unit() -> None:
    assert set(OVERRIDES.values()) <= set(bundled().units)
    assert PriceList(bundled()).version == bundled().version
