"""What a call did cost, from what its answer said was used. Pure.

What the answer says of its tier, speed and region goes before what the request asked for: it is what is billed.
"""

from dataclasses import dataclass
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
_SOUNDS: Final = ("input_audio_tokens", "output_audio_tokens")


def asked_for(call: AiCall, account: Account) -> Context:
    """The context that a call's price is asked in."""
    return tuple(sorted((dict(account.context) | dict(call.context)).items()))


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
    context = dict(asked_for(call, account)) | dict(usage.context)
    region = geo_factor(usage.geo or call.geo or account.geo)
    return cost_nanousd(prices.rates(at_ms, tuple(sorted(context.items()))), usage.counts, factor * region)


def lacks_a_price(call: AiCall, usage: Usage, prices: ModelPrices, at_ms: int) -> bool:
    """Whether something that was used has no price of its own, and the one of what it is part of would be too low."""
    rates = prices.rates(at_ms)
    return call.sound_apart and any(usage.counts.get(unit) and rates.find(unit) is None for unit in _SOUNDS)
