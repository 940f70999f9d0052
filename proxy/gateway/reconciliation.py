"""Compares counters, outbox, holds and ledger, of periods that have not ended. Changes nothing."""

from collections.abc import Mapping
from typing import Any

from proxy.core.usage import Charge, UsageRecord
from proxy.ledger.database import Database
from proxy.ledger.outbox import arrivals
from proxy.ledger.reconcile import Difference, differences
from proxy.ledger.sums import living, position
from proxy.metering.holds import Hold
from proxy.metering.inspection import Snapshot, held_by_counter, living_counters, snapshot


async def reconcile(client: Any, database: Database, now_ms: int) -> tuple[list[Difference], int]:
    """Where they do not agree, and how many counters were compared.

    ``client``: redis-py's, not decoding. Raises: RedisError, LedgerAway.
    """
    named = {one.charge.counter.encode(): one.charge for one in await living(database, now_ms) if one.charge.counter}
    first = await snapshot(client, ())
    named |= _named(first, now_ms)
    found = await snapshot(client, named.keys() | await living_counters(client, now_ms))
    named |= _named(found, now_ms)
    waiting = arrivals(found.entries)
    ledger = await position(database, waiting)
    live = set(named.values())
    result = differences(
        _by_charge(found.settled, named),
        _by_charge(found.held, named),
        {charge: nanousd for charge, nanousd in ledger.ledger.items() if charge in live},
        {charge: nanousd for charge, nanousd in ledger.outbox.items() if charge in live},
        _by_charge(held_by_counter(found.holds), named),
    )
    return result, len(found.settled)


def _by_charge(amounts: Mapping[bytes, int], named: Mapping[bytes, Charge]) -> dict[Charge, int]:
    """A counter that nobody can name is told by its key."""
    return {named.get(key, Charge("?", key.decode("ascii", "replace"), "?")): amount for key, amount in amounts.items()}


def _named(found: Snapshot, now_ms: int) -> dict[bytes, Charge]:
    """What records in the outbox and in holds call their counters."""
    charges = [charge for one in arrivals(found.entries) if one.record is not None for charge in one.record.charges]
    charges += [charge for hold in found.holds for charge in _charges(hold)]
    return {charge.counter.encode(): charge for charge in charges if charge.counter and charge.ends_ms > now_ms}


def _charges(hold: Hold) -> tuple[Charge, ...]:
    try:
        return UsageRecord.decode(hold.record).charges
    except ValueError:
        return ()  # it has no record
