"""The script and its twin give the same answers to the same history: a stateful property test over all kinds.

Histories hold batches, batches sent again after a lost reply, old batches that come late, clocks that step and jump,
policies that change a meter's window, capacity or kind, leases given back too early, and deadlines that have passed.
"""

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from proxy.metering.takes import Ask, Take, window_width
from proxy.policy.model import MILLI, MeterKind
from tests.fuzz import examples
from tests.lua.subjects import Scripted, Twin

T0 = 1_790_000_000_000
DAY_MS = 86_400_000
LEASE_MS = 30_000
SENDERS = (b"one", b"two")

SETTINGS = settings(max_examples=examples(40), stateful_step_count=30)

amounts = st.sampled_from((100, MILLI, MILLI, 3 * MILLI, 40 * MILLI))
capacities = st.sampled_from((MILLI, 5 * MILLI, 64 * MILLI, 65 * MILLI, 1_000 * MILLI))
leases = st.integers(0, 12).map(lambda number: number.to_bytes(16, "little"))


@st.composite
def window_takes(draw: st.DrawFn, key: bytes) -> Take:
    window_ms = draw(st.sampled_from((60_000, 61_234, 90_000, 3_600_000)))
    width = window_width(window_ms, exact=draw(st.booleans()))
    return Take(key, MeterKind.WINDOW, draw(st.booleans()), draw(amounts), draw(capacities), window_ms, width)


@st.composite
def smooth_takes(draw: st.DrawFn, key: bytes) -> Take:
    leak, scale = draw(st.sampled_from(((1, 60), (10, 1), (7, 60_000), (1, 1))))
    return Take(key, MeterKind.SMOOTH, draw(st.booleans()), draw(amounts), draw(capacities), leak, scale)


@st.composite
def calendar_takes(draw: st.DrawFn, key: bytes) -> Take:
    length = draw(st.sampled_from((3_600_000, DAY_MS)))
    start = T0 // length * length + draw(st.integers(-1, 2)) * length
    edges = (start, start + length, start + 2 * length)
    return Take(key, MeterKind.CALENDAR, draw(st.booleans()), draw(amounts), draw(capacities), *edges)


def concurrency_takes(key: bytes) -> st.SearchStrategy[Take]:
    return st.sampled_from((1, 2, 5)).map(
        lambda slots: Take(key, MeterKind.CONCURRENCY, False, MILLI, slots * MILLI, LEASE_MS)
    )


def takes() -> st.SearchStrategy[list[Take]]:
    any_kind = [
        st.one_of(window_takes(key), smooth_takes(key), calendar_takes(key)) for key in (b"{m0}a", b"{m0}b", b"{m0}c")
    ]
    return st.tuples(*any_kind, concurrency_takes(b"{m0}l")).flatmap(
        lambda found: st.lists(st.sampled_from(found), min_size=1, max_size=4, unique_by=lambda take: take.key)
    )


@st.composite
def asks(draw: st.DrawFn) -> tuple[list[Take], int, bytes]:
    return draw(takes()), draw(st.sampled_from((0, 0, 50, -1))), draw(leases)


class Histories(RuleBasedStateMachine):
    """Both subjects see every step; ``client`` is set by the test."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.script, self.twin = Scripted(self.client), Twin()
        self.clock_ms = T0
        self.sequence = dict.fromkeys(SENDERS, 0)
        self.sent: dict[bytes, list[tuple[int, list[Ask]]]] = {sender: [] for sender in SENDERS}

    @rule(forward=st.sampled_from((1, 500, 1_024, 29_999, 30_000, 61_000, 3_600_000)))
    def time_passes(self, forward: int) -> None:
        self.clock_ms += forward

    @rule(back=st.sampled_from((1, 4_000, 5_000, 5_001, 70_000, 2 * DAY_MS)))
    def clock_steps_back(self, back: int) -> None:
        self.clock_ms -= back

    @rule(sender=st.sampled_from(SENDERS), wanted=st.lists(asks(), min_size=1, max_size=5))
    def batch(self, sender: bytes, wanted: list[tuple[list[Take], int, bytes]]) -> None:
        """New decisions; a refused one has changed nothing of its meters (truth 1 follows from the twin's shape)."""
        self.sequence[sender] += 1
        made = [
            Ask(found, self.clock_ms + wait if wait else 0, self._lease(found, lease)) for found, wait, lease in wanted
        ]
        self.sent[sender].append((self.sequence[sender], made))
        self._both(sender, *self.sent[sender][-1])

    @rule(sender=st.sampled_from(SENDERS), back=st.integers(0, 3))
    def batch_again(self, sender: bytes, back: int) -> None:
        """A reply was lost, or an old batch came late: the same answer or none, and nothing more is taken."""
        if back < len(self.sent[sender]):
            before = self._dump()
            self._both(sender, *self.sent[sender][-1 - back])
            assert self._dump() == before

    @rule(lease=leases)
    def release_overtakes(self, lease: bytes) -> None:
        self.client.zadd("{m0}gone", {lease: self.clock_ms + 60_000})
        self.twin.gone[lease] = self.clock_ms + 60_000

    def _lease(self, found: list[Take], lease: bytes) -> bytes | None:
        return lease if any(take.kind is MeterKind.CONCURRENCY for take in found) else None

    def _both(self, sender: bytes, sequence: int, made: list[Ask]) -> None:
        reply = self.script.admit(sender, sequence, made, self.clock_ms)
        assert reply == self.twin.admit(sender, sequence, made, self.clock_ms)

    def _dump(self) -> dict[bytes, object]:
        """Every meter as it is stored."""
        strings = {key: self.client.get(key) for key in (b"{m0}a", b"{m0}b", b"{m0}c")}
        return {**strings, b"{m0}l": self.client.zrange("{m0}l", 0, -1, withscores=True)}


def test_script_and_twin_answer_alike(client: redis.Redis) -> None:
    """Truths 1, 2, 4 and 6 hold for the script as far as they hold for the twin."""
    machine = type("OnThisServer", (Histories,), {"client": client})
    run_state_machine_as_test(machine, settings=SETTINGS)
