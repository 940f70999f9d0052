"""Which refusals are remembered, for how long, and for whom."""

from proxy.metering.plan import Plan, make_plan
from proxy.metering.refusals import MAX_REFUSALS, Refusals
from proxy.metering.takes import Outcome, Verdict
from proxy.policy.model import Limit, MeterKind, Period
from tests.metering.samples import T0, limit, policy, rate, route, user

WINDOW = limit("w", rate(100))
KINDS = {
    MeterKind.WINDOW: WINDOW,
    MeterKind.SMOOTH: limit("s", rate(10, burst=100), kind=MeterKind.SMOOTH),
    MeterKind.CALENDAR: limit("c", rate(100, 0, period=Period.DAY), kind=MeterKind.CALENDAR),
    MeterKind.CONCURRENCY: limit("l", rate(1, 0), kind=MeterKind.CONCURRENCY),
}
REFUSED = (Verdict.NOT_NOW, 0.0, 1_000.0)


def a_plan(*limits: Limit, factor: int = 1, name: str = "ann", version: str = "v1") -> Plan:
    made = route(*limits)
    return make_plan(policy(made, version=version), made, user(name), "192.0.2.1", factor, T0)


def remembered(plan: Plan, meters: tuple[float, ...] = REFUSED) -> Refusals:
    refusals = Refusals()
    refusals.learn(plan, Outcome.REFUSED, meters, 0)
    return refusals


def test_only_meters_that_never_give_back_are_remembered() -> None:
    for kind, each in KINDS.items():
        assert bool(remembered(a_plan(each))) is (kind is not MeterKind.CONCURRENCY)


def test_it_ends_with_its_delay_from_receipt() -> None:
    plan = a_plan(WINDOW)
    refusals = remembered(plan)
    assert refusals.recall(plan, 999) == (Verdict.NOT_NOW, -1, 1.0)
    assert refusals.recall(plan, 1_000) is None
    assert not refusals, "and is forgotten"


def test_what_is_smaller_may_fit_and_what_is_larger_cannot() -> None:
    refusals = remembered(a_plan(WINDOW, factor=5))
    assert refusals.recall(a_plan(WINDOW, factor=4), 0) is None
    assert refusals.recall(a_plan(WINDOW, factor=6), 0) is not None


def test_the_least_amount_refused_is_kept() -> None:
    refusals = remembered(a_plan(WINDOW, factor=5))
    refusals.learn(a_plan(WINDOW, factor=9), Outcome.REFUSED, (Verdict.NOT_NOW, 0, 5_000), 0)
    assert refusals.recall(a_plan(WINDOW, factor=5), 500) is not None
    refusals.learn(a_plan(WINDOW, factor=2), Outcome.REFUSED, (Verdict.NOT_NOW, 0, 700), 0)
    assert refusals.recall(a_plan(WINDOW, factor=2), 500) is not None
    assert refusals.recall(a_plan(WINDOW, factor=1), 500) is None


def test_other_callers_other_policies_and_shadows_are_asked_for() -> None:
    refusals = remembered(a_plan(WINDOW))
    assert refusals.recall(a_plan(WINDOW, name="bob"), 0) is None
    assert refusals.recall(a_plan(WINDOW, version="v2"), 0) is None
    assert refusals.recall(a_plan(limit("w", rate(100), shadow=True)), 0) is None
    assert not remembered(a_plan(limit("w", rate(100), shadow=True)))


def test_a_new_policy_forgets_those_of_the_old() -> None:
    refusals = remembered(a_plan(WINDOW))
    refusals.learn(a_plan(WINDOW, name="bob", version="v2"), Outcome.REFUSED, REFUSED, 0)
    assert refusals.recall(a_plan(WINDOW, version="v2"), 0) is None


def test_what_cannot_be_is_not_remembered_nor_what_is_over_at_once() -> None:
    assert not remembered(a_plan(WINDOW), (Verdict.NEVER, 0, 0))
    assert not remembered(a_plan(WINDOW), (Verdict.NOT_NOW, 0, 1))
    refusals = Refusals()
    refusals.learn(a_plan(WINDOW), Outcome.EXPIRED, REFUSED, 0)
    assert not refusals


def test_memory_is_bounded() -> None:
    refusals, plan = Refusals(), a_plan(WINDOW)
    for number in range(MAX_REFUSALS):
        refusals._until[b"%d" % number] = (1, 10.0 if number % 3 else 1e9)
    refusals._version = plan.version
    refusals.learn(plan, Outcome.REFUSED, REFUSED, 100)
    assert len(refusals._until) < MAX_REFUSALS / 2
    assert refusals.recall(plan, 100) is not None
