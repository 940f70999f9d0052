"""What prices are counted in: units with their dimensions, and which of a model's units a count falls to. Pure.

Units nest: ``cache_read_tokens`` are ``input_tokens`` too. A count is billed at its most particular priced unit; what
is left of a wider unit's count is billed at the wider unit's price (genai-prices' rule). A unit that has no price and
no wider unit with one costs nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Final

NANOUSD: Final = 10**9


@dataclass(frozen=True, slots=True)
class Unit:
    """``per``: how many of it a price is for; ``dimensions``: (name, value), what it is narrower or wider by."""

    name: str
    per: int
    dimensions: frozenset[tuple[str, str]]

    def has(self, name: str, value: str) -> bool:
        return (name, value) in self.dimensions


@dataclass(frozen=True, slots=True)
class Step:
    """Above ``above`` tokens of input (all of it, cached or not) the whole request has this price."""

    above: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Amount:
    """A price in dollars for ``Unit.per``, and its steps in rising order."""

    base: Decimal
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit's price, as numerators over the rates' common denominator, in nano-dollars for each one."""

    unit: Unit
    base: int
    steps: tuple[tuple[int, int], ...]
    within: tuple[int, ...]  # indexes of the narrower rates, whose counts are not this one's

    def at(self, input_tokens: int) -> int:
        found = self.base
        for above, numerator in self.steps:
            if input_tokens > above:
                found = numerator
        return found

    def most(self, input_tokens: int) -> int:
        """The dearest that up to ``input_tokens`` may meet."""
        return max([self.base, *(numerator for above, numerator in self.steps if input_tokens > above)])


@dataclass(frozen=True, slots=True)
class Rates:
    """All prices of a model at one time and in one context, narrowest units first."""

    rates: tuple[Rate, ...]
    denominator: int

    def find(self, unit: str) -> Rate | None:
        return next((rate for rate in self.rates if rate.unit.name == unit), None)


def rates_of(amounts: Mapping[str, Amount], units: Mapping[str, Unit]) -> Rates:
    """Exact integers from dollars."""
    chosen = sorted((units[name] for name in amounts), key=lambda unit: (-len(unit.dimensions), unit.name))
    exact = {unit.name: [Fraction(price) * NANOUSD / unit.per for price in _all(amounts[unit.name])] for unit in chosen}
    denominator = lcm(*(value.denominator for values in exact.values() for value in values))
    rates = []
    for index, unit in enumerate(chosen):
        base, *rest = (int(value * denominator) for value in exact[unit.name])
        steps = tuple(zip((step.above for step in amounts[unit.name].steps), rest, strict=True))
        within = tuple(at for at in range(index) if unit.dimensions < chosen[at].dimensions)
        rates.append(Rate(unit, base, steps, within))
    return Rates(tuple(rates), denominator)


def _all(amount: Amount) -> Iterable[Decimal]:
    return (amount.base, *(step.price for step in amount.steps))


def cost_nanousd(rates: Rates, counts: Mapping[str, int], factor: Fraction = Fraction(1)) -> int:
    """What ``counts`` cost, exact, rounded up once to a whole nano-dollar; ``factor`` is a contract's or a region's.

    Counts that contradict each other (a part greater than its whole) are charged as parts: never less than said.
    """
    total = 0
    input_tokens = counts.get("input_tokens", 0)
    own: list[int] = []
    for rate in rates.rates:
        name = rate.unit.name
        count = 1 if name == "requests" else counts.get(name, 0)
        left = count - sum(own[at] for at in rate.within) if rate.within else count
        own.append(max(0, left))
        if left > 0:
            total += left * rate.at(input_tokens)
    return -(-total * factor.numerator // (rates.denominator * factor.denominator))


@dataclass(frozen=True, slots=True)
class When:
    """When a price applies: from a day on (UTC), or daily between two times (seconds of the UTC day, end excluded)."""

    from_ms: int | None = None
    daily: tuple[int, int] | None = None

    def active(self, at_ms: int) -> bool:
        if self.from_ms is not None and at_ms < self.from_ms:
            return False
        if self.daily is None:
            return True
        begin_s, end_s = self.daily
        of_day_ms = at_ms % 86_400_000
        if end_s < begin_s:
            return of_day_ms >= begin_s * 1000 or of_day_ms < end_s * 1000
        return begin_s * 1000 <= of_day_ms < end_s * 1000


ALWAYS: Final = When()


def day_ms(day: str) -> int:
    """The beginning of an ISO day, in epoch milliseconds."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
