"""What is told of money as programs read it: JSON's maps, the same from the command line and the admin API. Pure.

Amounts are text, exact to the nano-dollar: a number would lose some of them on the way.
"""

from collections.abc import Sequence
from typing import Any

from proxy.admin.moments import shown
from proxy.admin.standings import Standing
from proxy.core.units import dollars as short
from proxy.ledger.grants import Grant
from proxy.ledger.reconcile import Difference
from proxy.ledger.tabular import dollars


def of_difference(one: Difference) -> dict[str, Any]:
    """``…_off``: by how much the counter says too much."""
    return {
        "budget": one.charge.budget,
        "scope": one.charge.scope,
        "period": one.charge.period,
        "counter_usd": dollars(one.settled),
        "ledger_usd": dollars(one.ledger),
        "outbox_usd": dollars(one.outbox),
        "settled_off_usd": dollars(one.settled_off),
        "held_usd": dollars(one.held),
        "holds_usd": dollars(one.holds),
        "held_off_usd": dollars(one.held_off),
    }


def of_comparison(differences: Sequence[Difference], counters: int) -> dict[str, Any]:
    return {"agree": not differences, "counters": counters, "differences": [of_difference(one) for one in differences]}


def of_standing(one: Standing) -> dict[str, Any]:
    """None: not to be told."""
    return {
        "budget": one.charge.budget,
        "scope": one.charge.scope,
        "period": one.charge.period,
        "amount_usd": _known(one.amount),
        "granted_usd": short(one.granted),
        "settled_usd": short(one.settled),
        "held_usd": _known(one.held),
        "left_usd": _known(one.left),
        "resets_at": shown(one.charge.ends_ms) if one.charge.ends_ms else None,
    }


def of_standings(found: Sequence[Standing], why: str | None) -> dict[str, Any]:
    """``only_ledger``: why what is held, and what has not reached the ledger yet, is not in it."""
    return {"only_ledger": why, "budgets": [of_standing(one) for one in found]}


def of_grant(one: Grant) -> dict[str, Any]:
    """``ended_…``: before its time, else None."""
    return {
        "id": one.id,
        "budget": one.budget,
        "scope": one.scope,
        "amount_usd": short(one.amount_nanousd),
        "granted_at": shown(one.granted_ms),
        "until": shown(one.until_ms),
        "reason": one.reason,
        "by": one.granted_by,
        "ended_at": shown(one.ended.ended_ms) if one.ended else None,
        "ended_because": one.ended.reason if one.ended else None,
        "ended_by": one.ended.ended_by if one.ended else None,
    }


def _known(nanousd: int | None) -> str | None:
    return None if nanousd is None else short(nanousd)
