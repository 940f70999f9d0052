"""The prices that a policy goes by: the table, under the policy's aliases and own prices. Pure.

A policy's price replaces a model's whole price: what it leaves out (a cache's discount, say) is billed at the wider
unit's price, so that a forgotten line is never free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from proxy.ai.prices.table import ModelPrices, PriceTable
from proxy.ai.prices.units import ALWAYS, Amount

OVERRIDES: Final[dict[str, str]] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_input": "input_audio_tokens",
    "audio_output": "output_audio_tokens",
    "image_input": "input_image_tokens",
    "image_output": "output_image_tokens",
    "web_search": "web_searches",
    "file_search": "storage_searches",
    "request": "requests",
}
"""What a policy may price, in dollars for a million tokens, or for a thousand of the last three."""


@dataclass(frozen=True, slots=True)
class Override:
    """``prices``: keys of OVERRIDES → dollars; ``window``: tokens of input that the model can read; ``tiers``: prices
    of tokens by service tier."""

    prices: Mapping[str, Decimal] = field(default_factory=dict)
    window: int | None = None
    tiers: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)


class PriceList:
    """``aliases``: a client's or a deployment's name → the model whose price it has; ``overrides`` go before all.

    Raises: ValueError for an override that prices what no one bills.
    """

    __slots__ = ("_aliases", "_overrides", "_windowed", "table")

    def __init__(
        self,
        table: PriceTable,
        *,
        aliases: Mapping[str, str] | None = None,
        overrides: Mapping[str, Override] | None = None,
    ) -> None:
        self.table = table
        self._aliases = {name.lower(): model for name, model in (aliases or {}).items()}
        self._windowed: dict[tuple[str, str], ModelPrices] = {}
        self._overrides = {name.lower(): self._made(name, one) for name, one in (overrides or {}).items()}

    @property
    def version(self) -> str:
        return self.table.version

    def find(self, provider: str, model: str) -> ModelPrices | None:
        """The prices of ``model``; None if nobody knows them. An unknown model is never free."""
        model = self._aliases.get(model.lower(), model)
        override = self._overrides.get(model.lower())
        if override is None:
            return self.table.find(provider, model)
        if override.prices:
            return override
        known = self.table.find(provider, model)
        if known is None:
            return None
        key = (provider, override.id)
        if key not in self._windowed:
            self._windowed[key] = ModelPrices(known.id, override.window, known.prices, known.variants, known.units)
        return self._windowed[key]

    def _made(self, name: str, one: Override) -> ModelPrices:
        """Raises: ValueError for a key that is not priced, or a price that no one would ask."""
        amounts = _amounts(name, one.prices)
        prices = ((ALWAYS, amounts),) if amounts else ()
        variants = tuple(
            ({"service_tier": tier}, ALWAYS, self._whole(_amounts(name, tokens), amounts))
            for tier, tokens in one.tiers.items()
        )
        return ModelPrices(name, one.window, prices, variants, self.table.units)

    def _whole(self, tier: Mapping[str, Amount], standard: Mapping[str, Amount]) -> Mapping[str, Amount]:
        """A tier's prices, and for what the standard has apart and the tier has not the tier's wider unit's."""
        made = dict(tier)
        for name in standard.keys() - tier.keys():
            dimensions = self.table.units[name].dimensions
            wider = [unit for unit in tier if self.table.units[unit].dimensions < dimensions]
            if wider:
                made[name] = tier[max(wider, key=lambda unit: len(self.table.units[unit].dimensions))]
        return made


def _amounts(name: str, prices: Mapping[str, Decimal]) -> dict[str, Amount]:
    """Raises: ValueError for a key that is not priced, or a price that no one would ask."""
    amounts = {}
    for key, dollars in prices.items():
        if key not in OVERRIDES or not dollars.is_finite() or dollars < 0:
            raise ValueError(f"not a price: {name}.{key}")
        amounts[OVERRIDES[key]] = Amount(dollars)
    return amounts
