"""What a client hears whose call a budget or a limit of tokens refuses: which, what is left, when it resets. Pure."""

from datetime import UTC, datetime

from proxy.core.errors import GatewayError, Reason
from proxy.core.units import dollars
from proxy.gateway.callrecord import Offer
from proxy.metering.budgets import HeldBudget, HeldLimit
from proxy.metering.decision import Holding
from proxy.metering.takes import Verdict


def budget_refusal(offer: Offer, holding: Holding, now_ms: int) -> GatewayError:
    """By the first budget that refused; where only limits of tokens did, by the first of those."""
    meters = holding.hold.plan.meters
    for place, held in enumerate(offer.plan.held):
        verdict = holding.meters[3 * place]
        if verdict != Verdict.FITS and not meters[place].shadow:
            return _over(offer, held, holding, place, now_ms, never=verdict == Verdict.NEVER)
    for place, limit in enumerate(offer.plan.tokens, len(offer.plan.held)):
        if holding.meters[3 * place] != Verdict.FITS and not meters[place].shadow:
            return _over_tokens(offer, limit, holding, place, now_ms)
    raise ValueError("no meter of the hold has refused it")


def _over_tokens(offer: Offer, held: HeldLimit, holding: Holding, place: int, now_ms: int) -> GatewayError:
    meter = held.meter
    verdict, remaining, delay_ms = holding.meters[3 * place : 3 * place + 3]
    left = int(remaining)
    size = f"{meter.capacity} tokens in {meter.a / 1000:g} s"
    uses = f"this call may use up to {offer.tokens}"
    members: tuple[tuple[str, str | int], ...] = (
        ("limit", held.limit.name),
        ("scope", held.scope),
        ("window_s", meter.a // 1000),
        ("limit_tokens", meter.capacity),
        ("left_tokens", left),
        ("needed_tokens", offer.tokens),
    )
    if verdict == Verdict.NEVER:
        detail = f"{uses} tokens, more than the whole limit {meter.name} of {size}"
        return GatewayError(Reason.QUOTA_EXCEEDED, detail, members=members)
    resets = _instant(now_ms + int(delay_ms) + 999)  # not earlier than it would fit
    detail = f"the limit {meter.name} has {left} left of {size}, and {uses}; resets {resets}"
    return GatewayError(Reason.QUOTA_EXCEEDED, detail, members=(*members, ("resets_at", resets)))


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _over(offer: Offer, held: HeldBudget, holding: Holding, place: int, now_ms: int, *, never: bool) -> GatewayError:
    meter = held.meter
    settled, reserved = holding.sums[2 * place : 2 * place + 2]
    left = max(0, meter.capacity - int(settled) - int(reserved))
    resets = _instant(meter.ends_ms(now_ms))
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
