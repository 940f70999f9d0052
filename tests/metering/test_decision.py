"""What a decision says of itself."""

import pytest

from proxy.metering.decision import Decision
from proxy.metering.plan import make_plan
from proxy.metering.takes import Outcome, Verdict
from tests.metering.samples import T0, limit, policy, rate, route, user

ROUTE = route(limit("one", rate(5)), limit("two", rate(9)), limit("trial", rate(1), shadow=True))
PLAN = make_plan(policy(ROUTE), ROUTE, user(), "192.0.2.1", 1, T0)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_admitted_is_admitted_and_only_refused_may_come_again(outcome: Outcome) -> None:
    decision = Decision(PLAN, outcome, (Verdict.NOT_NOW, 0, 700, Verdict.FITS, 900, 5, Verdict.FITS, 0, 0))
    assert decision.admitted is (outcome is Outcome.ADMITTED)
    assert decision.retry_after_ms == (700 if outcome is Outcome.REFUSED else None)


def test_the_longest_delay_of_an_enforced_limit_counts() -> None:
    meters = (Verdict.NOT_NOW, 0, 700, Verdict.NOT_NOW, 0, 900, Verdict.NOT_NOW, 0, 60_000)
    decision = Decision(PLAN, Outcome.REFUSED, meters)
    assert decision.retry_after_ms == 900
    assert [each.name for each in decision.refused_by] == ["one", "two"]
    assert [each.name for each in decision.shadow_refused_by] == ["trial"]
    assert [decision.remaining(place) for place in range(3)] == [0, 0, 0]
