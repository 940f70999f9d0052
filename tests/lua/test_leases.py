"""leases.lua and the concurrency meters of admit.lua keep truth 4, and agree with the twin, in any order of events."""

import struct
from collections.abc import Sequence

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from proxy.metering.leases import RELEASE, RENEW, Operation, pack_operations
from proxy.metering.takes import Ask, Outcome, ReplyFlag, Take, unpack_head
from proxy.policy.model import MILLI, MeterKind
from proxy.store.scripts import load
from tests.fuzz import examples
from tests.lua.subjects import Scripted, Twin

T0 = 1_790_000_000_000
LEASE_MS = 30_000
KEY = b"{m0}l"
CAPACITY = 3
TAKE = Take(KEY, MeterKind.CONCURRENCY, False, MILLI, CAPACITY * MILLI, LEASE_MS)

NOTHING, DONE, AGAIN = 0, 1, 2

lease_ids = st.integers(0, 5).map(lambda number: number.to_bytes(16, "little"))


def call(client: redis.Redis, sequence: int, operations: Sequence[Operation], clock_ms: int) -> list[int] | None:
    """What was done, or None if the call was stale."""
    keys, packed = pack_operations(sequence, list(operations), now_ms=clock_ms)
    script = load("leases")
    reply = client.eval(script.source, 3 + len(keys), b"{m0}clock", b"{m0}s:l", b"{m0}gone", *keys, packed)
    flags, count, _ = unpack_head(reply)
    return None if flags & ReplyFlag.STALE else list(struct.unpack_from(f"{count}B", reply, len(reply) - count))


