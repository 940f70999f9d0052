"""A worker alone: its share of each limit, no more, in bounded memory."""

import pytest

from proxy.metering.local import MAX_METERS, PRUNE_MS, LocalMeters, share
from proxy.metering.plan import Plan, make_plan
from proxy.metering.takes import Outcome
from proxy.policy.model import MILLI, MeterKind
from tests.metering.samples import T0, limit, policy, rate, route, user


def a_plan(*limits, factor: int = 1, address: str = "192.0.2.1") -> Plan:
    made = route(*limits)
    return make_plan(policy(made), made, user(), address, factor, T0)


@pytest.mark.parametrize(("workers", "admitted"), [(1, 10), (3, 3), (10, 1), (99, 1)])
def test_each_of_so_many_workers_admits_its_share(workers: int, admitted: int) -> None:
    """At least one request, so that no caller is shut out by an outage."""
    local, plan = LocalMeters(), a_plan(limit("l", rate(10)))
    assert sum(local.admit(plan, None, T0, workers).admitted for _ in range(20)) == admitted


def test_what_drips_back_is_shared_too() -> None:
    local, plan = LocalMeters(), a_plan(limit("l", rate(60, burst=4), kind=MeterKind.SMOOTH))
    assert sum(local.admit(plan, None, T0, 2).admitted for _ in range(9)) == 2
    assert not local.admit(plan, None, T0 + 1_999, 2).admitted
    assert local.admit(plan, None, T0 + 2_000, 2).admitted


def test_more_than_the_share_is_not_impossible() -> None:
    """It may pass once the store is back; more than the limit never will."""
    local, limits = LocalMeters(), limit("l", rate(10))
    within = local.admit(a_plan(limits, factor=8), None, T0, 4)
    assert within.outcome is Outcome.REFUSED
    assert [each.name for each in within.refused_by] == ["l"]
    assert local.admit(a_plan(limits, factor=11), None, T0, 4).outcome is Outcome.IMPOSSIBLE


def test_it_counts_on_in_the_next_outage_within_the_window() -> None:
    local, plan = LocalMeters(), a_plan(limit("l", rate(2)))
    assert [local.admit(plan, None, T0 + later, 1).admitted for later in (0, 1, 59_999, 60_000)] == [
        True,
        True,
        False,
        True,
    ]


def test_a_share_is_never_more_than_the_capacity() -> None:
    (take,) = a_plan(limit("l", rate(1), min_amount=1)).takes
    assert share(take, 5).capacity == MILLI


def test_memory_is_bounded() -> None:
    """Meters that hold nothing are forgotten; beyond the bound, the oldest too."""
    local, limits = LocalMeters(), limit("l", rate(5))
    local.admit(a_plan(limits), None, T0, 1)
    local.admit(a_plan(limit("other", rate(5))), None, T0 + 60_000 + PRUNE_MS, 1)
    assert len(local._reference.meters) == 1
    (state,) = local._reference.meters.values()
    local._reference.meters = {b"%d" % number: state for number in range(MAX_METERS + 1)}
    local.admit(a_plan(limits), None, T0 + 60_000 + PRUNE_MS, 1)
    assert len(local._reference.meters) <= MAX_METERS // 2 + 1
    assert b"%d" % MAX_METERS in local._reference.meters
