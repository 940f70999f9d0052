"""Each meter as a request met it and left it: its limits, and of a call to a provider its budgets and limits of tokens.
Pure.

A replay of the log tells what was counted before. The request itself is judged by what it asked to hold, as the gateway
did, and counts afterwards what its line says that it came to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proxy.core.units import NANOS
from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Judged
from proxy.foresight.tally import Tally
from proxy.foresight.wording import burst_rate_text
from proxy.metering.keys import scope_text
from proxy.metering.takes import Verdict
from proxy.policy.model import MILLI, MeterKind, Rate
from proxy.policy.moneywords import dollars


class Unit(StrEnum):
    """What a meter counts; its amounts are thousandths of a request, nano-dollars, or tokens."""

    REQUESTS = "requests"
    USD = "usd"
    TOKENS = "tokens"

    def number(self, amount: int) -> float:
        """For programs: requests, dollars or tokens."""
        return amount / _PARTS[self]

    def text(self, amount: int) -> str:
        """For people."""
        return dollars(amount) if self is Unit.USD else f"{self.number(amount):,.12g}"


_PARTS: Final = {Unit.REQUESTS: MILLI, Unit.USD: NANOS, Unit.TOKENS: 1}
_VERDICTS: Final = {Verdict.FITS: "fits", Verdict.NOT_NOW: "full", Verdict.NEVER: "never fits"}


@dataclass(frozen=True, slots=True)
class Meter:
    """Amounts are in the unit's parts. ``asks``: what the request would take, a call what it would hold; ``settled``:
    what a call came to, None where nothing says it; ``after``: with the request in it, a call as it was settled."""

    name: str
    unit: Unit
    scope: str
    rate: str
    verdict: str
    shadow: bool
    before: int
    asks: int
    settled: int | None
    after: int


def as_asked(entry: Entry, line: Mapping[str, Any]) -> Entry:
    """A call as it came: with what it asked to hold, where its line tells that."""
    if "held_usd" in line:
        entry.nanousd = round(line["held_usd"] * NANOS)
        entry.tokens = line.get("held_tokens", 0)
    return entry


def settled(line: Mapping[str, Any]) -> tuple[int, int] | None:
    """Nano-dollars and tokens that a call came to; None for none, and where its line was written before it ended."""
    if "cost_usd" not in line or "saved_usd" in line:
        return None
    tokens = line.get("tokens_in", 0) + line.get("tokens_out", 0)
    if not tokens and line.get("estimated"):  # nobody said how many: it is settled at its hold
        tokens = line.get("held_tokens", 0)
    return round(line["cost_usd"] * NANOS), tokens


def meters(judged: Judged, tally: Tally, line: Mapping[str, Any], now_ms: int) -> list[Meter]:
    """All that a replay asked at ``now_ms``, the moment before; none where the request was refused before them."""
    ruling, identity = judged.ruling, judged.identity
    if ruling is None or identity is None:
        return []
    plan, call = ruling.plan, ruling.call
    named = [
        (
            limit.name,
            Unit.REQUESTS,
            scope_text(limit.scopes, identity, judged.route, str(line.get("ip", ""))),
            burst_rate_text(rate),
        )
        for limit, rate in zip(plan.limits, plan.rates, strict=True)
    ]
    if call is not None:
        named += [
            (held.budget.name, Unit.USD, held.scope, f"{dollars(held.meter.capacity)}/{held.budget.period.value}")
            for held in call.held
        ]
        named += [
            (held.limit.name, Unit.TOKENS, held.scope, burst_rate_text(Rate(held.meter.capacity * MILLI, held.meter.a)))
            for held in call.tokens
        ]
    came_to = settled(line)
    found = []
    for place, (name, unit, scope, rate) in enumerate(named):
        take = ruling.takes[place]
        verdict = Verdict(int(ruling.answer.meters[3 * place]))
        # A budget in shadow counts what it would have refused, too.
        counts = ruling.admitted and (verdict is Verdict.FITS or take.kind is MeterKind.HOLD)
        before = tally.used(take, now_ms) - (take.amount if counts else 0)
        cost = None if came_to is None or unit is Unit.REQUESTS else came_to[unit is Unit.TOKENS]
        after = before + ((take.amount if cost is None else cost) if counts else 0)
        found.append(Meter(name, unit, scope, rate, _VERDICTS[verdict], take.shadow, before, take.amount, cost, after))
    return found
