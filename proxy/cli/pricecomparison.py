"""Where two tables of prices differ: models that only one has, windows, and what is asked at a time. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from proxy.ai.prices.table import ModelPrices, PriceTable
from proxy.core.units import NANOS

Difference = tuple[str, str, str, str | None, str | None]  # provider, model, what, here, there; None: not there


def differences(here: PriceTable, there: PriceTable, provider: str | None, now_ms: int) -> Iterator[Difference]:
    """Of one provider or of all."""
    names = sorted({*here.providers(), *there.providers()}) if provider is None else [provider]
    for name in names:
        ours, theirs = _models(here, name), _models(there, name)
        for model in sorted({*ours, *theirs}):
            one, other = ours.get(model), theirs.get(model)
            if one is None or other is None:
                yield name, model, "model", None if one is None else model, None if other is None else model
                continue
            facts, others = _facts(one, now_ms), _facts(other, now_ms)
            for what in sorted({*facts, *others}):
                if facts.get(what) != others.get(what):
                    yield name, model, what, facts.get(what), others.get(what)


def _models(table: PriceTable, provider: str) -> dict[str, ModelPrices]:
    return {one.id: one for one in table.models(provider)} if provider in table.providers() else {}


def _facts(model: ModelPrices, now_ms: int) -> dict[str, str]:
    """What is asked for each unit, in dollars for its usual number; steps and variants by their conditions."""
    facts = {} if model.window is None else {"window": f"{model.window:,}"}
    facts |= _asked(model, now_ms, ())
    for said, when, _ in model.variants:
        if when.active(now_ms):
            facts |= _asked(model, now_ms, tuple(sorted(said.items())))
    return facts


def _asked(model: ModelPrices, now_ms: int, context: tuple[tuple[str, str], ...]) -> dict[str, str]:
    rates = model.rates(now_ms, context)
    where = "".join(f" {name}={value}" for name, value in context)
    facts = {}
    for rate in rates.rates:
        for above, numerator in ((None, rate.base), *rate.steps):
            step = "" if above is None else f" above {above:,}"
            exact = Fraction(numerator * rate.unit.per, rates.denominator * NANOS)
            amount = (Decimal(exact.numerator) / Decimal(exact.denominator)).normalize()
            facts[f"{rate.unit.name}{where}{step}"] = f"{amount:f}"
    return facts
