"""What an alert says, in plain words and dollars. Pure.

Amounts are cut, not rounded, to cents from a dollar on: nobody reads that more was spent than was.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from proxy.alerts.alert import percent
from proxy.alerts.scopes import printable, readable
from proxy.core.units import dollars
from proxy.core.usage import Charge


def level_message(charge: Charge, spent: int, capacity: int, now_ms: int) -> str:
    if spent >= capacity:
        return f"{_whose(charge)} is used up: {_of(spent, capacity)}.{_resets(charge, now_ms)}"
    return f"{_whose(charge)} is {percent(spent, capacity):g}% used: {_of(spent, capacity)}.{_resets(charge, now_ms)}"


def refused_message(charge: Charge, spent: int, capacity: int, now_ms: int) -> str:
    """Of less than all that is spent: the rest is held by calls under way, or less than a call may cost."""
    left = "what is left does not cover what calls may cost"
    return f"{_whose(charge)} refuses calls: {_of(spent, capacity)}, and {left}.{_resets(charge, now_ms)}"


def reserve_message(charge: Charge, spent: int, capacity: int, tier: str, now_ms: int) -> str:
    state = "is used up" if spent >= capacity else "does not cover what calls may cost"
    said = f"what tier {tier} may use of it {state}: {_of(spent, capacity)}"
    return f"{_whose(charge)} refuses calls of tier {tier}: {said}.{_resets(charge, now_ms)}"


def forecast_message(charge: Charge, spent: int, capacity: int, gone_ms: int, now_ms: int, time_zone: str) -> str:
    zone = ZoneInfo(time_zone)
    gone, now = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (gone_ms, now_ms))
    when = f"{gone:%H:%M}" if gone.date() == now.date() else f"{gone:%Y-%m-%d at %H:%M}"
    name = _whose(charge)
    return f"At this rate {name[0].lower()}{name[1:]} is gone by {when} ({time_zone}): {_of(spent, capacity)} so far."


def unusual_message(tenant: str | None, spent: int, dearest: int) -> str:
    who = "Callers without a tenant" if tenant is None else f"Tenant {printable(tenant)}"
    before = f"${_cut(dearest)} in the dearest hour of the week before" if dearest else "nothing in the week before"
    return f"{who} spent ${_cut(spent)} within an hour, against {before}."


def violation_message(route: str, tenant: str) -> str:
    who = f"tenant {printable(tenant)}"
    return f"Route {route} had an answer for {who} that named another tenant. It was refused; so is each like it."


def _whose(charge: Charge) -> str:
    return f"Budget {charge.budget} of {readable(charge.scope)} for {charge.period}"


def _of(spent: int, capacity: int) -> str:
    return f"${_cut(spent)} of ${_cut(capacity)} spent"


def _resets(charge: Charge, now_ms: int) -> str:
    if not charge.ends_ms:
        return ""
    word = "resets" if now_ms < charge.ends_ms else "was reset"  # a late correction, or the ledger was away
    return f" It {word} at {datetime.fromtimestamp(charge.ends_ms // 1000, UTC):%Y-%m-%d %H:%M} UTC."


def _cut(nanousd: int) -> str:
    return dollars(nanousd // 10**7 * 10**7 if nanousd >= 10**9 else nanousd, grouped=True)
