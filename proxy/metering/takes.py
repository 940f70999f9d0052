"""What is asked of meters and what they answer, and how both travel to the script ``admit.lua`` and back. Pure.

Amounts are thousandths of a request, times epoch milliseconds. The formats are those in the script's head.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cache
from typing import Final

from proxy.policy.model import MeterKind

FORMAT: Final = 1
FORMAT_WITH_HOLDS: Final = 2
LEASE_BYTES: Final = 16
MAX_BATCH: Final = 64
LEAST_WIDTHS: Final = 50  # a window is at least this many sub-windows: what is lost to their coarseness is below 2%
MAX_AMOUNT: Final = 2**48 - 1  # what a window's entries can hold; 281 thousand million requests

_BATCH: Final = struct.Struct("<BHddd")
_STANDING: Final = struct.Struct("<ddd")
_ASK: Final = struct.Struct("<dBB")
_TAKE: Final = struct.Struct("<BBddddd")
_REPLY: Final = struct.Struct("<BBHd")


class Outcome(IntEnum):
    """What became of a decision; only ADMITTED has taken anything."""

    ADMITTED = 1
    REFUSED = 2
    IMPOSSIBLE = 3  # a take is larger than its capacity: it can never succeed
    EXPIRED = 4  # it arrived after its deadline
    CANCELLED = 5  # its lease had been released before, or its hold had ended
    CLOSED = 6  # budgets have to be rebuilt first
    OUTBOX_FULL = 7  # records wait for the ledger, as many as may


class Verdict(IntEnum):
    """What one meter says of one take."""

    FITS = 0
    NOT_NOW = 1
    NEVER = 2


class ReplyFlag(IntFlag):
    CLOCK_RESET = 1  # the watermark was far ahead of the clock: an alarm
    CLOCK_CLAMPED = 2
    STALE = 4  # a batch older than the sender's last: nothing was decided
    ROLLED_BACK = 8  # the store has forgotten what the caller has seen
    BEHIND = 16  # the store was rebuilt since the caller last looked
    CLOSED = 32  # budgets have to be rebuilt
    QUIET = 64  # no lease is judged yet: holders could not renew
    UNDONE = 128  # budgets were not closed, or written to since they were read


@dataclass(frozen=True, slots=True)
class Take:
    """One amount from one meter. ``a``, ``b``, ``c`` are its kind's numbers, as the script's head lists them."""

    key: bytes
    kind: MeterKind
    shadow: bool
    amount: int
    capacity: int
    a: int
    b: int = 0
    c: int = 0

    def packed(self) -> bytes:
        return _TAKE.pack(self.kind, self.shadow, self.amount, self.capacity, self.a, self.b, self.c)


@dataclass(slots=True)
class Ask:
    """One decision asked for. ``deadline_ms`` is in the store's time, 0 for none."""

    takes: Sequence[Take]
    deadline_ms: int = 0
    lease: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One decision made; ``meters`` holds (verdict, remaining, delay_ms) for each take, flat.

    With a hold: when it was taken (0: it was not), and (settled, held) for each of its takes, flat.
    """

    outcome: Outcome
    meters: tuple[float, ...]
    taken_ms: float = 0
    sums: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    flags: ReplyFlag
    clock_ms: int  # the store's TIME
    answers: tuple[Answer, ...]
    trailer: tuple[float, ...] = ()  # of a batch with holds: epoch, sequence, records in the outbox


def window_width(window_ms: int, *, exact: bool) -> int:
    """Milliseconds of a window's sub-windows: a power of two, so that widths nest when a policy changes one."""
    return 1 if exact or window_ms < LEAST_WIDTHS else 1 << ((window_ms // LEAST_WIDTHS).bit_length() - 1)


@cache
def _indices(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


@cache
def answer_struct(takes: int) -> struct.Struct:
    """Layout of one decision's answer: its outcome, then verdict, remaining and delay of each take."""
    return struct.Struct("<B" + "Bdd" * takes)


def pack_ask(
    deadline_ms: float, indices: Sequence[int], packed_takes: bytes, lease: bytes | None, hold: bytes = b""
) -> bytes:
    """One decision. ``indices`` are its meters' places among the batch's distinct keys; ``hold``: a packed hold, whose
    takes are the last ones."""
    count = len(indices)
    head = _ASK.pack(deadline_ms, count, (2 if hold else 0) + (lease is not None))
    return b"".join((head, lease or b"", hold, _indices(count).pack(*indices), packed_takes))


def pack_batch(
    sequence: int,
    asks: Sequence[bytes],
    *,
    now_ms: int = 0,
    memory_ms: int,
    standing: tuple[int, int, int] | None = None,
) -> bytes:
    """A whole batch. ``now_ms`` is for tests; 0 lets the script ask the store's clock. ``standing``, of a batch with
    holds: epoch and sequence last seen, and the bound of the outbox in records."""
    if standing is None:
        return b"".join((_BATCH.pack(FORMAT, len(asks), sequence, now_ms, memory_ms), *asks))
    head = _BATCH.pack(FORMAT_WITH_HOLDS, len(asks), sequence, now_ms, memory_ms)
    return b"".join((head, _STANDING.pack(*standing), *asks))


def unpack_head(reply: bytes) -> tuple[int, int, float]:
    """(flags, decisions, the store's clock in ms) of a reply; the first decision is at ``REPLY_HEAD``."""
    _, flags, count, clock_ms = _REPLY.unpack_from(reply)
    return flags, count, clock_ms


REPLY_HEAD: Final = _REPLY.size


def unpack_reply(reply: bytes, sizes: Sequence[int]) -> Reply:
    """A reply in full; ``sizes`` are the numbers of takes of the decisions asked for."""
    flags, count, clock_ms = unpack_head(reply)
    answers, at = [], REPLY_HEAD
    for size in sizes[:count]:
        layout = answer_struct(size)
        outcome, *meters = layout.unpack_from(reply, at)
        answers.append(Answer(Outcome(outcome), tuple(meters)))
        at += layout.size
    return Reply(ReplyFlag(flags), int(clock_ms), tuple(answers))


def pack_whole(sequence: int, asks: Sequence[Ask], *, now_ms: int = 0, memory_ms: int) -> tuple[list[bytes], bytes]:
    """The distinct meter keys and the packed batch of some asks."""
    places: dict[bytes, int] = {}
    packed = []
    for ask in asks:
        indices = [places.setdefault(take.key, len(places)) for take in ask.takes]
        packed.append(pack_ask(ask.deadline_ms, indices, b"".join(take.packed() for take in ask.takes), ask.lease))
    return list(places), pack_batch(sequence, packed, now_ms=now_ms, memory_ms=memory_ms)
