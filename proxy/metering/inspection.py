"""What the store has of money at one instant: counters, live holds and the outbox. Decides nothing."""

import struct
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from proxy.metering.holds import Hold, read_kept
from proxy.metering.keys import BUDGETS, HOLDS, OUTBOX, period_end
from proxy.policy.model import MeterKind

_COUNTER: Final = struct.Struct("<Bdd")


class Pipeline(Protocol):
    """redis-py's, not decoding: what is queued is answered as one transaction."""

    def execute_command(self, *args: Any) -> Any: ...
    def execute(self) -> Awaitable[list[Any]]: ...


class Client(Protocol):
    """``redis.asyncio.Redis`` or ``RedisCluster``, not decoding."""

    def pipeline(self, transaction: bool = True) -> Any: ...
    def scan_iter(self, match: bytes, count: int) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``settled`` and ``held`` by counter, of those that were asked for; ``entries`` as they are in the outbox."""

    settled: dict[bytes, int]
    held: dict[bytes, int]
    holds: tuple[Hold, ...]
    entries: Sequence[Any]


def read_counter(value: bytes | None) -> tuple[int, int]:
    """What a budget's counter says is settled and held; one that is not there has nothing."""
    _, settled, held = _COUNTER.unpack(value) if value else (0, 0.0, 0.0)
    return int(settled), int(held)


def held_by_counter(holds: Collection[Hold]) -> dict[bytes, int]:
    """What each budget's counter should say is held."""
    found: dict[bytes, int] = {}
    for hold in holds:
        for meter, amount in zip(hold.plan.meters, hold.amounts, strict=True):
            if meter.kind is MeterKind.HOLD:
                key = meter.counter(hold.taken_ms)
                found[key] = found.get(key, 0) + amount
    return found


async def living_counters(client: Client, now_ms: int) -> set[bytes]:
    """The keys of all budgets' counters whose periods have not ended, found by looking through the store: for a
    command. Raises: RedisError."""
    found = client.scan_iter(match=BUDGETS + b"*", count=1000)
    return {key async for key in found if period_end(key) > now_ms}


async def living_holds(client: Any) -> tuple[Hold, ...]:
    """All holds that the store has. ``client`` as in ``Client``. Raises: RedisError."""
    return _holds(await client.execute_command("HGETALL", HOLDS))


def _holds(kept: Any) -> tuple[Hold, ...]:
    pairs = kept.items() if isinstance(kept, dict) else zip(kept[::2], kept[1::2], strict=True)
    return tuple(read_kept(name, value) for name, value in pairs)


async def snapshot(client: Client, counters: Collection[bytes]) -> Snapshot:
    """All in one transaction: nothing moves in between. Raises: RedisError."""
    keys = list(counters)
    pipeline = client.pipeline(transaction=True)
    pipeline.execute_command("HGETALL", HOLDS)
    pipeline.execute_command("XRANGE", OUTBOX, "-", "+")
    for key in keys:
        pipeline.execute_command("GET", key)
    kept, entries, *values = await pipeline.execute()
    settled, held = {}, {}
    for key, value in zip(keys, values, strict=True):
        settled[key], held[key] = read_counter(value)
    return Snapshot(settled, held, _holds(kept), entries)
