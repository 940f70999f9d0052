"""How a hold goes on and ends: what is said to ``settle.lua``, ``reap.lua``, ``rebuild.lua``, and their answers. Pure.

An operation carries its whole hold, so that it counts even where the store has forgotten that. The formats are those in
the scripts' heads.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from proxy.core.usage import charged_when_taken
from proxy.metering.holds import MAX_MONEY, MAX_RECORD, NO_RECORD, Hold, read_kept
from proxy.metering.keys import tombs_key
from proxy.metering.takes import FORMAT, REPLY_HEAD, ReplyFlag, unpack_head
from proxy.policy.model import MeterKind

TOMBSTONE_MS: Final = 7 * 86_400_000
MAX_OPERATIONS: Final = 64

_CALL: Final = struct.Struct("<BHddd")
_OPERATION: Final = struct.Struct("<BHB16sdddB")
_METER: Final = struct.Struct("<HHBddddd")
_LENGTH: Final = struct.Struct("<H")
_EFFECT: Final = struct.Struct("<Bdd")
_TRAILER: Final = struct.Struct("<ddd")
_REAP: Final = struct.Struct("<BHddddd")
_DUE: Final = struct.Struct("<16sH")
_REAPED: Final = struct.Struct("<ddddd")
_REBUILD: Final = struct.Struct("<BHBddddd")
_COUNTER: Final = struct.Struct("<dd")


class What(IntEnum):
    RENEW = 1  # it lives, and has been sent
    SETTLE = 2  # at what was used
    RELEASE = 3  # nothing was used
    ORPHAN = 4  # its lease has ended: at its hold, if it was sent
    ABANDON = 5  # whoever held it has died and says so: at its hold


class Effect(IntEnum):
    DONE = 1
    AGAIN = 2  # renewed though the store had lost it: it is held again, even beyond the capacity
    CORRECTED = 3  # it had been orphaned; the counters moved by the difference, and the ledger gets revision 2
    ENDED = 4  # it had ended before: nothing was done
    TOO_LATE = 5  # older than any tombstone, and the store has not heard of it: nothing was done
    CLOSED = 6  # not now: this worker is behind a rebuild
    NOT_DUE = 7  # it has been renewed, or has ended
    NEVER_SENT = 8  # orphaned before it was sent: released, without a record


class Tomb(IntEnum):
    """What a hold became."""

    NOTHING = 0
    SETTLED = 1
    RELEASED = 2
    ORPHANED = 3
    NEVER_SENT = 4
    CORRECTED = 5


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to do with a hold. ``amounts``: what was used of each meter; ``record``: what the ledger gets."""

    what: What
    hold: Hold
    amounts: tuple[int, ...]
    record: bytes = NO_RECORD

    @property
    def overrun(self) -> bool:
        """More was used than was held. It counts all the same."""
        return any(amount > held for amount, held in zip(self.amounts, self.hold.amounts, strict=True))


def settling(hold: Hold, amounts: Sequence[int], record: bytes) -> Operation:
    """Raises: ValueError for what cannot be counted exactly."""
    if len(amounts) != len(hold.amounts) or not all(0 <= amount <= MAX_MONEY for amount in amounts):
        raise ValueError("a settlement has one amount a meter, below 2^53")
    if not hold.taken_ms:
        raise ValueError("a hold that was never taken cannot be settled, only released")
    if len(record) > MAX_RECORD:
        raise ValueError(f"a record of {len(record)} bytes is larger than {MAX_RECORD}")
    return Operation(What.SETTLE, hold, tuple(amounts), record)


def releasing(hold: Hold, record: bytes = NO_RECORD) -> Operation:
    """``record``: of an attempt that cost nothing, which puts an orphan right; without one the ledger does not hear of
    it, and an orphan stays as it is."""
    return Operation(What.RELEASE, hold, (0,) * len(hold.amounts), record)


def renewing(hold: Hold) -> Operation:
    return Operation(What.RENEW, hold, hold.amounts)


