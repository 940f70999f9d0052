"""From the budgets as written to compiled ones: one for each period, every tier covered, tenants' exceptions. Pure."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from proxy.policy import money, schema
from proxy.policy.findings import Findings
from proxy.policy.limits import check_scopes, every_tier
from proxy.policy.model import Period, ScopeKind
from proxy.policy.problems import KeyPath, meant
from proxy.policy.spending import Budget, OnExceed

PERIODS: Final = {"daily": Period.DAY, "weekly": Period.WEEK, "monthly": Period.MONTH}
"""The keys that hold amounts, and what each is for."""
KEYS: Final = {period: key for key, period in PERIODS.items()}
_OF_ONE_TIER: Final = (ScopeKind.USER, ScopeKind.TIER)


def compile_budgets(config: schema.Config, findings: Findings) -> dict[str, tuple[Budget, ...]]:
    """The sound ones by name, one for each period."""
    out: dict[str, tuple[Budget, ...]] = {}
    index = 0
    for name, written in config.budgets.by_name.items():
        path: KeyPath = ("budgets", name)
        findings.check_name(path, name)
        check_scopes((*path, "scope"), written.scope, findings)
        usable = _usable((*path, "reserve"), written.reserve, config.tiers, findings)
        if written.reserve and any(scope.kind in _OF_ONE_TIER for scope in written.scope):
            findings.warn((*path, "reserve"), "a budget by user or tier has callers of one tier: nobody is kept back")
        on_exceed, downgrade_to = _on_exceed((*path, "on_exceed"), written.on_exceed, findings)
        periods = _amounts(written)
        if not periods:
            findings.error(path, "needs daily, weekly or monthly", *((*path, key) for key in PERIODS))
        exceptions = _exceptions(name, list(periods), config, findings)
        made: list[Budget] = []
        for key, by_tier in periods.items():
            amounts = every_tier((*path, key), by_tier, config.tiers, findings)
            made.append(
                Budget(
                    name=name,
                    index=index + len(made),
                    period=PERIODS[key],
                    time_zone=config.budgets.time_zone,
                    scopes=tuple(written.scope),
                    amounts=amounts,
                    usable=usable,
                    tenants=exceptions[key],
                    on_exceed=on_exceed,
                    downgrade_to=downgrade_to,
                )
            )
        index += len(made)
        out[name] = tuple(made)
    for tenant, exception in config.tenants.items():
        for name in exception.budgets:
            findings.check_reference(
                ("tenants", tenant, "budgets", name), "budget", name, "budgets", but=money.Budgets.model_fields
            )
    return out


def _amounts(written: money.Budget | money.TenantBudget) -> dict[str, Any]:
    """What it has for each period, by its key: amounts by tier, or of a tenant one."""
    return {key: amount for key in PERIODS if (amount := getattr(written, key)) is not None}


def _usable(
    path: KeyPath, reserve: Mapping[str, Fraction], tiers: list[str], findings: Findings
) -> dict[str, Fraction]:
    """The share that callers of a tier may use up, where it is not all: what is kept for better tiers is not theirs."""
    for tier in reserve:
        if tier not in tiers:
            findings.error((*path, tier), f"unknown tier {tier!r}{meant(tier, tiers)}", ("tiers",))
        elif tier == tiers[-1]:
            findings.warn((*path, tier), f"no tier is worse than {tier!r}: this is kept from nobody")
    if sum(reserve.values()) > 1:
        findings.error(path, "keeps more than 100% in all", path)
        return {}
    usable, left = {}, Fraction(1)
    for tier in tiers:
        if left < 1:
            usable[tier] = left
        left -= reserve.get(tier, Fraction(0))
    shut_out = [tier for tier, share in usable.items() if not share]
    if shut_out:
        findings.warn(path, f"leaves nothing for {', '.join(shut_out)}")
    return usable


def _on_exceed(path: KeyPath, written: money.Exceeded, findings: Findings) -> tuple[OnExceed, str | None]:
    if (written.action is None) == (written.downgrade is None):
        message = "takes block, warn or {downgrade: MODEL}, one of them"
        findings.error(path, message, (*path, "action"), (*path, "downgrade"))
    if written.downgrade is not None:
        return OnExceed.DOWNGRADE, written.downgrade
    return written.action or OnExceed.BLOCK, None


def _exceptions(
    name: str, periods: list[str], config: schema.Config, findings: Findings
) -> dict[str, dict[str, tuple[int, int | None]]]:
    """By period, then tenant."""
    out: dict[str, dict[str, tuple[int, int | None]]] = {key: {} for key in periods}
    for tenant, exception in config.tenants.items():
        written = exception.budgets.get(name)
        if written is None:
            continue
        path: KeyPath = ("tenants", tenant, "budgets", name)
        whole: KeyPath = ("budgets", name)
        own = _amounts(written)
        if written.amount is not None:
            if own:
                findings.error((*path, "amount"), "stands alone, or each period has an amount of its own")
            elif len(periods) > 1:
                forms = ", ".join(f"{key}: …" for key in periods)
                findings.error(path, f"the budget has several periods; write {{{forms}}}, or those that differ", whole)
            elif periods:
                own = {periods[0]: written.amount}
        elif not own:
            findings.error(path, "names no amount", *((*path, key) for key in PERIODS))
        for key, amount in own.items():
            if key in out:
                out[key][tenant] = (amount, exception.expires)
            else:
                findings.error((*path, key), f"the budget has nothing {key}; it has {' and '.join(periods)}", whole)
    return out
