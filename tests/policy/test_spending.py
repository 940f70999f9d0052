"""Budgets as compiled: what a caller may find used up before it is refused."""

from fractions import Fraction

from proxy.policy.model import Period, Scope, ScopeKind
from proxy.policy.spending import Budget, OnExceed


def budget(**changes: object) -> Budget:
    values: dict[str, object] = {
        "name": "global",
        "index": 0,
        "period": Period.DAY,
        "time_zone": "UTC",
        "scopes": (Scope(ScopeKind.GLOBAL),),
        "amounts": {"pro": 1_000, "trial": 1_000},
        "usable": {"trial": Fraction(7, 10)},
        "tenants": {"acme": (5_000, 100)},
        "on_exceed": OnExceed.BLOCK,
    }
    return Budget(**values | changes)  # type: ignore[arg-type]


def test_an_exception_holds_until_it_ends() -> None:
    assert budget().amount("pro", "acme", 99) == (5_000, 100)
    assert budget().amount("pro", "acme", 100) == (1_000, None)
    assert budget().amount("pro", "other", 0) == (1_000, None)
    assert budget().amount("pro", None, 0) == (1_000, None)


def test_what_is_kept_for_better_tiers_is_not_usable_by_others() -> None:
    """Exactly, and rounded down: a nano-dollar that is kept stays kept."""
    assert budget().capacity("pro", 1_001) == 1_001
    assert budget().capacity("trial", 1_001) == 700
