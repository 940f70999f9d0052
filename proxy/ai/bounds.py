"""The most that a call may cost: what is held before it is made, in nano-dollars and in tokens. Pure.

Each factor is a bound by itself: tokens of input (bytes of the body, or the context window where the model reads what
is not in it, once for each input and each pass), tokens of output (the cap, for each choice), the dearest rate that any
token of that direction may be billed at, and each use of a server tool. So their sum of products is one, if the
provider is honest: it counts no token that is not there, keeps to the cap, and bills no unit that the table does not
price.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from proxy.ai.costs import USUAL, Account, asked_for, geo_factor, unpriced
from proxy.ai.dialects.call import AiCall
from proxy.ai.prices.table import ModelPrices
from proxy.ai.prices.units import Rate, Rates, Unit


class NoBound(StrEnum):
    """Why no bound can be told: the call is refused, or held at a sum that the policy fixes."""

    UNBOUNDED = "unbounded"  # something in the request has no limit
    UNCAPPED = "uncapped"  # no cap of output, and none was written
    NO_WINDOW = "no_window"  # input beside the body, into a model whose window nobody knows
    UNPRICED = "unpriced"  # a part of the call has no known price


@dataclass(frozen=True, slots=True)
class Refused:
    """``what`` names the fields at fault."""

    why: NoBound
    what: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """At most so much; ``fixed`` where the policy set it, and nothing bounds the call."""

    nanousd: int
    input_tokens: int
    output_tokens: int
    fixed: bool = False

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def hold(
    call: AiCall,
    prices: ModelPrices | None,
    at_ms: int,
    *,
    account: Account = USUAL,
    factor: Fraction = Fraction(1),
    fixed_nanousd: int | None = None,
) -> Hold | Refused:
    """The upper bound of ``call`` at ``at_ms``, at whose prices it is to be settled too.

    ``prices`` None: nobody knows the model's; ``factor`` is the contract's; ``fixed_nanousd`` is the policy's hold for
    what has no bound.
    """
    found = _bound(call, prices, at_ms, account, factor)
    if isinstance(found, Refused) and fixed_nanousd is not None:
        return Hold(fixed_nanousd, 0, 0, fixed=True)
    return found


def _bound(call: AiCall, prices: ModelPrices | None, at_ms: int, account: Account, factor: Fraction) -> Hold | Refused:
    if call.unbounded:
        return Refused(NoBound.UNBOUNDED, call.unbounded)
    if prices is None:
        return Refused(NoBound.UNPRICED, ("model",))
    size = _size(call, prices)
    if isinstance(size, Refused):
        return size
    total_input, total_output = size
    factor = factor * geo_factor(call.geo or account.geo)
    asked = asked_for(call, account)
    if dearer := tuple(
        name for name, value in unpriced(call, prices, at_ms, asked) if (name, value) not in call.cheaper
    ):
        return Refused(NoBound.UNPRICED, dearer)
    most = 0
    # A tier may be answered with the usual one, and is then billed so.
    for context in {(), asked}:
        cost = _cost(call, prices.rates(at_ms, context), total_input, total_output, factor)
        if isinstance(cost, Refused):
            return cost
        most = max(most, cost)
    return Hold(most, total_input, total_output)


def _size(call: AiCall, prices: ModelPrices) -> tuple[int, int] | Refused:
    """Tokens of input and of output."""
    each = call.input_tokens
    if call.external:
        if prices.window is None and not call.long_window:
            return Refused(NoBound.NO_WINDOW, call.external)
        each = max(prices.window or 0, call.long_window) * call.inputs
    output = 0
    if call.has_output:
        if call.output_cap is None:
            return Refused(NoBound.UNCAPPED, (".".join(call.cap_path),))
        passes = call.passes if call.cap_per_pass else 1
        output = (call.output_cap * passes + call.extra_output) * call.choices
    return each * call.passes, output


def _cost(call: AiCall, rates: Rates, total_input: int, total_output: int, factor: Fraction) -> int | Refused:
    inputs = [rate for rate in rates.rates if _is_input(rate.unit, call)]
    outputs = [rate for rate in rates.rates if _is_output(rate.unit, call)]
    if not _has(rates, "input_tokens") or (total_output and not _has(rates, "output_tokens")):
        return Refused(NoBound.UNPRICED, ("tokens",))
    if call.has_output and call.image_output and _has(rates, "output_image_tokens"):
        return Refused(NoBound.UNBOUNDED, ("image output",))  # a picture is whole, whatever the cap
    if missing := tuple(unit for unit in call.sounds if not _has(rates, unit)):
        return Refused(NoBound.UNPRICED, missing)
    numerator = total_input * _dearest(inputs, total_input) + total_output * _dearest(outputs, total_input)
    for name, count in (*call.surcharges, ("requests", 1)):
        rate = rates.find(name)
        if rate is not None:
            numerator += count * rate.most(total_input)
        elif name != "requests":
            return Refused(NoBound.UNPRICED, (name,))
    return -(-numerator * factor.numerator // (rates.denominator * factor.denominator))


def _has(rates: Rates, unit: str) -> bool:
    return rates.find(unit) is not None


def _dearest(rates: list[Rate], input_tokens: int) -> int:
    return max((rate.most(input_tokens) for rate in rates), default=0)


def _is_input(unit: Unit, call: AiCall) -> bool:
    """Whether a token of this call's input may be billed as this unit."""
    if not (unit.has("family", "tokens") and unit.has("direction", "input")):
        return False
    if unit.has("cache_ttl", "1h") and not call.cache_write_1h:
        return False
    return bool(call.external) or not _is_medium(unit)


def _is_output(unit: Unit, call: AiCall) -> bool:
    if not (unit.has("family", "tokens") and unit.has("direction", "output")):
        return False
    if unit.has("modality", "audio"):
        return call.audio_output
    return call.image_output or not _is_medium(unit)


def _is_medium(unit: Unit) -> bool:
    return any(name == "modality" and value != "text" for name, value in unit.dimensions)
