"""The compiled price table: read from the package, without the library that it was compiled from. Decides no price.

``table.json`` is made by ``build.py``. A provider's models are made into objects when it is first asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from proxy.ai.prices.matching import Matcher, dashed_dates
from proxy.ai.prices.units import ALWAYS, Amount, Rates, Step, Unit, When, day_ms, rates_of

MAX_NAMES: Final = 4096
"""Names remembered of a provider; names come from clients."""
Context = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class ModelPrices:
    """A model's prices over time, and its variants by context (service tier, batch, speed).

    ``window``: tokens of input that it can read, None if nobody said.
    """

    id: str
    window: int | None
    prices: tuple[tuple[When, Mapping[str, Amount]], ...]
    variants: tuple[tuple[Mapping[str, str], When, Mapping[str, Amount]], ...]
    units: Mapping[str, Unit]
    _made: dict[tuple[int, ...], Rates] = field(default_factory=dict)

    def rates(self, at_ms: int, context: Context = ()) -> Rates:
        """The last price that is in force, and over it, unit by unit, the first variant that is and fits ``context``.

        Where no price is in force the first one is taken, as genai-prices does. What of ``context`` the model has no
        variant for changes nothing: whether it may be so is ``prices_for``'s to say.
        """
        prices = self.prices
        standard = next((at for at in range(len(prices) - 1, -1, -1) if prices[at][0].active(at_ms)), 0)
        chosen = self._chosen(at_ms, context)
        key = (standard, *chosen)
        found = self._made.get(key)
        if found is None:
            amounts = dict(prices[standard][1])
            for at in reversed(chosen):
                amounts.update(self.variants[at][2])
            found = self._made[key] = rates_of(amounts, self.units)
        return found

    def prices_for(self, at_ms: int, context: Context) -> frozenset[tuple[str, str]]:
        """What of ``context`` has prices of its own."""
        return frozenset(pair for at in self._chosen(at_ms, context) for pair in self.variants[at][0].items())

    def _chosen(self, at_ms: int, context: Context) -> list[int]:
        if not context or not self.variants:
            return []
        said = dict(context)
        return [
            at
            for at, (when_said, when, _) in enumerate(self.variants)
            if when.active(at_ms) and all(said.get(name) == value for name, value in when_said.items())
        ]


@dataclass(slots=True)
class _Provider:
    fallback: tuple[str, ...]
    models: list[ModelPrices]
    matcher: Matcher
    names: dict[str, ModelPrices | None] = field(default_factory=dict)


class PriceTable:
    """All prices, by provider and by the name that a client or an answer gave the model.

    ``version`` names the data: the library's version and the digest of what was compiled from it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.version: str = data["version"]
        self.units = {
            name: Unit(name, per, frozenset((key, value) for key, value in dimensions.items()))
            for name, (per, dimensions) in data["units"].items()
        }
        self._data: Mapping[str, Any] = data["providers"]
        self._providers: dict[str, _Provider] = {}

    def providers(self) -> tuple[str, ...]:
        return tuple(self._data)

    def models(self, provider: str) -> list[ModelPrices]:
        return self._provider(provider).models

    def find(self, provider: str, model: str) -> ModelPrices | None:
        """The prices of ``model``; None if the provider, or what it falls back on, has none of that name."""
        if provider not in self._data:
            return None
        made = self._provider(provider)
        name = model.lower()
        if name in made.names:
            return made.names[name]
        found = self._match(made, name)
        if found is None and (dashed := dashed_dates(name)) != name:
            found = self._match(made, dashed)
        if len(made.names) >= MAX_NAMES:
            made.names.clear()
        made.names[name] = found
        return found

    def _match(self, provider: _Provider, name: str) -> ModelPrices | None:
        index = provider.matcher.find(name)
        if index is not None:
            return provider.models[index]
        for other_id in provider.fallback:
            other = self._provider(other_id)
            index = other.matcher.find(name)
            if index is not None:
                found = other.models[index]
                # What another provider asks for its tiers says nothing of this one's.
                return ModelPrices(found.id, found.window, found.prices, (), found.units)
        return None

    def _provider(self, provider: str) -> _Provider:
        made = self._providers.get(provider)
        if made is None:
            data = self._data[provider]
            made = self._providers[provider] = _Provider(
                fallback=tuple(data.get("fallback", ())),
                models=[self._model(one) for one in data["models"]],
                matcher=Matcher([one["match"] for one in data["models"]]),
            )
        return made

    def _model(self, data: Mapping[str, Any]) -> ModelPrices:
        return ModelPrices(
            id=data["id"],
            window=data.get("window"),
            prices=tuple((_when(when), _amounts(amounts)) for when, amounts in data["prices"]),
            variants=tuple((said, _when(when), _amounts(amounts)) for said, when, amounts in data.get("variants", ())),
            units=self.units,
        )


def _when(data: list[Any] | None) -> When:
    if data is None:
        return ALWAYS
    verb, *operands = data
    return When(from_ms=day_ms(operands[0])) if verb == "from" else When(daily=(operands[0], operands[1]))


def _amounts(data: Mapping[str, Any]) -> dict[str, Amount]:
    made = {}
    for unit, price in data.items():
        base, *steps = price if isinstance(price, list) else (price,)
        made[unit] = Amount(Decimal(base), tuple(Step(above, Decimal(dollars)) for above, dollars in steps))
    return made


@cache
def bundled() -> PriceTable:
    """The table that came with this package."""
    return PriceTable(orjson.loads(files("proxy.ai.prices").joinpath("table.json").read_bytes()))
