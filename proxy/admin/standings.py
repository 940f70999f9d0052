"""Where budgets stand: what each has, what was settled and is held, what is left and when it begins anew. Pure.

What a budget has depends on whose it is: on the tier and tenant of whoever spent from it last, as the ledger knows
them. Where nobody has, it is told only if all tiers have the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.admin.scopetexts import Subject
from proxy.core.identity import Identity, IdentityKind
from proxy.core.usage import Charge, Spender
from proxy.metering.budgets import period_name
from proxy.metering.calendar import period_edges
from proxy.metering.keys import period_key
from proxy.policy.model import ScopeKind
from proxy.policy.spending import Budget

Granted = Mapping[tuple[str, str], int]  # (budget, scope's text) -> nano-dollars on top

_NOBODY: Final = Subject(Identity(IdentityKind.USER, ""), "", "", "")


@dataclass(frozen=True, slots=True)
class Standing:
    """Nano-dollars. ``amount``: grants included, None where it cannot be told; ``held``: None where only the ledger was
    asked."""

    charge: Charge
    amount: int | None
    granted: int
    settled: int
    held: int | None

    @property
    def left(self) -> int | None:
        """Below zero where more was spent than there is."""
        return None if self.amount is None else self.amount - self.settled - (self.held or 0)


class Budgets:
    """Of one policy, in the periods that now is in."""

    def __init__(self, budgets: Iterable[Budget], now_ms: int) -> None:
        self._now_ms = now_ms
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._edges: dict[int, tuple[int, int, int]] = {}
        for budget in budgets:
            edges = self._edges[budget.index] = period_edges(now_ms, budget.period, budget.time_zone)
            self._budgets[budget.name, period_name(edges[0], budget.period, budget.time_zone)] = budget

    def of_everybody(self) -> list[Charge]:
        """Budgets that are there before anybody spends."""
        everybody = [one for one in self._budgets.values() if {s.kind for s in one.scopes} == {ScopeKind.GLOBAL}]
        return [self.charge(budget, _NOBODY) for budget in everybody]

    def charge(self, budget: Budget, subject: Subject) -> Charge:
        """What a call of that caller's would be charged to now."""
        start_ms, ends_ms, _ = self._edges[budget.index]
        name = period_name(start_ms, budget.period, budget.time_zone)
        counter = period_key(subject.base(budget), start_ms, ends_ms).decode()
        return Charge(budget.name, subject.text(budget.scopes), name, counter, ends_ms)

    def standing(
        self, charge: Charge, spender: Spender | None, granted: Granted, settled: int, held: int | None
    ) -> Standing:
        extra = granted.get((charge.budget, charge.scope), 0)
        budget = self._budgets.get((charge.budget, charge.period))
        whole = None if budget is None else self._amount(budget, spender)
        return Standing(charge, None if whole is None else max(0, whole + extra), extra, settled, held)

    def _amount(self, budget: Budget, spender: Spender | None) -> int | None:
        if spender is not None and spender.tier in budget.amounts:
            return budget.amount(spender.tier, spender.tenant, self._now_ms)[0]
        amounts = set(budget.amounts.values())
        return amounts.pop() if len(amounts) == 1 else None
