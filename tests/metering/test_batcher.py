"""Admissions in batches: exact under concurrency, once, bounded in time, and nothing taken by those who gave up."""

import asyncio

import pytest

from proxy.core.clock import SystemClock
from proxy.metering.batcher import Batcher
from proxy.metering.plan import Plan, Planner
from proxy.policy.model import ScopeKind
from proxy.store.client import Store
from tests.metering.samples import T0, limit, policy, rate, route, user

CLOCK = SystemClock()


def a_plan(*limits, address: str = "192.0.2.1", **kwargs) -> Plan:
    made = route(*limits)
    return Planner(policy(made, **kwargs)).plan(made, user(), address, T0)


@pytest.fixture
async def batcher(store: Store):
    started = Batcher(store, CLOCK)
    await started.start()
    yield started
    await started.stop()


async def test_exactly_the_capacity_is_admitted(batcher: Batcher, store: Store) -> None:
    """Two workers, 300 requests at once, a limit of 100: 100 pass, and the other limit counted just these."""
    other = Batcher(store, CLOCK)
    await other.start()
    plan = a_plan(limit("wide", rate(1_000), scopes=(ScopeKind.TENANT,)), limit("narrow", rate(100)))
    decisions = await asyncio.gather(*((batcher, other)[n % 2].admit(plan) for n in range(300)))
    assert sum(decision.admitted for decision in decisions) == 100
    assert min(decision.remaining(0) for decision in decisions if decision.admitted) == 900_000
    assert batcher.batches < 10
    await other.stop()
