"""admit.lua keeps the truths of metering and agrees with its twin, on every server version at hand."""

import random

import pytest
import redis

from proxy.metering.takes import Ask, Outcome, ReplyFlag, Take, window_width
from proxy.policy.model import MILLI, MeterKind
from tests.fuzz import named, seeds
from tests.lua.checkers import StrictWindows
from tests.lua.subjects import Scripted, Twin, TwoBuckets

T0 = 1_790_000_000_000
WINDOWS = (60_000, 61_234, 3_600_000, 600_000)


def window(key: bytes, window_ms: int, capacity: int, amount: int = MILLI, shadow: bool = False) -> Take:
    width = window_width(window_ms, exact=capacity <= 64 * MILLI)
    return Take(key, MeterKind.WINDOW, shadow, amount, capacity, window_ms, width)


def smooth(key: bytes, leak: int, scale: int, burst: int, amount: int = MILLI) -> Take:
    return Take(key, MeterKind.SMOOTH, False, amount, burst, leak, scale)


def bursts(subject, rng: random.Random, *, reloads: bool, jumps: bool, steps: int = 120) -> None:
    """Bursts at random distances on one window meter, judged by the checker."""
    checker = StrictWindows()
    clock, window_ms, capacity = T0, 60_000, 100 * MILLI
    for sequence in range(1, steps):
        clock += rng.choice((0, 1, 900, 1_024, 5_000, 59_000, 59_999, 60_000))
        if jumps and rng.random() < 0.1:
            clock += rng.choice((-1, -4_000, -30_000, -600_000, 90_000))
        if reloads and rng.random() < 0.1:
            window_ms, capacity = rng.choice(WINDOWS), rng.choice((3, 60, 100, 150)) * MILLI
        take = window(b"{m0}w", window_ms, capacity, rng.choice((1, 1, 7)) * MILLI)
        asks = [Ask([take])] * rng.choice((1, 5, 60))
        checker.clock(clock)
        reply = subject.admit(b"s", sequence, asks, clock)
        if reply.flags & ReplyFlag.CLOCK_RESET:
            checker.rewritten(take)
        for answer in reply.answers:
            if answer.outcome is Outcome.ADMITTED:
                checker.admitted(take)


def test_the_checker_fails_a_two_bucket_counter() -> None:
    """A judge that cannot fail proves nothing: the usual weighted counter lets through more than the capacity."""
    with pytest.raises(AssertionError, match="of 100000 in 60000 ms"):
        bursts(TwoBuckets(), random.Random(1), reloads=False, jumps=False)


@pytest.mark.parametrize("jumps", [False, True], ids=["steady clock", "moved clock"])
@pytest.mark.parametrize("reloads", [False, True], ids=["one policy", "reloads"])
def test_no_trailing_window_holds_more_than_its_capacity(client: redis.Redis, reloads: bool, jumps: bool) -> None:
    """Truth 2, for the script and for its twin."""
    for seed in seeds(8):
        client.flushall()
        for subject in (Scripted(client), Twin()):
            with named(seed) as rng:
                bursts(subject, rng, reloads=reloads, jumps=jumps)


def decide(subject, sequence: int, takes: list[Take], clock: int = T0, deadline_ms: int = 0):
    return subject.admit(b"s", sequence, [Ask(takes, deadline_ms)], clock).answers[0]


def test_a_refused_decision_has_taken_nothing_from_any_meter(client: redis.Redis) -> None:
    """Truth 1: whichever of its meters refuses, and however often, the others are as they were, byte for byte."""
    subject = Scripted(client)
    wide, tight = window(b"{m0}wide", 60_000, 100 * MILLI), window(b"{m0}tight", 60_000, 2 * MILLI)
    drip = smooth(b"{m0}drip", 1, 60, 50 * MILLI)
    for sequence in (1, 2):
        assert decide(subject, sequence, [wide, drip, tight]).outcome is Outcome.ADMITTED
    before = [client.get(take.key) for take in (wide, drip, tight)]
    for sequence in range(3, 30):
        order = [wide, drip, tight] if sequence % 2 else [tight, drip, wide]
        assert decide(subject, sequence, order, T0 + sequence).outcome is Outcome.REFUSED
    assert [client.get(take.key) for take in (wide, drip, tight)] == before


def test_a_script_that_fails_has_written_nothing(client: redis.Redis) -> None:
    """Truth 1 under errors: all is decided before the first write, so a meter of an alien type spoils no other."""
    subject = Scripted(client)
    client.set("{m0}alien", b"\x01not a meter")
    takes = [window(b"{m0}w", 60_000, 100 * MILLI), window(b"{m0}alien", 60_000, 100 * MILLI)]
    with pytest.raises(redis.ResponseError):
        decide(subject, 1, takes)
    assert not client.exists("{m0}w", "{m0}clock", "{m0}s:s")


