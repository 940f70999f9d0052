"""What can be held to the truths about money: the scripts in a real Redis, their twin, and two broken on purpose."""

import copy
from collections.abc import Sequence
from dataclasses import fields

import redis

from proxy.metering.books import Books, HoldAsk, Known
from proxy.metering.holds import Hold, kept_bytes, pack_hold_ask, pack_takes, read_kept, sums_struct
from proxy.metering.keys import CLOCK, DUE, GONE, HOLDS, OUTBOX, STATE, sender_key, tombs_key
from proxy.metering.settlement import (
    Effect,
    Operation,
    Rebuilding,
    Settled,
    SettleReply,
    Tomb,
    What,
    pack_reap,
    pack_rebuild,
    pack_settle,
    settled_counter,
    unpack_reap,
    unpack_settle,
    unpack_trailer,
)
from proxy.metering.takes import (
    REPLY_HEAD,
    Answer,
    Ask,
    Outcome,
    Reply,
    ReplyFlag,
    answer_struct,
    pack_ask,
    pack_batch,
    unpack_head,
)
from proxy.store.scripts import load

MEMORY_MS = 60_000
LEASE_MS = 30_000
GAP_MS = 10_000


def pack_asks(
    sequence: int, asks: Sequence[Ask], *, now_ms: int, known: Known, bound: int
) -> tuple[list[bytes], bytes]:
    """A batch with holds, as the batcher packs it."""
    places: dict[bytes, int] = {}
    packed = []
    for ask in asks:
        indices = [places.setdefault(take.key, len(places)) for take in ask.takes]
        takes, hold = b"".join(take.packed() for take in ask.takes), b""
        if isinstance(ask, HoldAsk) and ask.hold is not None:
            meters = len(ask.hold.plan.meters)
            found = [places.setdefault(key, len(places)) for key in ask.hold.plan.keys]
            tombs = places.setdefault(tombs_key(ask.hold.id), len(places))
            hold = pack_hold_ask(ask.hold, tombs, found[meters:])
            indices += found[:meters]
            takes += pack_takes(ask.hold)
        packed.append(pack_ask(ask.deadline_ms, indices, takes, ask.lease, hold))
    return list(places), pack_batch(sequence, packed, now_ms=now_ms, memory_ms=MEMORY_MS, standing=(*known, bound))


def read_answers(reply: bytes, asks: Sequence[Ask]) -> Reply:
    flags, count, clock_ms = unpack_head(reply)
    if flags & ReplyFlag.STALE:
        return Reply(ReplyFlag(flags), int(clock_ms), ())
    at, answers = REPLY_HEAD, []
    for ask in asks[:count]:
        hold = ask.hold if isinstance(ask, HoldAsk) else None
        held = len(hold.plan.meters) if hold is not None else 0
        layout = answer_struct(len(ask.takes) + held)
        outcome, *meters = layout.unpack_from(reply, at)
        at += layout.size
        taken_ms, sums = 0, ()
        if hold is not None:
            taken_ms, *sums = sums_struct(held).unpack_from(reply, at)
            at += 8 + 16 * held
        answers.append(Answer(Outcome(outcome), tuple(meters), taken_ms, tuple(sums)))
    return Reply(ReplyFlag(flags), int(clock_ms), tuple(answers), unpack_trailer(reply))


