"""What state a gateway is in."""

import math
from dataclasses import replace

import pytest

from proxy.admin.dashboard.history import Window
from proxy.admin.dashboard.state import MOST_PROBLEMS, Parent, Part, Phase, in_flight, phase, state
from proxy.policy.model import Maintenance, Policy
from proxy.telemetry.metrics import (
    ALERTS_WAIT,
    BREAKER,
    BUDGETS_CLOSED,
    CERTIFICATE_EXPIRY,
    IN_FLIGHT,
    LEDGER_LAG,
    OUTBOX_DEPTH,
    SERVICE_INCIDENTS,
    STORE_MEMORY,
    STORE_MEMORY_MAX,
)
from proxy.telemetry.sheet import SeriesKey
from tests.admin.dashboard.stands import plain_policy, spending_policy

PARENT = Parent("1.0", ready=True, draining=False, workers=4, ready_workers=3, reload_problems=(), changes=True)
WINDOW = Window(10_000, {("redis", "0.001"): 10.0, ("without_redis", "open"): 4.0})


@pytest.fixture(scope="module")
def plain() -> Policy:
    return plain_policy()


@pytest.fixture(scope="module")
def spending() -> Policy:
    return spending_policy()


def test_the_phase_is_the_one_that_matters_most(plain: Policy) -> None:
    maintained = replace(plain, maintenance=Maintenance(1, ()))
    assert phase(PARENT, plain) is Phase.SERVING
    assert phase(PARENT, maintained) is Phase.MAINTENANCE
    assert phase(replace(PARENT, ready=False), maintained) is Phase.STARTING
    assert phase(replace(PARENT, ready=False, draining=True), maintained) is Phase.DRAINING


def test_redis_is_away_as_soon_as_one_worker_cannot_reach_it(plain: Policy) -> None:
    totals = {
        (BREAKER.name, ()): 1.0,
        (STORE_MEMORY.name, ("meters",)): 50.0,
        (STORE_MEMORY_MAX.name, ("meters",)): 100.0,
        (STORE_MEMORY.name, ("cache",)): math.nan,
    }
    assert state(PARENT, plain, totals, WINDOW)["redis"] == {
        "is": Part.AWAY, "breakers_open": 1, "p95_ms": 0.97, "decided_without": 4,
        "memory": [{"store": "meters", "used": 50, "most": 100}],
    }  # fmt: skip
    assert state(PARENT, plain, {}, WINDOW)["redis"]["is"] is Part.FINE


@pytest.mark.parametrize(
    ("totals", "told"),
    [
        ({}, Part.FINE),
        ({(LEDGER_LAG.name, ()): 61.0, (OUTBOX_DEPTH.name, ()): 9.0}, Part.BEHIND),
        ({(BUDGETS_CLOSED.name, ()): 2.0}, Part.AWAY),
    ],
)
def test_the_ledger_is_behind_or_away(spending: Policy, totals: dict[SeriesKey, float], told: Part) -> None:
    assert state(PARENT, spending, totals, WINDOW)["ledger"]["is"] is told


def test_without_a_ledger_there_is_nothing_to_say_of_it(plain: Policy) -> None:
    assert state(PARENT, plain, {(ALERTS_WAIT.name, ("ops",)): 5.0}, WINDOW)["ledger"] == {"is": Part.NONE}


def test_what_ops_should_know_is_bounded_and_there(plain: Policy) -> None:
    totals = {
        (SERVICE_INCIDENTS.name, ("latency",)): 1.0,
        (SERVICE_INCIDENTS.name, ("redis",)): 0.0,
        (CERTIFICATE_EXPIRY.name, ("upstream", "a", "x:443")): 900.0,
        (CERTIFICATE_EXPIRY.name, ("upstream", "b", "y:443")): math.nan,
        (IN_FLIGHT.name, ()): 7.0,
    }
    rejected = replace(PARENT, reload_problems=[f"line {n}" for n in range(99)])
    told = state(rejected, plain, totals, WINDOW)
    assert told["incidents"] == ["latency"]
    assert told["certificate_ends_s"] == 900.0
    assert len(told["reload_problems"]) == MOST_PROBLEMS
    assert told["workers"] == {"ready": 3, "all": 4, "restarts": 0}
    assert in_flight(totals) == 7