def orphaning(hold: Hold, *, abandoned: bool = False) -> Operation:
    """At its hold, with the record that it carries. Raises: ValueError for a record that is none."""
    record = charged_when_taken(hold.record, hold.taken_ms)
    return Operation(What.ABANDON if abandoned else What.ORPHAN, hold, hold.amounts, record)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an operation. ``sums``: settled and held of each meter now, flat; windows have none (0).

    ``entry``: the outbox entry of its record (milliseconds, number), (0, 0) if there is none.
    """

    effect: Effect
    entry: tuple[int, int]
    sums: tuple[float, ...]


def pack_settle(
    operations: Sequence[Operation], *, epoch: int = 0, sequence: int = 0, now_ms: int = 0
) -> tuple[list[bytes], bytes]:
    """The distinct keys (of tombstones and meters) and the packed argument of ``settle.lua``."""
    places: dict[bytes, int] = {}
    parts = [_CALL.pack(FORMAT, len(operations), now_ms, epoch, sequence)]
    for each in operations:
        hold = each.hold
        tombs = places.setdefault(tombs_key(hold.id), len(places))
        head = (each.what, tombs, hold.id[8], hold.id, hold.taken_ms, hold.lease_ms, hold.so_far, len(hold.amounts))
        parts.append(_OPERATION.pack(*head))
        for meter, held, amount in zip(hold.plan.meters, hold.amounts, each.amounts, strict=True):
            if hold.taken_ms:
                # Its period is known: one key less to name.
                key = following = meter.counter(hold.taken_ms)
            else:
                key, following = meter.key, meter.next_key
            here, there = places.setdefault(key, len(places)), places.setdefault(following, len(places))
            parts.append(_METER.pack(here, there, meter.kind, held, amount, meter.a, meter.b, meter.c))
        kept = hold.plan.kept + hold.record if each.what is What.RENEW else b""
        parts += (_LENGTH.pack(len(each.record)), each.record, _LENGTH.pack(len(kept)), kept)
    return list(places), b"".join(parts)


@dataclass(frozen=True, slots=True)
class SettleReply:
    flags: ReplyFlag
    clock_ms: int
    settled: tuple[Settled, ...]
    trailer: tuple[float, float, float]


def unpack_settle(reply: bytes, sizes: Iterable[int]) -> SettleReply:
    """``sizes``: how many meters each operation has."""
    flags, _, clock_ms = unpack_head(reply)
    at, found = REPLY_HEAD, []
    for size in sizes:
        effect, ms, number = _EFFECT.unpack_from(reply, at)
        sums = struct.unpack_from(f"<{2 * size}d", reply, at + _EFFECT.size)
        at += _EFFECT.size + 16 * size
        found.append(Settled(Effect(effect), (int(ms), int(number)), sums))
    return SettleReply(ReplyFlag(flags), int(clock_ms), tuple(found), _TRAILER.unpack_from(reply, at))


def unpack_trailer(reply: bytes) -> tuple[float, float, float]:
    """Epoch, sequence and length of the outbox, at the end of a reply about holds."""
    return _TRAILER.unpack_from(reply, len(reply) - _TRAILER.size)


def pack_reap(most: int, lease_ms: int, gap_ms: int, *, epoch: int = 0, sequence: int = 0, now_ms: int = 0) -> bytes:
    return _REAP.pack(FORMAT, most, now_ms, epoch, sequence, lease_ms, gap_ms)


@dataclass(frozen=True, slots=True)
class ReapReply:
    """``landed``: every outbox entry below it has been moved into the ledger, or to its dead letters."""

    flags: ReplyFlag
    due: tuple[Hold, ...]
    landed: tuple[int, int]
    trailer: tuple[float, float, float]


def unpack_reap(reply: bytes) -> ReapReply:
    flags, count, _ = unpack_head(reply)
    at, due = REPLY_HEAD, []
    for _ in range(count):
        hold_id, size = _DUE.unpack_from(reply, at)
        at += _DUE.size + size
        due.append(read_kept(hold_id, reply[at - size : at]))
    ms, number, *trailer = _REAPED.unpack_from(reply, at)
    return ReapReply(ReplyFlag(flags), tuple(due), (int(ms), int(number)), (trailer[0], trailer[1], trailer[2]))


class Rebuilding(IntFlag):
    CLOSE = 1
    SET = 2
    OPEN = 4


def pack_rebuild(
    what: Rebuilding,
    counters: Sequence[tuple[int, int]] = (),
    *,
    at: int = 0,
    random: int = 0,
    epoch: int = 0,
    lease_ms: int,
    now_ms: int = 0,
) -> bytes:
    """``counters``: settled and the period's end (epoch ms) of each, in the order of their keys; ``at``: the sequence
    at which that was read."""
    head = _REBUILD.pack(FORMAT, len(counters), what, now_ms, at, random, epoch, lease_ms)
    return head + b"".join(_COUNTER.pack(*counter) for counter in counters)


def settled_counter(raw: bytes | None) -> tuple[int, int]:
    """Settled and held of a budget's counter as the store keeps it. Raises: ValueError for another kind's."""
    if raw is None:
        return 0, 0
    kind, settled, held = struct.unpack("<Bdd", raw)
    if kind != MeterKind.HOLD:
        raise ValueError("not a budget's counter")
    return int(settled), int(held)
