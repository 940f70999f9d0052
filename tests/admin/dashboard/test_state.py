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
    STORE_ANSWERED,
    STORE_MEMORY,
    STORE_MEMORY_MAX,
)
from proxy.telemetry.sheet import SeriesKey
from tests.admin.dashboard.stands import NOW_MS, plain_policy, spending_policy

NOW_S = NOW_MS / 1000
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
    assert state(PARENT, plain, totals, WINDOW, NOW_MS)["redis"] == {
        "is": Part.AWAY, "breakers_open": 1, "answered_s": None, "caches_answered_s": None, "p95_ms": 0.97,
        "decided_without": 4, "memory": [{"store": "meters", "used": 50, "most": 100}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("silent_s", "told"), [(None, Part.UNKNOWN), (0, Part.FINE), (15, Part.FINE), (16, Part.AWAY), (NOW_S, Part.AWAY)]
)
def test_redis_is_away_if_it_does_not_answer_the_gateway_though_nobody_else_asks(
    plain: Policy, silent_s: float | None, told: Part
) -> None:
    """And since when is said: 0 for one that has never answered. The cache's own Redis is told beside it."""
    totals: dict[SeriesKey, float] = {(STORE_ANSWERED.name, ("cache",)): 7.0}
    if silent_s is not None:
        totals[STORE_ANSWERED.name, ("meters",)] = NOW_S - silent_s
    redis = state(PARENT, plain, totals, WINDOW, NOW_MS)["redis"]
    assert (redis["is"], redis["caches_answered_s"]) == (told, 7)
    assert redis["answered_s"] == (None if silent_s is None else NOW_S - silent_s)


@pytest.mark.parametrize(
    ("totals", "told"),
    [
        ({}, Part.FINE),
        ({(LEDGER_LAG.name, ()): 61.0, (OUTBOX_DEPTH.name, ()): 9.0}, Part.BEHIND),
        ({(BUDGETS_CLOSED.name, ()): 2.0}, Part.AWAY),
    ],
)
def test_the_ledger_is_behind_or_away(spending: Policy, totals: dict[SeriesKey, float], told: Part) -> None:
    assert state(PARENT, spending, totals, WINDOW, NOW_MS)["ledger"]["is"] is told


def test_without_a_ledger_there_is_nothing_to_say_of_it(plain: Policy) -> None:
    assert state(PARENT, plain, {(ALERTS_WAIT.name, ("ops",)): 5.0}, WINDOW, NOW_MS)["ledger"] == {"is": Part.NONE}


def test_what_ops_should_know_is_bounded_and_there(plain: Policy) -> None:
    totals = {
        (SERVICE_INCIDENTS.name, ("latency",)): 1.0,
        (SERVICE_INCIDENTS.name, ("redis",)): 0.0,
        (CERTIFICATE_EXPIRY.name, ("upstream", "a", "x:443")): 900.0,
        (CERTIFICATE_EXPIRY.name, ("upstream", "b", "y:443")): math.nan,
        (IN_FLIGHT.name, ()): 7.0,
    }
    rejected = replace(PARENT, reload_problems=[f"line {n}" for n in range(99)])
    told = state(rejected, plain, totals, WINDOW, NOW_MS)
    assert told["incidents"] == ["latency"]
    assert told["certificate_ends_s"] == 900.0
    assert len(told["reload_problems"]) == MOST_PROBLEMS
    assert told["workers"] == {"ready": 3, "all": 4, "restarts": 0}
    assert in_flight(totals) == 7
