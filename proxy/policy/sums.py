"""Budgets that cannot add up: a day's amount against its month's, a part's against the whole's. Warnings only. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from proxy.policy.budgets import KEYS
from proxy.policy.findings import Findings
from proxy.policy.model import Period, ScopeKind
from proxy.policy.moneywords import dollars
from proxy.policy.problems import KeyPath
from proxy.policy.spending import Budget

_WITHIN: Final = (
    (Period.DAY, Period.WEEK, 7),
    (Period.DAY, Period.MONTH, 31),
    (Period.WEEK, Period.MONTH, 4),
)
"""How many of a shorter period a longer one can have, whole."""

Amounts = Mapping[str, int]  # by tier


def check_sums(budgets: Mapping[str, tuple[Budget, ...]], spent: Iterable[Sequence[str]], findings: Findings) -> None:
    """Warns of amounts that others make useless. ``spent``: the budgets that each route's calls spend from together."""
    for name, periods in budgets.items():
        if findings.wholly_sure(("budgets", name)):
            _check_periods(name, periods, findings)
    told: set[tuple[KeyPath, str]] = set()
    for names in spent:
        sure = [name for name in names if name in budgets and findings.wholly_sure(("budgets", name))]
        own = [one for name in sure for one in budgets[name]]
        wholes = [one for one in own if all(scope.kind is ScopeKind.GLOBAL for scope in one.scopes)]
        for part in own:
            for whole in wholes:
                if part not in wholes and part.period is whole.period:
                    told.update(_beyond(part, whole))
    for path, message in sorted(told, key=str):
        findings.warn(path, message)


def _check_periods(name: str, periods: tuple[Budget, ...], findings: Findings) -> None:
    by_period = {one.period: one for one in periods}
    for short, long, times in _WITHIN:
        if short not in by_period or long not in by_period:
            continue
        one, other = by_period[short], by_period[long]
        figures = {tier: (amount, other.amounts[tier]) for tier, amount in one.amounts.items() if tier in other.amounts}
        for (small, large), tiers in _alike(figures):
            if message := _against(small, large, short, long, times):
                findings.warn(("budgets", name, KEYS[short]), message + _of(tiers, one.amounts))
        for tenant, (small, _) in one.tenants.items():
            if tenant in other.tenants and (message := _against(small, other.tenants[tenant][0], short, long, times)):
                findings.warn(("tenants", tenant, "budgets", name, KEYS[short]), message)


def _against(small: int, large: int, short: Period, long: Period, times: int) -> str | None:
    if small > large:
        return f"{dollars(small)} a {short} is never reached: it is above {dollars(large)} a {long}"
    if small * times > large:
        sum_of_them = f"{times} {short}s × {dollars(small)} is {dollars(small * times)}"  # noqa: RUF001 - it is meant
        return f"{sum_of_them}, against {dollars(large)} a {long}"
    return None


def _beyond(part: Budget, whole: Budget) -> Iterator[tuple[KeyPath, str]]:
    """Where a part's amount is more than callers may use up of the whole, which the same calls spend from."""
    open_to = {tier: whole.capacity(tier, amount) for tier, amount in whole.amounts.items()}
    figures = {tier: (amount, open_to[tier]) for tier, amount in part.amounts.items() if tier in open_to}
    for (amount, most), tiers in _alike(figures):
        if amount > most:
            message = f"{dollars(amount)} a {part.period} is never reached: {whole.name!r} has {dollars(most)}"
            yield ("budgets", part.name, KEYS[part.period]), message + _of(tiers, part.amounts)
    most = max(open_to.values(), default=0)
    for tenant, (amount, _) in part.tenants.items():
        if amount > most:
            message = f"{dollars(amount)} a {part.period} is never reached: {whole.name!r} has {dollars(most)}"
            yield ("tenants", tenant, "budgets", part.name, KEYS[part.period]), message


def _alike(figures: Mapping[str, tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Each pair of figures and the tiers that have it."""
    for pair in dict.fromkeys(figures.values()):
        yield pair, [tier for tier, other in figures.items() if other == pair]


def _of(tiers: list[str], all_tiers: Iterable[str]) -> str:
    return "" if tiers == list(all_tiers) else f" (for {', '.join(tiers)})"
