"""One priced call's money, from its admission to its one end: what is held, what is settled, what the ledger gets.

Pure but for the two words that it says to ``Money``; nothing here waits.
"""

from dataclasses import dataclass
from typing import Any, Final

from proxy.ai.bounds import Hold as Bound
from proxy.ai.costs import Billed
from proxy.ai.dialects.call import AiCall
from proxy.ai.usage.result import Usage
from proxy.core.identity import Identity
from proxy.core.usage import RecordKind, Tokens, UsageRecord
from proxy.gateway.pricing import Quote
from proxy.metering.budgets import CallPlan
from proxy.metering.holds import MAX_MONEY, Hold
from proxy.metering.money import Money

MAX_MODEL: Final = 256  # characters in the ledger


@dataclass(frozen=True, slots=True)
class Offer:
    """A call as it is asked for: what it is, what it may cost, and what it would hold."""

    call: AiCall
    quote: Quote
    bound: Bound
    plan: CallPlan
    nanousd: int  # held: the bound, or what was learnt
    tokens: int
    record: UsageRecord

    def encoded_orphan(self) -> bytes:
        """What the ledger gets if nobody says what became of the call: that it cost what was held."""
        return self.record.encode_with(
            cost_nanousd=self.nanousd,
            estimated=True,
            orphaned=True,
            charges=self.plan.charges(self.record.created_ms),
            token_limits=self.plan.token_charges(self.tokens),
            after=self.plan.charges_after(self.record.created_ms),
        )


def offered_record(
    hold_id: bytes,
    *,
    now_ms: int,
    request_id: str,
    route: str,
    endpoint: str,
    identity: Identity,
    call: AiCall,
    held_nanousd: int,
    price_version: str,
    notify: tuple[tuple[str, str], ...],
) -> UsageRecord:
    """The record of a call that has not been made yet."""
    return UsageRecord(
        id=hold_id.hex(),
        rev=1,
        kind=RecordKind.USAGE,
        created_ms=now_ms,
        settled_ms=now_ms,
        request_id=request_id,
        route=route,
        provider=call.provider,
        model="".join(char if char.isprintable() else "?" for char in call.model[:MAX_MODEL]),
        endpoint=endpoint,
        company_id=identity.tenant,
        user_id=identity.user,
        subscription_tier=identity.tier,
        issuer=identity.issuer,
        credential=identity.credential,
        feature=identity.feature,
        cost_centre=identity.cost_centre,
        held_nanousd=held_nanousd,
        price_version=price_version,
        notify=notify,
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, for metrics and the log line."""

    nanousd: int
    tokens: Tokens
    estimated: bool
    overrun: bool
    released: bool = False

    @property
    def word(self) -> str:
        """The metric's label."""
        if self.released:
            return "released"
        return "estimated" if self.estimated else "overrun" if self.overrun else "exact"


class CallAccount:
    """An admitted call. It is ended once: by the first of ``settle`` and ``release`` that is called."""

    __slots__ = ("_money", "ended", "hold", "offer")

    def __init__(self, money: Money, offer: Offer, hold: Hold) -> None:
        self._money = money
        self.offer = offer
        self.hold = hold
        self.ended: Ended | None = None

    def settle(self, usage: Usage | None, *, status: int, now_ms: int) -> Ended:
        """At what was used; at the hold, and marked as estimated, where the answer did not say all of it."""
        if self.ended is not None:
            return self.ended
        offer = self.offer
        if usage is not None and usage.complete:
            nanousd = min(offer.quote.cost(offer.call, usage), MAX_MONEY)
            used = min(usage.counts.get("input_tokens", 0) + usage.counts.get("output_tokens", 0), MAX_MONEY)
            # What nothing bounds may bear fees that no answer tells: searches of a chat, a container's time.
            billed = Billed.UNKNOWN if offer.bound.fixed else offer.quote.billed(offer.call, usage)
            estimated = billed is not Billed.EXACT
            if billed is Billed.UNKNOWN:
                nanousd = max(nanousd, offer.nanousd)
        else:
            nanousd, used, estimated = offer.nanousd, offer.tokens, True
        tokens = usage.tokens if usage is not None else Tokens()
        overrun = nanousd > offer.nanousd
        record = self._record(
            status,
            now_ms,
            used,
            provider_request_id=usage.provider_request_id if usage is not None else None,
            tokens=tokens,
            cost_nanousd=nanousd,
            estimated=estimated,
            overrun=overrun,
        )
        self._money.settle(self.hold, offer.plan.amounts(nanousd, used), record)
        self.ended = Ended(nanousd, tokens, estimated, overrun)
        return self.ended

    def release(self, *, status: int, now_ms: int, sent: bool) -> Ended:
        """Nothing was used. The ledger has a row of an attempt that reached the provider, and none of one that did
        not."""
        if self.ended is None:
            self._money.release(self.hold, self._record(status, now_ms, 0) if sent else b"")
            self.ended = Ended(0, Tokens(), estimated=False, overrun=False, released=True)
        return self.ended

    def _record(self, status: int, now_ms: int, used: int, **changes: Any) -> bytes:
        """``used``: tokens, as limits count them."""
        record, plan = self.offer.record, self.offer.plan
        return record.encode_with(
            settled_ms=now_ms,
            status=status,
            latency_ms=max(0, now_ms - record.created_ms),
            charges=plan.charges(self.hold.taken_ms),
            token_limits=plan.token_charges(used),
            **changes,
        )