class Lives(RuleBasedStateMachine):
    """Exchanges that begin, are renewed, end, and whose messages come late, twice or out of order."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.script, self.twin = Scripted(self.client), Twin()
        self.clock_ms, self.batches, self.calls = T0, 0, 0
        self.sent: list[tuple[int, list[Operation]]] = []
        self.restored = 0

    @rule(forward=st.sampled_from((1, 9_000, 20_000, 30_000, 61_000)))
    def time_passes(self, forward: int) -> None:
        self.clock_ms += forward

    @rule(lease=lease_ids)
    def take(self, lease: bytes) -> None:
        self.batches += 1
        ask = [Ask([TAKE], lease=lease)]
        reply = self.script.admit(b"s", self.batches, ask, self.clock_ms)
        assert reply == self.twin.admit(b"s", self.batches, ask, self.clock_ms)
        if reply.answers[0].outcome is Outcome.CANCELLED:
            assert self.client.zscore(KEY, lease) is None

    @rule(kind=st.sampled_from((RENEW, RELEASE)), leases=st.lists(lease_ids, min_size=1, max_size=4, unique=True))
    def operate(self, kind: int, leases: list[bytes]) -> None:
        self.calls += 1
        operations = [(kind, KEY, lease) for lease in leases]
        self.sent.append((self.calls, operations))
        # Both keep what has expired until something is taken; the twin drops it a little earlier.
        kept = {lease for lease in leases if self.client.zscore(KEY, lease) is not None}
        done = call(self.client, *self.sent[-1], self.clock_ms)
        assert done == [self._twin(kind, lease, kept) for lease in leases]
        self._forget()

    @rule(back=st.integers(0, 4))
    def comes_late(self, back: int) -> None:
        """A call that was given up and is read after a later one, or again: it does nothing."""
        if back < len(self.sent):
            before = self.client.zrange(KEY, 0, -1, withscores=True)
            assert call(self.client, *self.sent[-1 - back], self.clock_ms) is None
            assert self.client.zrange(KEY, 0, -1, withscores=True) == before

    @invariant()
    def no_more_than_the_capacity(self) -> None:
        """But for those that were taken again, since their exchange lives."""
        assert self.client.zcount(KEY, self.clock_ms + 1, "+inf") <= CAPACITY + self.restored

    def _twin(self, kind: int, lease: bytes, kept: set[bytes]) -> int:
        now_ms = max(self.clock_ms, self.twin.watermark_ms)
        if kind == RELEASE:
            return DONE if self.twin.release(KEY, lease, now_ms) or lease in kept else NOTHING
        there = lease in getattr(self.twin.meters.get(KEY), "leases", {})
        if not self.twin.renew(KEY, lease, LEASE_MS, now_ms):
            return NOTHING
        self.restored += not there
        return DONE if lease in kept else AGAIN

    def _forget(self) -> None:
        """Tombstones end: the script trims them at each call."""
        self.twin.gone = {lease: end for lease, end in self.twin.gone.items() if end > self.clock_ms}


def test_leases_agree_with_their_twin(client: redis.Redis) -> None:
    machine = type("OnThisServer", (Lives,), {"client": client})
    limits = settings(max_examples=examples(40), stateful_step_count=25)
    run_state_machine_as_test(machine, settings=limits)


def test_a_release_that_overtakes_its_take_cancels_it(client: redis.Redis) -> None:
    """The client gave up, its release was quicker than the batch: nothing is held."""
    lease = bytes(16)
    assert call(client, 1, [(RELEASE, KEY, lease)], T0) == [NOTHING]
    answer = Scripted(client).admit(b"s", 1, [Ask([TAKE], lease=lease)], T0).answers[0]
    assert answer.outcome is Outcome.CANCELLED
    assert not client.exists(KEY)
    assert call(client, 2, [(RENEW, KEY, lease)], T0) == [NOTHING]


def test_a_release_frees_at_once_and_an_end_nobody_tells_frees_after_the_lease(client: redis.Redis) -> None:
    subject = Scripted(client)
    leases = [bytes([number]) * 16 for number in range(5)]

    def outcome(sequence: int, lease: bytes, clock_ms: int) -> Outcome:
        return subject.admit(b"s", sequence, [Ask([TAKE], lease=lease)], clock_ms).answers[0].outcome

    assert [outcome(n, leases[n - 1], T0) for n in (1, 2, 3)] == [Outcome.ADMITTED] * 3
    assert outcome(4, leases[3], T0) is Outcome.REFUSED
    assert call(client, 1, [(RELEASE, KEY, leases[0])], T0) == [DONE]
    assert outcome(5, leases[3], T0) is Outcome.ADMITTED
    assert outcome(6, leases[4], T0 + LEASE_MS - 1) is Outcome.REFUSED
    assert outcome(7, leases[4], T0 + LEASE_MS) is Outcome.ADMITTED


def test_leases_from_a_clock_that_ran_ahead_end_within_one_lease(client: redis.Redis) -> None:
    """A jump back of an hour must not hold every slot for an hour."""
    subject = Scripted(client)
    ahead = T0 + 3_600_000
    for number in (1, 2, 3):
        subject.admit(b"s", number, [Ask([TAKE], lease=bytes([number]) * 16)], ahead)
    other = [Ask([TAKE], lease=b"x" * 16)]
    reset = subject.admit(b"s", 4, other, T0)
    assert reset.flags == ReplyFlag.CLOCK_RESET
    assert reset.answers[0].outcome is Outcome.REFUSED
    assert subject.admit(b"s", 5, other, T0 + LEASE_MS).answers[0].outcome is Outcome.ADMITTED


@pytest.mark.parametrize("workers", [1, 3])
def test_heartbeats_count_those_that_live(client: redis.Redis, workers: int) -> None:
    """Each says so itself; one that ends says that too, and one that dies is not believed for long."""
    source = load("heartbeat").source

    def beat(worker: int, believed_ms: int) -> int:
        return client.eval(source, 1, b"{m0}live", b"%d" % worker, believed_ms)

    assert [beat(worker, 60_000) for worker in range(workers)] == list(range(1, workers + 1))
    assert beat(0, 60_000) == workers, "again is no more"
    assert beat(0, 0) == workers - 1
    client.zadd("{m0}live", {b"dead": 1})
    assert beat(9, 60_000) == workers