def test_a_take_larger_than_its_capacity_is_impossible(client: redis.Redis) -> None:
    """Waiting would be useless, so that is told apart from a refusal; no delay is given."""
    answer = decide(Scripted(client), 1, [window(b"{m0}w", 60_000, 5 * MILLI, 6 * MILLI)])
    assert answer.outcome is Outcome.IMPOSSIBLE
    assert answer.meters == (2, 5 * MILLI, 0)


def test_a_shadow_limit_is_decided_and_counted_and_never_refuses(client: redis.Redis) -> None:
    """It counts what it would have let through, so that what it would have refused is told as it would have been."""
    subject = Scripted(client)
    shadow = window(b"{m0}shadow", 60_000, 2 * MILLI, shadow=True)
    wide = window(b"{m0}wide", 60_000, 100 * MILLI)
    answers = [decide(subject, sequence, [shadow, wide]) for sequence in range(1, 5)]
    assert [answer.outcome for answer in answers] == [Outcome.ADMITTED] * 4
    assert [answer.meters[0] for answer in answers] == [0, 0, 1, 1]
    assert [answer.meters[1] for answer in answers] == [MILLI, 0, 0, 0]
    assert answers[-1].meters[4] == 96 * MILLI


def test_what_arrives_after_its_deadline_takes_nothing(client: redis.Redis) -> None:
    """By the store's clock, not by the clamped one: a frozen time must not let the late ones in."""
    subject = Scripted(client)
    take = window(b"{m0}w", 60_000, 5 * MILLI)
    assert decide(subject, 1, [take], T0, T0).outcome is Outcome.ADMITTED
    assert decide(subject, 2, [take], T0, T0 - 1).outcome is Outcome.EXPIRED
    assert decide(subject, 3, [take], T0 - 3_000, T0 - 3_001).outcome is Outcome.EXPIRED
    assert decide(subject, 4, [take], T0 - 3_000, T0 - 3_000).outcome is Outcome.ADMITTED
    assert decide(subject, 5, [take]).meters[1] == 2 * MILLI


def test_a_batch_sent_again_gets_its_answer_and_an_older_one_none(client: redis.Redis) -> None:
    """Truth 4: the reply was lost, or the batch came late; in both cases nothing more is taken, from this sender."""
    subject = Scripted(client)
    ask = [Ask([window(b"{m0}w", 60_000, 100 * MILLI)])] * 3
    first = subject.admit(b"s", 1, ask, T0)
    assert subject.admit(b"s", 1, ask, T0 + 900) == first
    assert subject.admit(b"t", 1, ask, T0).answers[-1].meters[1] == 94 * MILLI
    second = subject.admit(b"s", 2, ask, T0)
    late = subject.admit(b"s", 1, ask, T0)
    assert (late.flags, late.answers) == (ReplyFlag.STALE, ())
    assert subject.admit(b"s", 2, ask, T0) == second
    assert second.answers[-1].meters[1] == 91 * MILLI


def test_a_retry_delay_is_exact(client: redis.Redis) -> None:
    """One millisecond before it, the same take is refused; at it, it is admitted. For exact times and sub-windows."""
    for capacity in (10, 200):
        for amount in (1, 3, 9):
            client.flushall()
            subject, rng = Scripted(client), random.Random(amount)
            clock, sequence = T0, 0
            while True:
                clock += rng.randrange(250)
                sequence += 1
                answer = decide(subject, sequence, [window(b"{m0}w", 60_000, capacity * MILLI, amount * MILLI)], clock)
                if answer.outcome is Outcome.REFUSED:
                    break
            take, delay = window(b"{m0}w", 60_000, capacity * MILLI, amount * MILLI), int(answer.meters[2])
            assert decide(subject, sequence + 1, [take], clock + delay - 1).outcome is Outcome.REFUSED
            assert decide(subject, sequence + 2, [take], clock + delay).outcome is Outcome.ADMITTED


def test_a_client_paced_at_its_limit_gets_nearly_all_of_it(client: redis.Redis) -> None:
    """Strict and coarse cost little: about N/(N+1) of what is allowed, N (59 here) the number of sub-windows."""
    subject = Scripted(client)
    take = window(b"{m0}w", 60_000, 120 * MILLI)
    admitted = sum(
        decide(subject, sequence, [take], T0 + sequence * 500).outcome is Outcome.ADMITTED for sequence in range(1, 600)
    )
    assert admitted >= 0.975 * 599


