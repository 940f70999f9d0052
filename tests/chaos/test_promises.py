"""Each judge finds what it is there to find. (``redis_faults --prove`` shows it with whole gateways.)"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.bench.openloop import Sample, percentile
from tests.chaos.promises import GREEDY_LIMIT, Finding, Run, flow_of, judged

LATE = 1100
HEAD_503 = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\n\r\n"


def sample(index: int) -> Sample:
    due_s = index / 200
    status = 200
    if flow_of(index) == "greedy" and index // 10 >= GREEDY_LIMIT:
        status = 429
    return Sample(index, due_s, due_s + 0.002, status, b"/%d" % index)


def calm() -> Run:
    return Run([sample(index) for index in range(4000)], LATE)


def outage() -> Run:
    """From 5 s to 15 s: closed routes say 503."""
    run = Run(calm().samples, LATE, began_s=5.0, ended_s=15.0)
    run.samples = [
        replace(one, status=503, head=HEAD_503) if flow_of(one.index) == "closed" and 5 <= one.due_s < 15 else one
        for one in run.samples
    ]
    return run


def changed(run: Run, which: Callable[[Sample], bool], **change: object) -> Run:
    run.samples = [replace(one, **change) if which(one) else one for one in run.samples]
    return run


def broken(run: Run) -> list[str]:
    return [finding.promise for finding in judged(calm(), run) if not finding.kept]


def test_an_outage_as_promised_is_found_good() -> None:
    assert broken(outage()) == []
    assert len(judged(calm(), outage())) == 5
    assert all(isinstance(finding, Finding) for finding in judged(calm(), outage()))


def during(one: Sample) -> bool:
    return 5 <= one.due_s < 15


@pytest.mark.parametrize(
    ("which", "change", "promise"),
    [
        (lambda s: s.index in (0, 1, 2, 4, 5), {"status": 502}, "answers on the open route"),
        (lambda s: s.index in (0, 1, 2, 4, 5), {"body": b"another"}, "answers on the open route"),
        (lambda s: s.status == 503, {"status": 429}, "closed routes answer"),
        (lambda s: s.status == 503, {"head": b"HTTP/1.1 503 x\r\n\r\n"}, "closed routes answer"),
        (
            lambda s: flow_of(s.index) == "closed" and s.due_s > 19,
            {"status": 503, "head": HEAD_503, "done_s": 20.5},
            "closed routes as before",
        ),
        (lambda s: flow_of(s.index) == "greedy", {"status": 200}, "admitted of a limit"),
    ],
    ids=["status", "body", "429", "no Retry-After", "late recovery", "unbounded"],
)
def test_what_breaks_a_promise_is_found(
    which: Callable[[Sample], bool], change: dict[str, object], promise: str
) -> None:
    found = broken(changed(outage(), which, **change))
    assert len(found) == 1
    assert found[0].startswith(promise)


def test_slow_answers_while_the_breaker_is_open_are_found() -> None:
    run = outage()
    run.samples = [
        replace(one, done_s=one.due_s + 0.06) if flow_of(one.index) == "open" and during(one) else one
        for one in run.samples
    ]
    assert [promise[:12] for promise in broken(run)] == ["added at p99"]
    calmer = outage()
    calmer.samples = [replace(one, done_s=one.due_s + 0.25) if 5 <= one.due_s < 6 else one for one in calmer.samples]
    assert broken(calmer) == [], "until the breaker is open, a second after the fault, waiting is allowed"


def test_percentiles_are_of_the_values_themselves() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3.0], 0.5) == 3.0
    assert percentile([float(value) for value in range(1, 101)], 0.99) == 100.0
    assert percentile([float(value) for value in range(1, 101)], 0.5) == 51.0


def test_an_old_primary_that_is_not_left_is_found() -> None:
    """It answers as ever, and loses what it counts: clients see nothing of it."""
    run = outage()
    run.left_s = 5.1
    assert [promise[:14] for promise in broken(run)] == ["closed routes "]


def test_without_an_outage_nothing_is_counted_alone() -> None:
    """A fault that Redis answers through allows for no local shares, only for what it forgets."""
    assert broken(Run(calm().samples, LATE, outage=False)) == []
    twice = [replace(one, status=200) if flow_of(one.index) == "greedy" else one for one in calm().samples[:1000]]
    run = Run(twice + calm().samples[1000:], LATE, outage=False)
    assert [promise[:8] for promise in broken(run)] == ["admitted"]
    run.added_limit = 60
    assert broken(run) == []
