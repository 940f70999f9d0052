"""What the answer says is what is billed."""

from fractions import Fraction

import pytest

from proxy.ai.costs import Account, Billed, billed, cost_of, geo_factor
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


@pytest.mark.parametrize(
    ("unit", "found"),
    [("input_audio_tokens", Billed.UNKNOWN), ("output_audio_tokens", Billed.UNKNOWN), ("x", Billed.EXACT)],
)
def test_sound_without_a_price_of_its_own_is_no_exact_cost(prices: ModelPrices, unit: str, found: Billed) -> None:
    usage = Usage(COUNTS | {unit: 7}, complete=True)
    assert billed(call("openai", CHAT), usage, prices, AT_MS) is found
    audio = bundled().find("openai", "gpt-audio")
    assert audio is not None
    assert billed(call("openai", CHAT), usage, audio, AT_MS) is Billed.EXACT
    gemini = call("gemini", {"contents": []})
    assert billed(gemini, usage, prices, AT_MS) is Billed.EXACT


@pytest.mark.parametrize(
    ("dialect", "provider", "model", "said", "found"),
    [
        ("openai", "openai", "gpt-5", "priority", Billed.EXACT),
        ("openai", "openai", "gpt-5", "flex", Billed.EXACT),
        ("openai", "openai", "gpt-5", "default", Billed.EXACT),
        ("openai", "openai", "gpt-5-pro", "priority", Billed.UNKNOWN),
        ("openai", "openai", "gpt-5-pro", "flex", Billed.AT_MOST),
        ("openai", "openai", "gpt-5", "ultrafast", Billed.UNKNOWN),
        ("azure", "azure", "gpt-4o", "priority", Billed.UNKNOWN),
        ("azure", "azure", "gpt-4o", "default", Billed.EXACT),
        ("gemini", "google", "gemini-2.5-flash", "priority", Billed.UNKNOWN),
        ("gemini", "google", "gemini-2.5-flash", "flex", Billed.AT_MOST),
        ("gemini", "google", "gemini-2.5-flash", "standard", Billed.EXACT),
        ("anthropic", "anthropic", "claude-opus-4-6", "priority", Billed.EXACT),
        ("anthropic", "anthropic", "claude-opus-4-6", "standard", Billed.EXACT),
        ("groq", "groq", "llama-3.3-70b-versatile", "performance", Billed.EXACT),
        ("mistral", "mistral", "mistral-large-latest", "default", Billed.EXACT),  # whose requests choose none
        ("mistral", "mistral", "mistral-large-latest", "priority", Billed.UNKNOWN),
    ],
)
def test_an_answers_tier_without_a_price_is_no_exact_cost(
    dialect: str, provider: str, model: str, said: str, found: Billed
) -> None:
    """A dearer one has no known cost; a cheaper one costs at most the usual."""
    prices = bundled().find(provider, model)
    assert prices is not None
    made = call(dialect, {"model": model, "messages": [], "contents": [], "max_tokens": 5})
    usage = Usage(COUNTS, complete=True, context=(("service_tier", said),))
    assert billed(made, usage, prices, AT_MS) is found
