"""What the answer says is what is billed."""

from fractions import Fraction

import pytest

from proxy.ai.costs import Account, cost_of, geo_factor, lacks_a_price
from proxy.ai.prices.table import ModelPrices, bundled
from proxy.ai.usage.result import Usage
from tests.ai.dialects.reads import call
from tests.ai.requests import AT

AT_MS = int(AT.timestamp() * 1000)
COUNTS = {"input_tokens": 100, "cache_read_tokens": 40, "output_tokens": 10}
CHAT = {"model": "gpt-5", "messages": []}
USUAL = 60 * 1250 + 40 * 125 + 10 * 10_000
PRIORITY, FLEX = 2 * USUAL, USUAL // 2


@pytest.fixture
def prices() -> ModelPrices:
    found = bundled().find("openai", "gpt-5")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "account", "said", "cost"),
    [
        (None, None, None, USUAL),
        ("flex", None, None, FLEX),
        ("flex", None, "default", USUAL),
        ("flex", None, "standard", USUAL),
        ("priority", None, "priority", PRIORITY),
        ("priority", None, "default", USUAL),
        (None, "priority", None, PRIORITY),
        ("auto", "priority", None, PRIORITY),
        (None, "priority", "default", USUAL),
    ],
)
def test_the_answers_tier_goes_before_the_requests_and_that_before_the_accounts(
    prices: ModelPrices, asked: str | None, account: str | None, said: str | None, cost: int
) -> None:
    usage = Usage(COUNTS, complete=True, context=(("service_tier", said),) if said else ())
    settings = Account(context=(("service_tier", account),) if account else ())
    made = call("openai", CHAT | {"service_tier": asked})
    assert cost_of(made, usage, prices, AT_MS, account=settings) == cost


def test_contract_and_region_multiply_and_the_sum_is_rounded_up_once(prices: ModelPrices) -> None:
    usage = Usage(COUNTS, complete=True, geo="us")
    exact = USUAL * Fraction(11, 10) * Fraction(7, 9)
    assert cost_of(call("openai", CHAT), usage, prices, AT_MS, factor=Fraction(7, 9)) == -(-exact // 1)


def test_regions() -> None:
    assert [geo_factor(geo) for geo in (None, "global", "us", "mars")] == [1, 1, Fraction(11, 10), Fraction(11, 10)]


@pytest.mark.parametrize(("unit", "lacks"), [("input_audio_tokens", True), ("output_audio_tokens", True), ("x", False)])
def test_sound_without_a_price_of_its_own_is_no_exact_cost(prices: ModelPrices, unit: str, lacks: bool) -> None:
    usage = Usage(COUNTS | {unit: 7}, complete=True)
    assert lacks_a_price(call("openai", CHAT), usage, prices, AT_MS) is lacks
    audio = bundled().find("openai", "gpt-audio")
    assert audio is not None
    assert not lacks_a_price(call("openai", CHAT), usage, audio, AT_MS)
    gemini = call("gemini", {"contents": []})
    assert not lacks_a_price(gemini, usage, prices, AT_MS)
