"""Where two tables of prices differ."""

from typing import Any

from proxy.ai.prices.build import table
from proxy.ai.prices.table import PriceTable, bundled
from proxy.cli.pricecomparison import differences

NOW_MS = 1_795_000_000_000


def changed() -> dict[str, Any]:
    data = table()
    models = data["providers"]["google"]["models"]
    pro = next(model for model in models if model["id"] == "gemini-2.5-pro")
    amounts = pro["prices"][-1][1]
    amounts["input_tokens"] = ["1.30", [200_000, "2.5"]]
    pro["window"] = 7
    models[:] = [model for model in models if model["id"] != "gemini-2.5-flash"]
    data["providers"]["openai"]["models"].append({**pro, "id": "brand-new"})
    return data


def test_the_same_data_is_the_same() -> None:
    """The bundled table was compiled from the library that is installed."""
    assert list(differences(bundled(), PriceTable(table()), None, NOW_MS)) == []


def test_each_difference_is_told_once() -> None:
    there = PriceTable(changed())
    assert list(differences(bundled(), there, None, NOW_MS)) == [
        ("google", "gemini-2.5-flash", "model", "gemini-2.5-flash", None),
        ("google", "gemini-2.5-pro", "input_tokens", "1.25", "1.3"),
        ("google", "gemini-2.5-pro", "window", None, "7"),
        ("openai", "brand-new", "model", None, "brand-new"),
    ]
    assert [one[1] for one in differences(bundled(), there, "openai", NOW_MS)] == ["brand-new"]
