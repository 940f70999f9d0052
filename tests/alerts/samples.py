"""Budgets, charges and policies as alerts meet them."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from proxy.core.usage import Charge, Spender, Spent
from proxy.policy.model import Period, Scope, ScopeKind
from proxy.policy.spending import Alerts, Budget, Channel, ChannelKind, Level, OnExceed, Unusual

DOLLAR = 10**9
DAY_MS = 86_400_000
NOW_MS = 1_795_003_200_000  # 2026-11-18 12:00 UTC, a Wednesday
MIDNIGHT_MS = NOW_MS - DAY_MS // 2
TOMORROW_MS = MIDNIGHT_MS + DAY_MS

TENANT = Budget(
    name="tenant",
    index=0,
    period=Period.DAY,
    time_zone="UTC",
    scopes=(Scope(ScopeKind.TENANT),),
    amounts={"enterprise": 200 * DOLLAR, "trial": 20 * DOLLAR},
    usable={},
    tenants={},
    on_exceed=OnExceed.BLOCK,
)
GLOBAL = replace(
    TENANT,
    name="global",
    index=1,
    scopes=(Scope(ScopeKind.GLOBAL),),
    amounts={"enterprise": 1000 * DOLLAR, "trial": 1000 * DOLLAR},
    usable={"trial": Fraction(7, 10)},
)
CHARGE = Charge("tenant", "tenant:acme", "2026-11-18", "{m0}b:tenant", TOMORROW_MS)
SPENDER = Spender("enterprise", "acme", "u-1", (("email", "u@acme.example"),))
OPS = Channel("ops", ChannelKind.WEBHOOK, "https://ops.example.com/hook", "hush")
MAIL = Channel("mail", ChannelKind.EMAIL, "smtps://mail.example.com", sender="gate@example.com", to=("claim:email",))
THRESHOLDS = ((80, Level.WARNING), (95, Level.CRITICAL), (100, Level.CRITICAL))
UNUSUAL = Unusual(Fraction(3), 10 * DOLLAR)


def spent(nanousd: int, charge: Charge = CHARGE, spender: Spender = SPENDER) -> Spent:
    return Spent(charge, nanousd, spender)


def alerts(channels: Iterable[Channel] = (OPS,), **changes: Any) -> Alerts:
    return Alerts(at=THRESHOLDS, channels=tuple(channels), **changes)
