"""Gives a store that was rolled back its counters again, by what ledger and outbox say, and opens budgets.

A fresh installation goes the same way: its store is closed until somebody who knows the ledger has opened it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from proxy.metering.epoch import Standing
from proxy.metering.holds import HOLD_LEASE_MS, Hold
from proxy.metering.keys import CLOCK, DUE, HOLDS, OUTBOX, STATE
from proxy.metering.settlement import (
    MAX_OPERATIONS,
    Rebuilding,
    pack_rebuild,
    pack_settle,
    releasing,
    unpack_trailer,
)
from proxy.metering.takes import ReplyFlag, unpack_head
from proxy.store.client import Store
from proxy.store.scripts import load

CHUNK: Final = 500  # counters a call: under a millisecond of the store's time
ATTEMPTS: Final = 50
WAIT_S: Final = HOLD_LEASE_MS / 2_000  # every gateway that lives has renewed its holds, and posted again, by then

Sums = Mapping[bytes, tuple[int, int]]  # counter -> what is settled in it, its period's end (epoch ms)


async def _run(store: Store, standing: Standing, what: Rebuilding, sums: Sums, at: int) -> tuple[ReplyFlag, int]:
    packed = pack_rebuild(
        what,
        list(sums.values()),
        at=at,
        random=secrets.randbelow(1024),
        epoch=standing.epoch,
        lease_ms=HOLD_LEASE_MS,
    )
    reply = await store.run(load("rebuild"), [CLOCK, STATE, *sums], packed)
    return ReplyFlag(unpack_head(reply)[0]), int(unpack_trailer(reply)[1])


async def close(store: Store, standing: Standing) -> int:
    """No hold is admitted any more, by anybody. The sequence at which what is read now is all. Raises: StoreAway."""
    _, sequence = await _run(store, standing, Rebuilding.CLOSE, {}, 0)
    return sequence


async def is_closed(store: Store, standing: Standing) -> bool:
    """Whether budgets wait to be rebuilt: the store came back older or empty, or is new. Raises: StoreAway."""
    flags, _ = await _run(store, standing, Rebuilding.SET, {}, -1)  # does nothing, but tells where it stands
    return bool(flags & ReplyFlag.CLOSED)


async def drop(store: Store, standing: Standing, ended: Sequence[Hold]) -> None:
    """Lets go of holds that a store which came back older still has, though they had ended: the ledger has them, so
    their leases' ends must not settle them again. Raises: StoreAway."""
    for start in range(0, len(ended), MAX_OPERATIONS):
        operations = [releasing(hold) for hold in ended[start : start + MAX_OPERATIONS]]
        keys, packed = pack_settle(operations, epoch=standing.epoch)
        await store.run(load("settle"), [CLOCK, STATE, HOLDS, DUE, OUTBOX, *keys], packed)


async def rebuild(
    store: Store, standing: Standing, read: Callable[[], Awaitable[Sums]], *, wait_s: float = WAIT_S
) -> bool:
    """Closes, waits until gateways have told again what they know, sets every counter that ``read`` names, and opens.

    ``read`` gives, of each counter that is not long past, the sum of the ledger and of those outbox records that are
    not in it; it reads the outbox first. It is called again while gateways still post. False: somebody else has opened.
    Raises: StoreAway, and what ``read`` raises; budgets are closed then.
    """
    await close(store, standing)
    await asyncio.sleep(wait_s)
    for _ in range(ATTEMPTS):
        flags, at = await _run(store, standing, Rebuilding.SET, {}, -1)  # does nothing, but tells where it stands
        if not flags & ReplyFlag.CLOSED:
            return False
        at = at or await close(store, standing)  # it came back empty once more
        sums = await read()
        if await _set(store, standing, sums, at):
            return True
    return False


async def _set(store: Store, standing: Standing, sums: Sums, at: int) -> bool:
    """Whether nobody has written meanwhile."""
    items = iter(sums.items())
    while True:
        chunk = dict(islice(items, CHUNK))
        last = len(chunk) < CHUNK
        what = Rebuilding.SET | Rebuilding.OPEN if last else Rebuilding.SET
        flags, at = await _run(store, standing, what, chunk, at)
        if flags & ReplyFlag.UNDONE:
            return False
        if last:
            return True
