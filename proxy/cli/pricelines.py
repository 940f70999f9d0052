"""A policy's prices as lines to read: dollars for a unit's usual number, contracts applied. Pure."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from proxy.ai.costs import geo_factor
from proxy.ai.prices.pricelist import OVERRIDES, Override, PriceList
from proxy.ai.prices.table import Context, ModelPrices, PriceTable
from proxy.ai.prices.units import Rate, Rates
from proxy.core.units import NANOS
from proxy.policy.spending import Account, Prices

COLUMNS: Final = {
    "input": "input_tokens",
    "cached": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
}
"""What most models have a price for."""
OVERVIEW: Final = ("provider", "model", "price", *COLUMNS, "window", "more")
DETAILS: Final = ("provider", "model", "what", "where", "price", "usd", "for", "window")
_SHORT: Final = {unit: name for name, unit in OVERRIDES.items()}
_LIST: Final = Fraction(1)
_USUAL: Final = Account()


@dataclass(frozen=True, slots=True)
class Priced:
    """A model as calls to a provider meet it. ``own``: the price is the policy's."""

    provider: str
    prices: ModelPrices
    context: Context
    factor: Fraction
    own: bool

    @property
    def window(self) -> str:
        return "" if self.prices.window is None else f"{self.prices.window:,}"


class PriceSheet:
    """One policy's, at one time (epoch ms)."""

    def __init__(self, table: PriceTable, prices: Prices, now_ms: int) -> None:
        overrides = {model: Override(own.prices, own.window, own.tiers) for model, own in prices.overrides.items()}
        self._list = PriceList(table, aliases=prices.aliases, overrides=overrides)
        self._table = table
        self._prices = prices
        self._now_ms = now_ms
        self._own = {model.lower() for model, own in prices.overrides.items() if own.prices}

    def find(self, provider: str, model: str) -> Priced | None:
        found = self._list.find(provider, model)
        return None if found is None else self._priced(provider, found)

    def models(self, provider: str) -> Iterator[Priced]:
        """Those of the table, as the policy has them, and the policy's own."""
        listed = {prices.id.lower() for prices in self._table.models(provider)}
        names = [prices.id for prices in self._table.models(provider)]
        for name in (*names, *(model for model in sorted(self._own) if model not in listed)):
            if (found := self.find(provider, name)) is not None:
                yield found

    def overview(self, priced: Priced) -> list[str | None]:
        """As OVERVIEW; a ``+`` says that ``details`` has more."""
        rates = priced.prices.rates(self._now_ms, priced.context)
        cells = []
        for unit in COLUMNS.values():
            rate = rates.find(unit)
            cells.append(
                None if rate is None else _dollars(priced, rates, rate, rate.base) + ("+" if rate.steps else "")
            )
        more = {rate.unit.name for rate in rates.rates} - set(COLUMNS.values()) or priced.prices.variants
        return [priced.provider, priced.prices.id, whose(priced), *cells, priced.window, "+" if more else ""]

    def details(self, priced: Priced) -> Iterator[list[str]]:
        """As DETAILS: each price, step and variant."""
        standard = priced.prices.rates(self._now_ms, priced.context)
        yield from _lines(priced, "", standard)
        for said, when, amounts in priced.prices.variants:
            if when.active(self._now_ms):
                rates = priced.prices.rates(self._now_ms, tuple(sorted(said.items())))
                words = " ".join(f"{name}={value}" for name, value in said.items())
                yield from _lines(priced, words, rates, only=amounts)

    def notes(self, providers: Iterable[str]) -> Iterator[str]:
        """Where the prices are from, and what the contract makes of them."""
        yield f"prices: {self._list.version}; dollars for a million tokens"
        for provider in providers:
            factor = self._prices.factors.get(provider, _LIST)
            if factor != _LIST:
                yield f"{provider}: {_decimal((1 - factor) * 100)}% off the list price, but for what the policy prices"
            account = self._prices.accounts.get(provider, _USUAL)
            for name, value in (*account.context, *((("region", account.geo),) if account.geo else ())):
                yield f"{provider}: {name} {value} where a call does not choose"

    def _priced(self, provider: str, found: ModelPrices) -> Priced:
        account = self._prices.accounts.get(provider, _USUAL)
        own = found.id.lower() in self._own
        contract = _LIST if own else self._prices.factors.get(provider, _LIST)
        return Priced(provider, found, account.context, contract * geo_factor(account.geo), own)


def whose(priced: Priced) -> str:
    """Whether a price is the list's, a contract's or the policy's own."""
    return "policy" if priced.own else "list" if priced.factor == _LIST else "contract"


def _lines(priced: Priced, when: str, rates: Rates, only: Container[str] | None = None) -> Iterator[list[str]]:
    for rate in rates.rates:
        if only is not None and rate.unit.name not in only:
            continue
        what, per = _SHORT.get(rate.unit.name, rate.unit.name), f"{rate.unit.per:,}"
        steps = (("", rate.base), *((f"input > {above:,}", numerator) for above, numerator in rate.steps))
        for step, numerator in steps:
            conditions = " ".join(word for word in (when, step) if word)
            dollars = _dollars(priced, rates, rate, numerator)
            yield [priced.provider, priced.prices.id, what, conditions, whose(priced), dollars, per, priced.window]


def _dollars(priced: Priced, rates: Rates, rate: Rate, numerator: int) -> str:
    """For ``unit.per`` of it."""
    return _decimal(Fraction(numerator * rate.unit.per, rates.denominator * NANOS) * priced.factor)


def _decimal(value: Fraction) -> str:
    """Exact: prices and discounts are decimals."""
    return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}"


def unmatched(prices: Prices, table: PriceTable, providers: Iterable[str]) -> Iterator[str]:
    """What the policy says of prices that no call can ever meet, or that hides what it does not mean to."""
    own = {model.lower() for model, price in prices.overrides.items() if price.prices}
    among = list(providers)
    where = f"no model of {', '.join(among)}"

    def known(model: str) -> bool:
        return any(table.find(provider, model) is not None for provider in among)

    for name, model in prices.aliases.items():
        if model.lower() not in own and not known(model):
            yield f"prices.aliases.{name}: {model!r} is {where}, and has no price of the policy's own"
    for model, price in prices.overrides.items():
        if not price.prices and not known(model):
            yield f"prices.overrides.{model}: has a window and no price, and is {where}"
    for name in (*prices.factors, *prices.accounts):
        if name not in among:
            yield f"prices: what is agreed with {name} is for nothing: no route calls it"