class ScriptedBooks:
    """The scripts, run by a synchronous client, at a clock of the test's."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def _run(self, name: str, keys: Sequence[bytes], argument: bytes) -> bytes:
        return self.client.eval(load(name).source, len(keys), *keys, argument)

    def admit_holds(
        self, sender: bytes, sequence: int, asks: Sequence[Ask], clock_ms: int, known: Known, bound: int
    ) -> Reply:
        meters, packed = pack_asks(sequence, asks, now_ms=clock_ms, known=known, bound=bound)
        keys = [CLOCK, sender_key(sender), GONE, *meters, STATE, HOLDS, DUE, OUTBOX]
        return read_answers(self._run("admit", keys, packed), asks)

    def settle(self, operations: Sequence[Operation], clock_ms: int, known: Known) -> SettleReply:
        named, packed = pack_settle(operations, epoch=known[0], sequence=known[1], now_ms=clock_ms)
        raw = self._run("settle", [CLOCK, STATE, HOLDS, DUE, OUTBOX, *named], packed)
        reply = unpack_settle(raw, [len(each.amounts) for each in operations])
        # The twin does not know entries' ids; that there is one where a record was written, test_settle pins.
        settled = tuple(Settled(one.effect, (0, 0), one.sums) for one in reply.settled)
        return SettleReply(reply.flags, reply.clock_ms, settled, reply.trailer)

    def reap(self, most: int, lease_ms: int, gap_ms: int, clock_ms: int, known: Known) -> tuple[ReplyFlag, list[Hold]]:
        packed = pack_reap(most, lease_ms, gap_ms, epoch=known[0], sequence=known[1], now_ms=clock_ms)
        reply = unpack_reap(self._run("reap", [CLOCK, STATE, HOLDS, DUE, OUTBOX], packed))
        return reply.flags, list(reply.due)

    def rebuild(
        self,
        what: Rebuilding,
        counters: dict[bytes, tuple[int, int]],
        clock_ms: int,
        *,
        at: int,
        random: int,
        epoch: int,
        lease_ms: int,
    ) -> ReplyFlag:
        values = list(counters.values())
        packed = pack_rebuild(what, values, at=at, random=random, epoch=epoch, lease_ms=lease_ms, now_ms=clock_ms)
        flags, _, _ = unpack_head(self._run("rebuild", [CLOCK, STATE, *counters], packed))
        return ReplyFlag(flags)

    def counter(self, key: bytes) -> tuple[int, int]:
        return settled_counter(self.client.get(key))

    def live(self) -> dict[bytes, bytes]:
        return self.client.hgetall(HOLDS)

    def held(self) -> list[Hold]:
        return [read_kept(hold_id, kept) for hold_id, kept in self.live().items()]

    def dues(self) -> dict[bytes, float]:
        return dict(self.client.zrange(DUE, 0, -1, withscores=True))

    def snapshot(self) -> list[tuple[bytes, int, bytes]]:
        return [(key, max(0, self.client.pttl(key)), self.client.dump(key)) for key in self.client.scan_iter()]

    def restore(self, snapshot: list[tuple[bytes, int, bytes]]) -> None:
        """The store comes back as it was then; an empty snapshot: empty."""
        self.client.flushall()
        for key, ttl, value in snapshot:
            self.client.restore(key, ttl, value)

    def entries(self) -> list[tuple[bytes, int, str, bytes]]:
        found = [fields for _, fields in self.client.xrange(OUTBOX)]
        return [(one[b"id"], int(one[b"rev"]), one[b"state"].decode(), one[b"record"]) for one in found]


class TwinBooks(Books):
    """The reference as it is, seen as the scripts are."""

    def counter(self, key: bytes) -> tuple[int, int]:
        state = self.meters.get(key)
        return (state.settled, state.amount) if state is not None else (0, 0)  # type: ignore[union-attr]

    def live(self) -> dict[bytes, bytes]:
        return {hold.id: kept_bytes(hold) for hold in self.holds.values()}

    def held(self) -> list[Hold]:
        return list(self.holds.values())

    def dues(self) -> dict[bytes, float]:
        return dict(self.due)

    def snapshot(self) -> dict[str, object]:
        return {one.name: copy.deepcopy(getattr(self, one.name)) for one in fields(Books)}

    def restore(self, snapshot: dict[str, object]) -> None:
        for name, value in (snapshot or TwinBooks().snapshot()).items():
            setattr(self, name, copy.deepcopy(value))

    def entries(self) -> list[tuple[bytes, int, str, bytes]]:
        return [(one.id, one.rev, one.state, one.record) for one in self.outbox]


class ReleasesTwice(TwinBooks):
    """Gives back a hold again when it is settled again, as a settlement without tombstones would."""

    def settle(self, operations: Sequence[Operation], clock_ms: int, known: Known) -> SettleReply:
        reply = super().settle(operations, clock_ms, known)
        for each, settled in zip(operations, reply.settled, strict=True):
            if each.what in (What.SETTLE, What.RELEASE) and settled.effect is Effect.ENDED:
                self._move(each.hold, [-amount for amount in each.hold.amounts], [0] * len(each.amounts), clock_ms)
        return reply


class ChargesAnOrphanWhole(TwinBooks):
    """Corrects an orphan by adding what was used to what was held."""

    def settle(self, operations: Sequence[Operation], clock_ms: int, known: Known) -> SettleReply:
        orphans = {hold_id for hold_id, tomb in self.tombs.items() if tomb is Tomb.ORPHANED}
        reply = super().settle(operations, clock_ms, known)
        for each, settled in zip(operations, reply.settled, strict=True):
            if settled.effect is Effect.CORRECTED and each.hold.id in orphans:
                self._move(each.hold, [0] * len(each.amounts), each.hold.amounts, clock_ms)
        return reply
