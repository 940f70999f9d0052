"""What one policy has to say of what was spent: which alerts are due, and to whom. Pure: callers pass now_ms.

Decided from the ledger's sums alone and by level, so that it may be asked at any time, again and by anybody: after a
settlement, a correction, a rebuild, a reload, a crash. That each fires once is for the marks to see to.

What is compared is the whole amount of a budget, grants included. What a tier may not use up of it, because some is
kept for better ones, matters only once that tier is refused.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

from proxy.alerts.alert import FORECAST, ISOLATION, REFUSED, UNUSUAL, Alert, Cause, Firing, Mark
from proxy.alerts.levels import gone_ms, reached, start_ms
from proxy.alerts.recipients import posts
from proxy.alerts.wording import (
    forecast_message,
    level_message,
    refused_message,
    reserve_message,
    unusual_message,
    violation_message,
)
from proxy.core.usage import Charge, Spender, Spent
from proxy.policy.model import Period, ScopeKind
from proxy.policy.spending import Alerts, Budget, Level

ALL: Final = 100  # percent

Granted = Mapping[tuple[str, str], int]  # (budget, scope's text) -> nano-dollars on top, whatever the period

_PERIODS: Final = (
    (Period.HOUR, re.compile(r"\d{4}-\d\d-\d\dT\d\d")),
    (Period.DAY, re.compile(r"\d{4}-\d\d-\d\d")),
    (Period.WEEK, re.compile(r"\d{4}-W\d\d")),
    (Period.MONTH, re.compile(r"\d{4}-\d\d")),
)


class Hour(Protocol):
    """What a tenant spent within the last hour, and in the dearest hour of the week before (nano-dollars)."""

    @property
    def tenant(self) -> str | None: ...
    @property
    def last(self) -> int: ...
    @property
    def dearest(self) -> int: ...


class Watch:
    def __init__(self, budgets: Iterable[Budget], alerts: Alerts) -> None:
        self.alerts = alerts
        self._budgets = {(budget.name, budget.period, budget.time_zone): budget for budget in budgets}

    def judge(self, spent: Spent, granted: Granted, now_ms: int) -> list[Firing]:
        """The levels that a budget has reached, and where its rate leads if the policy asks for that.

        Nothing for a budget or tier that the policy does not know (any more).
        """
        charge, spender = spent.charge, spent.spender
        found = self._budget(charge, spender, granted, now_ms)
        if found is None:
            return []
        budget, amount = found
        about = partial(_about, charge, spender, spent.nanousd, amount, now_ms)
        alerts = []
        for threshold, level in reached(spent.nanousd, amount, self.alerts.at):
            message = level_message(charge, spent.nanousd, amount, now_ms)
            alerts.append(about(Cause.THRESHOLD, level, threshold, message))
        if self.alerts.forecast and charge.ends_ms:
            began_ms = start_ms(charge.ends_ms, budget.period, budget.time_zone)
            expected_ms = gone_ms(spent.nanousd, amount, began_ms, charge.ends_ms, now_ms)
            if expected_ms is not None:
                message = forecast_message(charge, spent.nanousd, amount, expected_ms, now_ms, budget.time_zone)
                alerts.append(about(Cause.FORECAST, Level.WARNING, FORECAST, message, expected_ms))
        return self._told(alerts, budget, spender)

    def judge_refused(self, spent: Spent, granted: Granted, now_ms: int) -> list[Firing]:
        """That nothing fits any more though less than all is spent, where the policy wants to hear of 100 percent.

        A mark of its own: that all is spent may come later, or never. Where it is spent already a refusal is no news,
        and what is told is the level. Of the whole budget, or of what the tier of ``spent.spender``, who was refused,
        may use of it; never where that is nothing. Calls that would not have fit into an unspent budget either say
        nothing of it: whoever tells of refusals leaves those out.
        """
        charge, spender, settled = spent.charge, spent.spender, spent.nanousd
        found = self._budget(charge, spender, granted, now_ms)
        level = dict(self.alerts.at).get(ALL)
        if found is None or level is None:
            return []
        budget, amount = found
        usable = budget.capacity(spender.tier, amount)
        if not usable:
            return []
        about = partial(_about, charge, spender, settled)
        if settled >= amount:
            message = level_message(charge, settled, amount, now_ms)
            alert = about(amount, now_ms, Cause.THRESHOLD, level, ALL, message)
        elif usable < amount:
            message = reserve_message(charge, settled, usable, spender.tier, now_ms)
            alert = about(usable, now_ms, Cause.REFUSED, level, REFUSED, message)
        else:
            message = refused_message(charge, settled, amount, now_ms)
            alert = about(amount, now_ms, Cause.REFUSED, level, REFUSED, message)
        return self._told([alert], budget, spender)

    def judge_hours(self, hours: Iterable[Hour], now_ms: int) -> list[Firing]:
        """Tenants whose last hour is unusual, once for each hour of the clock (UTC)."""
        unusual, firings = self.alerts.unusual, []
        if unusual is None:
            return []
        clock = _hour(now_ms)
        for hour in hours:
            factor = unusual.factor
            if (
                hour.last < unusual.at_least_nanousd
                or hour.last * factor.denominator <= hour.dearest * factor.numerator
            ):
                continue
            usual = hour.dearest * factor.numerator // factor.denominator
            alert = Alert(
                mark=Mark(hour.tenant or "", clock, 0, UNUSUAL),
                cause=Cause.UNUSUAL,
                level=Level.WARNING,
                message=unusual_message(hour.tenant, hour.last, hour.dearest),
                current=hour.last,
                limit=max(usual, unusual.at_least_nanousd),
                budget="",
                scope="" if hour.tenant is None else f"tenant:{hour.tenant}",
                period=clock,
                tenant=hour.tenant,
                user=None,
                at_ms=now_ms,
            )
            kind = ScopeKind.GLOBAL if hour.tenant is None else ScopeKind.TENANT
            told = posts(self.alerts, (kind,), Spender(tenant=hour.tenant))
            firings += [Firing(alert, told)] if told else []
        return firings

    def judge_violations(self, violated: Iterable[tuple[str, str]], now_ms: int) -> list[Firing]:
        """Routes and the tenants for whom they had another tenant's answer, each once for an hour of the clock (UTC).

        For those who hear of everything: the tenant itself, and who called, can do nothing about it.
        """
        told = posts(self.alerts, (ScopeKind.GLOBAL,), Spender())
        hour = _hour(now_ms)
        return [
            Firing(
                Alert(
                    mark=Mark(f"isolation {route} {tenant}", hour, 0, ISOLATION),
                    cause=Cause.ISOLATION,
                    level=Level.CRITICAL,
                    message=violation_message(route, tenant),
                    current=0,
                    limit=0,
                    budget="",
                    scope="",
                    period=hour,
                    tenant=tenant,
                    user=None,
                    at_ms=now_ms,
                    route=route,
                ),
                told,
            )
            for route, tenant in (violated if told else ())
        ]

    def _budget(self, charge: Charge, spender: Spender, granted: Granted, now_ms: int) -> tuple[Budget, int] | None:
        """The budget of a charge and its whole amount for this spender."""
        name, _, zone = charge.period.partition(" ")
        period = next((period for period, form in _PERIODS if form.fullmatch(name)), None)
        budget = None if period is None else self._budgets.get((charge.budget, period, zone or "UTC"))
        if budget is None or spender.tier not in budget.amounts:
            return None
        amount, _ = budget.amount(spender.tier, spender.tenant, now_ms)
        return budget, max(0, amount + granted.get((charge.budget, charge.scope), 0))

    def _told(self, alerts: Iterable[Alert], budget: Budget, spender: Spender) -> list[Firing]:
        """Nobody's alert does not fire, so that it is not spent when somebody wants to hear it."""
        told = posts(self.alerts, {scope.kind for scope in budget.scopes}, spender)
        return [Firing(alert, told) for alert in alerts] if told else []


def _hour(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H")


def _about(
    charge: Charge,
    spender: Spender,
    current: int,
    limit: int,
    now_ms: int,
    cause: Cause,
    level: Level,
    threshold: int,
    message: str,
    expected_ms: int = 0,
) -> Alert:
    return Alert(
        mark=Mark(f"{charge.budget} {charge.scope}", charge.period, limit, threshold),
        cause=cause,
        level=level,
        message=message,
        current=current,
        limit=limit,
        budget=charge.budget,
        scope=charge.scope,
        period=charge.period,
        tenant=spender.tenant,
        user=spender.user,
        at_ms=now_ms,
        resets_ms=charge.ends_ms,
        expected_ms=expected_ms,
    )
