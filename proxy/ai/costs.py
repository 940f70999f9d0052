"""What a call did cost, from what its answer said was used. Pure.

What the answer says of its tier, speed and region goes before what the request asked for: it is what is billed.
"""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final

from proxy.ai.dialects.anthropic import GEO_FACTOR
from proxy.ai.dialects.call import AiCall
from proxy.ai.prices.table import Context, ModelPrices
from proxy.ai.prices.units import cost_nanousd
from proxy.ai.usage.result import Usage


@dataclass(frozen=True, slots=True)
class Account:
    """What a request gets where it does not choose: the provider's settings for the account, as the policy knows them.

    ``context``: the service tier of the project, say; ``geo``: the workspace's default.
    """

    context: Context = ()
    geo: str | None = None


USUAL: Final = Account()
_STANDARD: Final = frozenset({"default", "standard"})  # as answers name it, also those of kinds without a choice
_SOUNDS: Final = ("input_audio_tokens", "output_audio_tokens")


class Billed(Enum):
    """What a cost that was worked out is of what the provider bills."""

    EXACT = "exact"
    AT_MOST = "at_most"  # of a cheaper tier nobody knows the price: it is billed at most so
    UNKNOWN = "unknown"  # a part of what was used has no known price


def asked_for(call: AiCall, account: Account) -> Context:
    """The context that a call's price is asked in; of the account's what such a call may have."""
    names = {name for name, _ in call.as_usual}
    settings = {name: value for name, value in account.context if name in names}
    return tuple(sorted((settings | dict(call.context)).items()))


def unpriced(call: AiCall, prices: ModelPrices, at_ms: int, context: Context) -> Context:
    """What of ``context`` the model has no price for, nor is known to cost the standard one."""
    known = prices.prices_for(at_ms, context) | call.as_usual
    return tuple(pair for pair in context if pair not in known and pair[1] not in _STANDARD)


def geo_factor(geo: str | None) -> Fraction:
    """What a region costs more; one that is not known costs as the dearest."""
    return Fraction(1) if geo in (None, "", "global", "not_available") else GEO_FACTOR


def cost_of(
    call: AiCall,
    usage: Usage,
    prices: ModelPrices,
    at_ms: int,
    *,
    account: Account = USUAL,
    factor: Fraction = Fraction(1),
) -> int:
    """Nano-dollars, rounded up once. ``at_ms`` is the hold's; ``factor`` the contract's."""
    region = geo_factor(usage.geo or call.geo or account.geo)
    return cost_nanousd(prices.rates(at_ms, _context(call, usage, account)), usage.counts, factor * region)


def billed(call: AiCall, usage: Usage, prices: ModelPrices, at_ms: int, *, account: Account = USUAL) -> Billed:
    """What ``cost_of`` the same is of the bill. Unknown where something that was used has no price of its own and the
    one of what it is part of would be too low, and where the answer names a tier that may be dearer and has none."""
    context = _context(call, usage, account)
    rates = prices.rates(at_ms, context)
    if call.sound_apart and any(usage.counts.get(unit) and rates.find(unit) is None for unit in _SOUNDS):
        return Billed.UNKNOWN
    without = unpriced(call, prices, at_ms, context)
    if not without:
        return Billed.EXACT
    return Billed.AT_MOST if call.cheaper.issuperset(without) else Billed.UNKNOWN


def _context(call: AiCall, usage: Usage, account: Account) -> Context:
    return tuple(sorted((dict(asked_for(call, account)) | dict(usage.context)).items()))
