"""What a batch of records changes in a ledger: which rows are written and by how much each budget's sum moves. Pure.

The same id may come any number of times, in any order, from any gateway, in one batch or years apart: the highest
revision stands, and a sum moves by what the row's amount moves by. A revision goes to the row that stands: the first
one's ``created_ms`` is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.core.usage import Charge, RecordKind, Spender, UsageRecord
from proxy.ledger.rows import State, to_row

Sums = dict[Charge, int]  # nano-dollars


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a row that stands."""

    rev: int
    created_ms: int
    cost_nanousd: int
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A charge as the record has it that was settled last, among those that name it."""

    charge: Charge
    settled_ms: int
    spender: Spender | None


@dataclass(slots=True)
class Changes:
    """``rows`` in the order of their ids. ``sums`` leaves out what does not move."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    sums: Sums = field(default_factory=dict)
    named: dict[Charge, Named] = field(default_factory=dict)  # also what does not move
    stale: int = 0  # records that a row of the same or a higher revision stands for


def changes(records: Iterable[tuple[UsageRecord, State]], stored: Mapping[str, Stored]) -> Changes:
    result = Changes()
    newest: dict[str, tuple[UsageRecord, State]] = {}
    for record, state in records:
        rival = newest.get(record.id)
        if rival is not None:
            result.stale += 1
            if rival[0].rev >= record.rev:
                continue
        newest[record.id] = record, state
    for name in sorted(newest):
        record, state = newest[name]
        name_charges(result.named, record)
        before = stored.get(name)
        if before is not None:
            if before.rev >= record.rev:
                result.stale += 1
                continue
            add(result.sums, before.charges, -before.cost_nanousd)
            record = replace(record, created_ms=before.created_ms)
        add(result.sums, record.charges, record.cost_nanousd)
        result.rows.append(to_row(record, state))
    result.sums = {charge: moved for charge, moved in result.sums.items() if moved}
    return result


def name_charges(named: dict[Charge, Named], record: UsageRecord) -> None:
    """Each charge of ``record`` as it is named by whoever was settled last."""
    # An adjustment is nobody's, and gives way to any call.
    called = record.kind is RecordKind.USAGE
    mine = record.settled_ms if called else -1, record.spender if called else None
    for charge in record.charges:
        rival = named.get(charge)
        if rival is None or rival.settled_ms <= mine[0]:
            named[charge] = Named(charge, *mine)


def add(sums: Sums, charges: Iterable[Charge], nanousd: int) -> None:
    for charge in charges:
        sums[charge] = sums.get(charge, 0) + nanousd
