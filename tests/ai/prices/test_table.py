"""The compiled table says what genai-prices says: which model a name means, and what each costs, to the nano-dollar."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers

from proxy.ai.prices import table as module
from proxy.ai.prices.table import bundled
from proxy.ai.prices.units import cost_nanousd

PROVIDERS = {provider.id: provider for provider in providers}
OURS = ["openai", "anthropic", "google", "azure", "groq", "mistral"]
TIMES = [
    datetime(2025, 3, 1, tzinfo=UTC),
    datetime(2026, 10, 13, 17, tzinfo=UTC),
    datetime(2026, 11, 23, 5, tzinfo=UTC),
]
CACHES = {
    "input_tokens": 90_001,
    "cache_read_tokens": 30_007,
    "cache_write_tokens": 20_003,
    "cache_write_1h_tokens": 7001,
    "output_tokens": 5003,
    "output_reasoning_tokens": 1009,
    "web_searches": 3,
    "storage_searches": 2,
}
MEDIA = {
    "input_tokens": 50_000,
    "input_audio_tokens": 1001,
    "input_image_tokens": 2003,
    "input_video_tokens": 307,
    "cache_read_tokens": 909,
    "cache_audio_read_tokens": 101,
    "cache_image_read_tokens": 203,
    "output_tokens": 9001,
    "output_audio_tokens": 11,
    "output_image_tokens": 1290,
    "output_video_tokens": 7,
}
USAGES = [
    {"input_tokens": 1, "output_tokens": 1},
    CACHES,
    CACHES | {"input_tokens": 128_001},
    CACHES | {"input_tokens": 200_000},
    CACHES | {"input_tokens": 1_000_001},
    MEDIA,
]


def contexts(model: types.ModelInfo) -> Iterator[dict[str, str]]:
    yield {}
    seen = []
    for variant in model.price_variants or ():
        if variant.when not in seen:
            seen.append(variant.when)
            yield variant.when


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "mistral", "groq", "deepseek"])
def test_every_model_costs_what_the_library_says(provider: str) -> None:
    """With caches, long contexts, sound and pictures, in every tier, before and after changes of price."""
    ours = {model.id: model for model in bundled().models(provider)}
    assert len(ours) == len(PROVIDERS[provider].models)
    compared = 0
    for model in PROVIDERS[provider].models:
        for context in contexts(model):
            for at in TIMES:
                rates = ours[model.id].rates(int(at.timestamp() * 1000), tuple(context.items()))
                for usage in USAGES:
                    wanted = model.calc_price(
                        types.Usage(**usage),
                        PROVIDERS[provider],
                        genai_request_timestamp=at,
                        price_context=context,
                    ).total_price
                    assert cost_nanousd(rates, usage) == ceil(wanted * 10**9), (model.id, context, at, usage)
                    compared += 1
    assert compared >= len(ours) * len(TIMES) * len(USAGES)


def names(rule: Any) -> Iterator[str]:
    """Names that a rule was written for, and some beside them."""
    if isinstance(rule, types.ClauseOr | types.ClauseAnd):
        for one in rule.or_ if isinstance(rule, types.ClauseOr) else rule.and_:
            yield from names(one)
        return
    text = next(iter(vars(rule).values()))
    yield text
    yield f"{text}-20251211"
    yield f"{text}-x".upper()
    yield f"ft:{text}:acme"


@pytest.mark.parametrize("provider", OURS)
def test_every_name_means_the_model_that_the_library_finds(provider: str) -> None:
    for other in (provider, *(PROVIDERS[provider].fallback_model_providers or ())):
        for model in PROVIDERS[other].models:
            for name in (model.id, *names(model.match)):
                wanted = PROVIDERS[provider].find_model(name, all_providers=providers)
                found = bundled().find(provider, name)
                assert (found and found.id) == (wanted and wanted.id), name
                assert (found and found.window) == (wanted and wanted.context_window)


def test_an_unknown_model_has_no_price() -> None:
    assert bundled().find("openai", "nothing-of-that-name") is None
    assert bundled().find("nobody", "gpt-5") is None


def test_a_fallback_has_no_tiers_of_the_other_provider() -> None:
    """As the library has it: what OpenAI asks for priority is not what Azure asks."""
    model = bundled().find("azure", "gpt-5.1")
    assert model is not None
    at_ms = int(TIMES[2].timestamp() * 1000)
    assert model.rates(at_ms, (("service_tier", "priority"),)) is model.rates(at_ms)


def test_names_from_clients_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 10)
    table = module.PriceTable({"version": "v", "units": {}, "providers": {"p": {"models": []}}})
    for number in range(100):
        assert table.find("p", f"m{number}") is None
    assert len(table._providers["p"].names) <= 10


def test_the_version_names_the_library_and_the_content() -> None:
    assert bundled().version.startswith(f"genai-prices {genai_prices.__version__} ")


def test_the_table_is_read_without_the_library() -> None:
    code = (
        "import sys; from proxy.ai.prices.table import bundled; bundled().find('openai', 'gpt-5');"
        "print('genai_prices' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_prices_are_exact() -> None:
    model = bundled().find("openai", "gpt-5")
    assert model is not None
    assert model.prices[0][1]["input_tokens"].base == Decimal("1.25")
