"""What a call holds until it is known what it cost, and how that travels to ``admit.lua`` and is kept. Pure.

Amounts are whole numbers below 2^53 in their meter's unit (nano-dollars, tokens), times epoch milliseconds. A hold's
id is 16 bytes: eight of its worker, and a number of the worker's (little-endian).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from proxy.metering.keys import period_key, tombs_key
from proxy.metering.takes import LEASE_BYTES, Take, window_width
from proxy.policy.model import MeterKind

HOLD_LEASE_MS: Final = 30_000
MAX_MONEY: Final = 2**53 - 1
MAX_RECORD: Final = 16_384  # bytes; a usage record has about 900
NO_RECORD: Final = b""

HELD, SENT = 1, 2

_METER: Final = struct.Struct("<BBdddHB")
_ASK: Final = struct.Struct("<HB16sBdB")
_KEPT: Final = struct.Struct("<BdddB")
_LENGTH: Final = struct.Struct("<H")
_TAKE: Final = struct.Struct("<BBddddd")


@dataclass(frozen=True, slots=True)
class HoldMeter:
    """One meter that is held from. ``a``, ``b``, ``c`` as ``admit.lua`` lists them; ``base``: its key, or what the keys
    of a budget's periods begin with."""

    name: str
    base: bytes
    kind: MeterKind
    shadow: bool
    capacity: int
    a: int
    b: int
    c: int = 0

    @property
    def key(self) -> bytes:
        return period_key(self.base, self.a, self.b) if self.kind is MeterKind.HOLD else self.base

    @property
    def next_key(self) -> bytes:
        return period_key(self.base, self.b, self.c) if self.kind is MeterKind.HOLD else self.base

    def counter(self, taken_ms: float) -> bytes:
        """The key of the period that a take at this time belongs to."""
        return self.next_key if taken_ms >= self.b and self.kind is MeterKind.HOLD else self.key

    def ends_ms(self, taken_ms: float) -> int:
        """When that period ends; 0 for a window."""
        if self.kind is not MeterKind.HOLD:
            return 0
        return self.c if taken_ms >= self.b else self.b


def budget_meter(
    name: str, base: bytes, capacity: int, edges: tuple[int, int, int], *, shadow: bool = False
) -> HoldMeter:
    """A budget in a calendar period (``calendar.period_edges``). A share that is kept for better tiers is the lower
    ``capacity`` of the others. Raises: ValueError for what Lua could not count exactly."""
    if not 0 <= capacity <= MAX_MONEY:
        raise ValueError(f"the capacity of {name!r} is not below 2^53")
    return HoldMeter(name, base, MeterKind.HOLD, shadow, capacity, *edges)


def window_meter(name: str, base: bytes, capacity: int, window_ms: int, *, shadow: bool = False) -> HoldMeter:
    """Tokens in a trailing window: held when admitted, put right in the same sub-window when settled."""
    width = window_width(window_ms, exact=False)
    return HoldMeter(name, base, MeterKind.WINDOW, shadow, capacity, window_ms, width)


@dataclass(frozen=True, slots=True, eq=False)
class HoldPlan:
    """The meters that a caller's calls on a route hold from: made once for a caller, valid until a period ends."""

    meters: tuple[HoldMeter, ...]
    keys: tuple[bytes, ...] = field(init=False, repr=False)  # of this period, then of the next
    kept: bytes = field(init=False, repr=False)
    valid_until_ms: int = field(init=False)

    def __post_init__(self) -> None:
        keys = [meter.key for meter in self.meters] + [meter.next_key for meter in self.meters]
        ends = [meter.b for meter in self.meters if meter.kind is MeterKind.HOLD]
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "kept", b"".join(map(_kept_meter, self.meters)))
        object.__setattr__(self, "valid_until_ms", min(ends, default=MAX_MONEY))


def _kept_meter(meter: HoldMeter) -> bytes:
    name = meter.name.encode()[:255]
    head = _METER.pack(meter.kind, meter.shadow, meter.a, meter.b, meter.c, len(meter.base), len(name))
    return head + meter.base + name


