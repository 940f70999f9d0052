"""What is told of money as programs read it: JSON's maps, the same from the command line and the admin API. Pure.

Amounts are text, exact to the nano-dollar: a number would lose some of them on the way.
"""

from collections.abc import Sequence
from typing import Any

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
