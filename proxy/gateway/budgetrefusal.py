"""What a client hears whose call a budget or a limit of tokens refuses: which, what is left, when it resets. Pure."""

from datetime import UTC, datetime

from proxy.core.errors import GatewayError, Reason
from proxy.core.units import dollars
from proxy.gateway.callrecord import Offer
from proxy.metering.budgets import HeldBudget
from proxy.metering.decision import Holding
from proxy.metering.takes import Verdict


def budget_refusal(offer: Offer, holding: Holding, now_ms: int) -> GatewayError:
    """By the first budget that refused; where only limits of tokens did, by those."""
    meters = holding.hold.plan.meters
    for place, held in enumerate(offer.plan.held):
        verdict = holding.meters[3 * place]
        if verdict != Verdict.FITS and not meters[place].shadow:
            return _over(offer, held, holding, place, now_ms, never=verdict == Verdict.NEVER)
    names = ", ".join(meter.name for meter in holding.refused_by())
    return GatewayError(Reason.QUOTA_EXCEEDED, f"over {names}: the call may use {offer.tokens} tokens")


def _over(offer: Offer, held: HeldBudget, holding: Holding, place: int, now_ms: int, *, never: bool) -> GatewayError:
    meter = held.meter
    settled, reserved = holding.sums[2 * place : 2 * place + 2]
    left = max(0, meter.capacity - int(settled) - int(reserved))
    resets_ms = meter.ends_ms(now_ms)
    resets = datetime.fromtimestamp(resets_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"{held.budget.name} ({held.budget.period.value})"
    costs = f"this call may cost up to ${dollars(offer.nanousd)}"
    detail = (
        f"{costs}, more than the whole budget {name} of ${dollars(meter.capacity)}"
        if never
        else f"the budget {name} has ${dollars(left)} left of ${dollars(meter.capacity)}, and {costs}; resets {resets}"
    )
    return GatewayError(
        Reason.BUDGET_EXCEEDED,
        detail,
        members=(
            ("budget", held.budget.name),
            ("period", held.budget.period.value),
            ("scope", held.scope),
            ("limit_usd", dollars(meter.capacity)),
            ("left_usd", dollars(left)),
            ("needed_usd", dollars(offer.nanousd)),
            ("resets_at", resets),
        ),
    )