@dataclass(frozen=True, slots=True)
class Hold:
    """One call's hold. ``record`` is what the ledger gets if nobody else says what became of it: an encoded record,
    orphaned, at the hold. ``taken_ms``: when the script took it, 0 before; ``sent``: it may have reached upstream."""

    id: bytes
    plan: HoldPlan
    amounts: tuple[int, ...]
    record: bytes = field(repr=False, default=NO_RECORD)
    lease_ms: int = HOLD_LEASE_MS
    sent: bool = True
    taken_ms: int = 0
    so_far: int = 0  # what was streamed when it was last renewed, in the caller's unit

    def taken(self, taken_ms: float, verdicts: Sequence[float]) -> "Hold":
        """As it was admitted. A window in shadow that was full has given nothing, and gets nothing back."""
        amounts = tuple(
            0 if verdict and meter.kind is MeterKind.WINDOW else amount
            for meter, amount, verdict in zip(self.plan.meters, self.amounts, verdicts, strict=True)
        )
        return replace(self, taken_ms=int(taken_ms), amounts=amounts)

    def takes(self) -> list[Take]:
        """What the reference takes, of this period."""
        return [
            Take(meter.key, meter.kind, meter.shadow, amount, meter.capacity, meter.a, meter.b, meter.c)
            for meter, amount in zip(self.plan.meters, self.amounts, strict=True)
        ]


def new_hold(
    hold_id: bytes, plan: HoldPlan, amounts: Sequence[int], record: bytes = NO_RECORD, *, sent: bool = True
) -> Hold:
    """A hold to ask for. ``sent``: the call goes upstream as soon as it is admitted, so that whatever dies from then on
    it counts as sent; without, it must be renewed (and that be answered) before it goes. Raises: ValueError."""
    if len(hold_id) != LEASE_BYTES or len(amounts) != len(plan.meters):
        raise ValueError("a hold has an id of 16 bytes and one amount a meter")
    if len(record) > MAX_RECORD:
        raise ValueError(f"a record of {len(record)} bytes is larger than {MAX_RECORD}")
    if not all(0 <= amount <= MAX_MONEY for amount in amounts):
        raise ValueError("an amount is not below 2^53")
    return Hold(hold_id, plan, tuple(amounts), record, sent=sent)


@cache
def _indices(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


@cache
def sums_struct(count: int) -> struct.Struct:
    """Layout of what an answer says of a hold: when it was taken, then settled and held of each meter."""
    return struct.Struct("<d" + "dd" * count)


def pack_takes(hold: Hold) -> bytes:
    """The hold's takes, as ``takes.Take.packed`` has them."""
    pack = _TAKE.pack
    return b"".join(
        [
            pack(m.kind, m.shadow, amount, m.capacity, m.a, m.b, m.c)
            for m, amount in zip(hold.plan.meters, hold.amounts, strict=True)
        ]
    )


def pack_hold_ask(hold: Hold, tombs: int, following: Sequence[int]) -> bytes:
    """What an ask says of its hold. ``tombs`` and ``following``: indices of its tombstones and next periods' meters."""
    kept = hold.plan.kept + hold.record
    head = _ASK.pack(tombs, hold.id[8], hold.id, SENT if hold.sent else HELD, hold.lease_ms, len(following))
    return head + _indices(len(following)).pack(*following) + _LENGTH.pack(len(kept)) + kept


def kept_bytes(hold: Hold, *, with_record: bool = True) -> bytes:
    """What the store keeps of a hold, and a journal."""
    state = SENT if hold.sent else HELD
    head = _KEPT.pack(state, hold.taken_ms, hold.lease_ms, hold.so_far, len(hold.amounts))
    return (
        head
        + struct.pack(f"<{len(hold.amounts)}d", *hold.amounts)
        + hold.plan.kept
        + (hold.record if with_record else NO_RECORD)
    )


def read_kept(hold_id: bytes, kept: bytes) -> Hold:
    """The hold as it was kept; capacities are not. Raises: ValueError for what is no hold."""
    try:
        state, taken_ms, lease_ms, so_far, count = _KEPT.unpack_from(kept)
        amounts = struct.unpack_from(f"<{count}d", kept, _KEPT.size)
        at = _KEPT.size + 8 * count
        meters = []
        for _ in range(count):
            kind, shadow, a, b, c, base_size, name_size = _METER.unpack_from(kept, at)
            at += _METER.size + base_size + name_size
            base, name = kept[at - base_size - name_size : at - name_size], kept[at - name_size : at].decode()
            meters.append(HoldMeter(name, base, MeterKind(kind), bool(shadow), 0, int(a), int(b), int(c)))
        whole = tuple(int(amount) for amount in amounts)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("not a hold") from error
    plan = HoldPlan(tuple(meters))
    return Hold(hold_id, plan, whole, kept[at:], int(lease_ms), state == SENT, int(taken_ms), int(so_far))


def hold_keys(hold: Hold) -> list[bytes]:
    """Every key that asking for it names: its meters', the next periods', and where its tombstone would be."""
    return [*hold.plan.keys, tombs_key(hold.id)]
