"""Every dialect is known by its name, and can be priced."""

from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.table import bundled


def test_every_dialect_has_prices() -> None:
    assert set(DIALECTS) == {"openai", "azure", "anthropic", "gemini", "groq", "mistral"}
    assert {dialect.provider for dialect in DIALECTS.values()} <= set(bundled().providers())