def test_a_step_back_is_clamped_and_a_jump_is_reset_with_an_alarm(client: redis.Redis) -> None:
    """Truth 6, at the edge: five seconds are a step, more is a clock that had jumped ahead."""
    subject = Scripted(client)
    ask = [Ask([window(b"{m0}w", 60_000, 5 * MILLI)])]
    assert subject.admit(b"s", 1, ask, T0).flags == 0
    assert subject.admit(b"s", 2, ask, T0 - 5_000).flags == ReplyFlag.CLOCK_CLAMPED
    assert client.get("{m0}clock") == b"%d" % T0
    assert subject.admit(b"s", 3, ask, T0 - 5_001).flags == ReplyFlag.CLOCK_RESET
    assert client.get("{m0}clock") == b"%d" % (T0 - 5_001)


HOUR_MS = 3_600_000


@pytest.mark.parametrize("before", ["window", "smooth", "calendar"])
@pytest.mark.parametrize("after", ["window", "smooth", "calendar"])
def test_a_jump_ahead_freezes_no_meter_for_longer_than_its_window(client: redis.Redis, before: str, after: str) -> None:
    """A full meter from a future that is taken back counts as taken at the reset, though only refusals look at it."""
    edges = (T0 - 10_000, T0 + 50_000, T0 + 110_000)
    takes = {
        "window": window(b"{m0}w", 60_000, 5 * MILLI, 5 * MILLI),
        "smooth": smooth(b"{m0}w", 1, 12, 5 * MILLI, 5 * MILLI),
        "calendar": Take(b"{m0}w", MeterKind.CALENDAR, False, 5 * MILLI, 5 * MILLI, *edges),
    }
    subject = Scripted(client)
    ahead = takes[before]
    if before == "calendar":
        ahead = Take(ahead.key, ahead.kind, False, 5 * MILLI, 5 * MILLI, *(edge + HOUR_MS for edge in edges))
    assert decide(subject, 1, [ahead], T0 + HOUR_MS).outcome is Outcome.ADMITTED
    for sequence, later in enumerate((0, 10_000, 20_000, 49_000), 2):
        assert decide(subject, sequence, [takes[after]], T0 + later).outcome is Outcome.REFUSED
    assert decide(subject, 9, [takes[after]], T0 + 60_000).outcome is Outcome.ADMITTED


def test_meters_end_by_themselves(client: redis.Redis) -> None:
    """Every key but the watermark has an end: nothing grows for days. No key outlives its state by much."""
    subject = Scripted(client)
    lease = Take(b"{m0}l", MeterKind.CONCURRENCY, False, MILLI, MILLI, 30_000)
    takes = [window(b"{m0}w", 60_000, 100 * MILLI), smooth(b"{m0}s", 1, 60, 5 * MILLI)]
    takes += [Take(b"{m0}c", MeterKind.CALENDAR, False, MILLI, 9 * MILLI, T0 - 1, T0 + 10_000, T0 + 20_000), lease]
    subject.admit(b"s", 1, [Ask(takes, lease=bytes(16))], T0)
    longest = {b"{m0}w": 61_024, b"{m0}s": 60_000, b"{m0}c": 10_000, b"{m0}l": 30_000, b"{m0}s:s": 60_000}
    assert set(client.keys()) == {*longest, b"{m0}clock"}
    for key, state_ms in longest.items():
        assert state_ms - 2_000 < client.pttl(key) <= state_ms + 6_000


def test_a_longer_window_keeps_its_meter_for_longer(client: redis.Redis) -> None:
    """A policy that lengthens a window in the same sub-window moves the key's end too."""
    subject = Scripted(client)
    for sequence, window_ms in ((1, 60_000), (2, 62_000), (3, 60_000)):
        decide(subject, sequence, [window(b"{m0}w", window_ms, 5 * MILLI)])
    assert client.pttl("{m0}w") > 66_000


def test_memory_of_a_meter(client: redis.Redis) -> None:
    """What is promised of memory per meter: idle callers cost about a hundred bytes, the busiest about a thousand."""
    subject = Scripted(client)
    take = window(b"{m0}" + b"m:" + b"k" * 22, 60_000, 10_000 * MILLI)
    decide(subject, 1, [take])
    assert client.memory_usage(take.key) <= 168
    for sequence in range(2, 200):
        decide(subject, sequence, [take], T0 + sequence * 1_024)
    assert client.memory_usage(take.key) <= 1_100
