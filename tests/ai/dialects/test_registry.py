"""Every dialect is known by its name, and can be priced."""

import pytest

from proxy.ai.dialects.call import FREE, AiCall, Kind, Refusal, Why
from proxy.ai.dialects.reading import read_request
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.table import bundled


def test_every_dialect_has_prices() -> None:
    assert set(DIALECTS) == {"openai", "azure", "anthropic", "gemini", "groq", "mistral"}
    assert {dialect.provider for dialect in DIALECTS.values()} <= set(bundled().providers())


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_free_is_nobodys(name: str) -> None:
    """Models, and what is worked out of the request alone. What calls have left at the provider is under one key, so
    one caller's is no other's to list, read or delete, unless the policy says so."""
    dialect = DIALECTS[name]
    free, stored = set(), set()
    for line in dialect.endpoints:
        path = dialect.prefixes[0] + line.path.replace("{", "").replace("}", "")
        found = read_request(dialect, line.method, path, "", {}, b"")
        if found is FREE:
            free.add((line.method, line.path.rsplit("/", 1)[-1]))
        elif found == Refusal(Why.STORED):
            stored.add((line.method, line.path))
            assert read_request(dialect, line.method, path, "", {}, b"", stored=True) is FREE
        elif isinstance(found, AiCall):
            assert found.kind is Kind.OPAQUE
    assert free <= {
        ("GET", "models"),
        ("GET", "{name}"),
        ("POST", "count_tokens"),
        ("POST", "{model}:countTokens"),
        ("POST", "input_tokens"),
        ("POST", "moderations"),
    }
    assert ("GET", "models") in free
    assert all("batch" in path or "responses" in path or "chat/completions" in path for _, path in stored)
    assert bool(stored) is (name != "gemini")
