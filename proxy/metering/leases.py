"""Concurrency leases of exchanges that live: renewed while they do, given back when they end.

One lane: calls go one after another, numbered, so that a late renewal can bring back nothing that was given back.
Nothing here fails a request. While the store is away releases wait (no longer than a lease lives without renewal), and
live exchanges take their leases again when it is back, even if it comes back empty.
"""

import asyncio
import itertools
import secrets
import struct
from typing import Final

from proxy.core.clock import Clock
from proxy.metering.keys import CLOCK, GONE, sender_key
from proxy.metering.plan import LEASE_MS, Plan
from proxy.metering.takes import FORMAT, LEASE_BYTES, ReplyFlag, unpack_head
from proxy.policy.model import MeterKind
from proxy.store.client import Store
from proxy.store.errors import Away, StoreAway
from proxy.store.scripts import load
from proxy.store.waiting import until

RENEW_MS: Final = LEASE_MS / 3  # two renewals may be lost before a lease is
MAX_OPERATIONS: Final = 500  # a call: under a millisecond of the store's time
AGAIN_MS: Final = 1_000  # after a call that failed

RENEW, RELEASE = 1, 2

_CALL: Final = struct.Struct("<BHddd")
_EACH: Final = struct.Struct(f"<BH{LEASE_BYTES}s")

Operation = tuple[int, bytes, bytes]  # RENEW or RELEASE, meter key, lease


def pack_operations(sequence: int, operations: list[Operation], *, now_ms: int = 0) -> tuple[list[bytes], bytes]:
    """The distinct keys and the packed argument of ``leases.lua``. ``now_ms`` is for tests."""
    places: dict[bytes, int] = {}
    each = [_EACH.pack(kind, places.setdefault(key, len(places)), lease) for kind, key, lease in operations]
    return list(places), _CALL.pack(FORMAT, len(operations), sequence, now_ms, LEASE_MS) + b"".join(each)


class Leases:
    """A worker's leases. Of one event loop; ``start`` before use, ``stop`` after."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.held: dict[bytes, tuple[bytes, ...]] = {}  # lease -> its meters
        self._releases: dict[bytes, tuple[tuple[bytes, ...], float]] = {}  # lease -> its meters, when it is pointless
        self._store = store
        self._monotonic_ms = clock.monotonic_ms
        self._script = load("leases")
        self._prefix = secrets.token_bytes(LEASE_BYTES // 2)
        self._numbers = itertools.count()
        self._keys = [CLOCK, sender_key(b"l" + self._prefix.hex().encode()), GONE]
        self._sequence = 0
        self._wake = asyncio.Event()
        self._lane: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._lane = asyncio.create_task(self._run(), name="leases")

    async def stop(self) -> None:
        """Gives back what is still held, if the store answers."""
        if self._lane is not None:
            self._lane.cancel()
            await asyncio.gather(self._lane, return_exceptions=True)
        for lease in list(self.held):
            self.release(lease)
        try:
            await self._give_back()
        except StoreAway:
            pass  # they expire by themselves

    def new(self) -> bytes:
        """An id that no other lease has: 16 bytes."""
        return self._prefix + next(self._numbers).to_bytes(LEASE_BYTES // 2, "little")

    def hold(self, lease: bytes, plan: Plan) -> None:
        """From now on it is renewed. Only for what has been admitted: a renewal takes what it does not find."""
        self.held[lease] = _meters(plan)

    def release(self, lease: bytes, plan: Plan | None = None) -> None:
        """Gives it back soon. ``plan``: for a lease that may have been taken, though nobody saw the answer."""
        meters = self.held.pop(lease, None) or (_meters(plan) if plan is not None else ())
        if meters:
            self._releases[lease] = (meters, self._monotonic_ms() + LEASE_MS)
            self._wake.set()

    async def _run(self) -> None:
        renew_at_ms = self._monotonic_ms() + RENEW_MS
        while True:
            await until(self._wake, (renew_at_ms - self._monotonic_ms()) / 1000)
            self._wake.clear()
            try:
                await self._give_back()
                if self._monotonic_ms() >= renew_at_ms:
                    await self._renew()
                    renew_at_ms = self._monotonic_ms() + RENEW_MS
            except StoreAway:
                # Also live leases: the store may come back without them.
                renew_at_ms = self._monotonic_ms() + AGAIN_MS
                await asyncio.sleep(AGAIN_MS / 1000)
            except Exception as error:  # noqa: BLE001 - without this lane every slot would end with its lease
                report = {"message": "a call for leases failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
                await asyncio.sleep(AGAIN_MS / 1000)

    async def _give_back(self) -> None:
        while self._releases:
            now_ms = self._monotonic_ms()
            expired = [lease for lease, (_, pointless_ms) in self._releases.items() if pointless_ms < now_ms]
            for lease in expired:
                del self._releases[lease]
            leases = list(itertools.islice(self._releases, MAX_OPERATIONS))
            await self._call([(RELEASE, key, lease) for lease in leases for key in self._releases[lease][0]])
            for lease in leases:  # not before it has been answered
                del self._releases[lease]

    async def _renew(self) -> None:
        held = list(self.held)
        for start in range(0, len(held), MAX_OPERATIONS):
            chunk = held[start : start + MAX_OPERATIONS]
            # What ended while an earlier chunk was under way must not be renewed any more.
            await self._call([(RENEW, key, lease) for lease in chunk for key in self.held.get(lease, ())])

    async def _call(self, operations: list[Operation]) -> None:
        if not operations:
            return
        self._sequence += 1
        keys, packed = pack_operations(self._sequence, operations)
        reply = await self._store.run(self._script, self._keys + keys, packed)
        flags, _, _ = unpack_head(reply)
        if flags & ReplyFlag.STALE:
            raise StoreAway(Away.REFUSED, "the store has seen a later call of this worker")


def _meters(plan: Plan) -> tuple[bytes, ...]:
    return tuple(take.key for take in plan.takes if take.kind is MeterKind.CONCURRENCY)
