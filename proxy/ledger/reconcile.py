"""Whether live counters and the ledger say the same, and where they do not. Pure.

A budget's counter is what the ledger has, and what the outbox still has for it; what it holds is the sum of its live
holds. Read the counters, the outbox and the holds in one go, the ledger after them: a record that was moved in between
is then in the ledger's sum and no longer counted for the outbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.core.usage import Charge


@dataclass(frozen=True, slots=True)
class Difference:
    """Nano-dollars. ``settled`` and ``held`` are the live counter's, beside what they should be the sums of."""

    charge: Charge
    settled: int
    ledger: int
    outbox: int
    held: int
    holds: int

    @property
    def settled_off(self) -> int:
        """Above zero: the counter says more than was spent."""
        return self.settled - self.ledger - self.outbox

    @property
    def held_off(self) -> int:
        return self.held - self.holds


def expected(ledger: Mapping[Charge, int], outbox: Mapping[Charge, int]) -> dict[Charge, int]:
    """What counters are rebuilt to; the live holds come on top, as held."""
    return {charge: ledger.get(charge, 0) + outbox.get(charge, 0) for charge in sorted({*ledger, *outbox}, key=_order)}


def differences(
    settled: Mapping[Charge, int],
    held: Mapping[Charge, int],
    ledger: Mapping[Charge, int],
    outbox: Mapping[Charge, int],
    holds: Mapping[Charge, int],
) -> list[Difference]:
    """Of all budgets, scopes and periods that any side knows; one that a side does not know is zero there."""
    every = sorted({*settled, *held, *ledger, *outbox, *holds}, key=_order)
    compared = (
        Difference(
            charge,
            settled.get(charge, 0),
            ledger.get(charge, 0),
            outbox.get(charge, 0),
            held.get(charge, 0),
            holds.get(charge, 0),
        )
        for charge in every
    )
    return [one for one in compared if one.settled_off or one.held_off]


def _order(charge: Charge) -> tuple[str, str, str]:
    return charge.budget, charge.period, charge.scope
