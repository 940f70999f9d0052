"""What is promised while Redis is away, judged from what clients saw. Pure: no clock, no socket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.openloop import Sample, percentile

WORKERS: Final = 2
GREEDY_LIMIT: Final = 60  # a minute; one user asks for many times as much
GREEDY_SHARE: Final = 0.075  # of all requests: what the later, greedier one of the two asks for
WINDOW_S: Final = 60.0
BREAKER_S: Final = 1.0  # by then it is open
RECOVERY_S: Final = 5.0
MAX_ADDED_MS: Final = 50.0
MIN_EQUAL: Final = 0.999


def flow_of(index: int) -> str:
    """Of ten requests one is greedy, one goes to the closed route, eight to the open one."""
    return {3: "closed", 7: "greedy"}.get(index % 10, "open")


def greedy_user_of(index: int, late_from: int) -> str:
    """Two ask for too much: one from the start, and one that Redis hears of only when it is back."""
    return "early" if index < late_from or index // 10 % 4 == 0 else "late"


@dataclass(slots=True)
class Run:
    """One run's samples, and when the fault began and ended: monotonic seconds, both the start where there was none."""

    samples: list[Sample]
    late_from: int  # the index from which on the late greedy user asks, just after the fault began
    began_s: float = 0.0
    ended_s: float = 0.0
    breaker_closed_s: float = 0.0  # after its end
    left_s: float = 0.0  # after its end the node that was replaced was last asked
    outage: bool = True  # whether workers had to count alone
    added_limit: int = 0  # of what the fault made Redis forget

    def of(self, flow: str) -> list[Sample]:
        return [sample for sample in self.samples if flow_of(sample.index) == flow]


@dataclass(frozen=True, slots=True)
class Finding:
    promise: str
    figure: str
    kept: bool


def equal_answers(calm: Run, run: Run) -> Finding:
    pairs = list(zip(calm.of("open"), run.of("open"), strict=True))
    same = sum(a.status == b.status and a.body == b.body for a, b in pairs)
    return Finding(
        "answers on the open route equal to those without the fault, at least 99.9 %",
        f"{same} of {len(pairs)} ({100 * same / len(pairs):.3f} %)",
        same >= MIN_EQUAL * len(pairs),
    )


def added_latency(calm: Run, run: Run) -> Finding:
    """From a second after the fault began until it ended, against the same part of the calm run."""
    from_s, to_s = run.began_s + BREAKER_S, max(run.ended_s, run.began_s + 2 * BREAKER_S)
    inside = [sample for sample in run.of("open") if from_s <= sample.due_s <= to_s]
    indexes = {sample.index for sample in inside}
    before = percentile([sample.latency_ms for sample in calm.of("open") if sample.index in indexes], 0.99)
    after = percentile([sample.latency_ms for sample in inside], 0.99)
    return Finding(
        f"added at p99 on the open route once the breaker is open, at most {MAX_ADDED_MS:g} ms",
        f"{after - before:+.1f} ms ({before:.1f} → {after:.1f} ms, {len(inside)} requests)",
        bool(inside) and after - before <= MAX_ADDED_MS,
    )


def recovery(run: Run) -> Finding:
    unwell = [sample.done_s - run.ended_s for sample in run.of("closed") if sample.status != 200]
    last_s = max([0.0, *unwell])
    breakers_s, left_s = run.breaker_closed_s, run.left_s
    return Finding(
        f"closed routes as before, breakers closed, an old primary left within {RECOVERY_S:g} s of Redis' return",
        f"last 503 after {last_s:.2f} s, breakers closed after {breakers_s:.2f} s, left after {left_s:.2f} s",
        max(last_s, breakers_s, left_s) <= RECOVERY_S,
    )


def closed_answers(run: Run) -> Finding:
    answers = run.of("closed")
    odd = [s for s in answers if s.status not in (200, 503) or (s.status == 503 and s.field("Retry-After") is None)]
    away = sum(sample.status == 503 for sample in answers)
    return Finding(
        "closed routes answer 200 or 503 with Retry-After, never 429",
        f"{away} of {len(answers)} were 503, {len(odd)} otherwise",
        not odd,
    )


def bounded(run: Run) -> Finding:
    """In every window: the limit, and the workers' shares in an outage, and what Redis was made to forget."""
    shares = WORKERS * (GREEDY_LIMIT // WORKERS) if run.outage else 0
    bound = GREEDY_LIMIT + shares + run.added_limit
    asked = run.of("greedy")
    admitted: dict[str, list[Sample]] = {"early": [], "late": []}
    for sample in asked:
        if sample.status == 200:
            admitted[greedy_user_of(sample.index, run.late_from)].append(sample)
    most = {user: fullest(samples) for user, samples in admitted.items()}
    promise = f"admitted of a limit of {GREEDY_LIMIT} a minute, at most {bound}"
    figure = f"{most['early']} of one who asks all the time, {most['late']} of one who comes later ({len(asked)} asked)"
    return Finding(promise, figure, max(most.values()) <= bound)


def fullest(admitted: Sequence[Sample]) -> int:
    """How many were surely admitted in one window: due after its beginning, done before its last one was due."""
    before = (
        sum(last.due_s - WINDOW_S < one.due_s and one.done_s <= last.due_s for one in admitted) for last in admitted
    )
    return max(before, default=-1) + 1


def judged(calm: Run, run: Run) -> list[Finding]:
    return [
        equal_answers(calm, run),
        added_latency(calm, run),
        closed_answers(run),
        recovery(run),
        bounded(run),
    ]
