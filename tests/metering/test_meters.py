"""One door to all metering: leases follow exchanges, and an outage is counted alone."""

import asyncio
import signal

import pytest

from proxy.core.clock import SystemClock
from proxy.metering.meters import Meters
from proxy.metering.plan import Plan, Planner
from proxy.metering.takes import Outcome
from proxy.policy.model import MeterKind
from proxy.store.client import Store, connect
from proxy.store.errors import StoreAway
from tests.metering.samples import T0, limit, policy, rate, route, user
from tests.metering.test_batcher import each_binary, until
from tests.store.servers import Server, server

FLIGHT = limit("flight", rate(2, 0), kind=MeterKind.CONCURRENCY)
PER_MINUTE = limit("minute", rate(10))


def a_plan(*limits) -> Plan:
    made = route(*limits)
    return Planner(policy(made)).plan(made, user(), "192.0.2.1", T0)


@pytest.fixture
async def meters(store: Store):
    started = Meters(store, SystemClock())
    await started.start()
    yield started
    await started.stop()


def in_flight(redis_server: Server, plan: Plan) -> int:
    with redis_server.client as client:
        return client.zcard(plan.keys[0])


async def test_so_many_at_once_and_a_released_one_makes_room(meters: Meters, redis_server: Server) -> None:
    plan = a_plan(FLIGHT)
    decisions = [await meters.admit(plan) for _ in range(3)]
    assert [decision.outcome for decision in decisions] == [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.REFUSED]
    assert decisions[2].retry_after_ms == 1_000
    meters.release(decisions[2])
    assert in_flight(redis_server, plan) == 2
    meters.release(decisions[0])
    meters.release(decisions[0])
    await until(lambda: in_flight(redis_server, plan) == 1)
    assert (await meters.admit(plan)).admitted
    assert not (await meters.admit(plan)).remembered, "a slot may be free a moment later"


async def test_a_client_who_leaves_while_asking_keeps_no_slot(meters: Meters, redis_server: Server) -> None:
    """Whether its batch had taken or not, before or after: in the end nothing is held."""
    plan = a_plan(FLIGHT)
    for patience in range(6):
        asking = asyncio.create_task(meters.admit(plan))
        for _ in range(patience):
            await asyncio.sleep(0)
        asking.cancel()
        (left,) = await asyncio.gather(asking, return_exceptions=True)
        if not isinstance(left, asyncio.CancelledError):  # it was answered before it left
            meters.release(left)
    await until(lambda: not meters.leases._releases)
    await until(lambda: in_flight(redis_server, plan) == 0)
    assert (await meters.admit(plan)).remaining(0) == 1_000


async def test_a_lease_lives_as_long_as_its_exchange(meters: Meters, redis_server: Server) -> None:
    """Renewals move its end; one that the store has lost is taken again, beyond the capacity if need be."""
    plan = a_plan(FLIGHT)
    held = [await meters.admit(plan), await meters.admit(plan)]
    with redis_server.client as client:
        before = client.zrange(plan.keys[0], 0, -1, withscores=True)
        await asyncio.sleep(0.02)
        await meters.leases._renew()
        after = client.zrange(plan.keys[0], 0, -1, withscores=True)
        assert min(score for _, score in after) > max(score for _, score in before)
        client.flushall()
        other = await meters.admit(plan)
        await meters.leases._renew()
        assert client.zcard(plan.keys[0]) == 3
    for decision in (*held, other):
        meters.release(decision)
    await until(lambda: in_flight(redis_server, plan) == 0)


async def test_stopping_gives_back_what_is_held(store: Store, redis_server: Server) -> None:
    meters = Meters(store, SystemClock())
    await meters.start()
    plan = a_plan(FLIGHT)
    await meters.admit(plan)
    await meters.stop()
    assert in_flight(redis_server, plan) == 0


@each_binary
async def test_while_redis_is_away_a_worker_counts_its_share_alone(binary: str) -> None:
    """Two workers: half of the limit each, and its slots in flight come back to the store when it does."""
    with server(binary) as fragile:
        store = await connect(fragile.url, 100)
        other, meters = Meters(store, SystemClock()), Meters(store, SystemClock())
        await other.start()
        await meters.start()
        assert meters.heartbeats.workers == 2
        plan, flight = a_plan(PER_MINUTE), a_plan(FLIGHT)
        assert (await meters.admit(plan)).admitted
        fragile.signal(signal.SIGSTOP)
        with pytest.raises(StoreAway):
            await meters.admit(plan)
        alone = [meters.admit_locally(plan) for _ in range(8)]
        assert [decision.admitted for decision in alone] == [True] * 5 + [False] * 3
        assert all(decision.local for decision in alone)
        assert alone[-1].retry_after_ms is not None
        flying = meters.admit_locally(flight)
        assert flying.admitted
        assert not meters.admit_locally(flight).admitted
        fragile.signal(signal.SIGCONT)
        await until(lambda: meters.batcher.breaker.state == "closed", 5)
        await until(lambda: other.batcher.breaker.state == "closed", 5)
        await meters.leases._renew()
        assert in_flight(fragile, flight) == 1
        meters.release(flying)
        assert meters.admit_locally(flight).admitted
        await until(lambda: in_flight(fragile, flight) == 0)
        assert (await meters.admit(plan)).remaining(0) == 8_000
        await meters.stop()
        await other.stop()
        await store.close()


async def test_an_admission_that_timed_out_gives_its_slot_back(redis_server: Server, store: Store) -> None:
    """Also if the store reads it later: it is past its deadline, or cancelled."""
    brief = await connect(redis_server.url, 50)
    meters = Meters(brief, SystemClock())
    await meters.start()
    plan = a_plan(FLIGHT)
    redis_server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreAway):
            await meters.admit(plan)
    finally:
        redis_server.signal(signal.SIGCONT)
    await until(lambda: meters.batcher.breaker.state == "closed", 5)
    await until(lambda: not meters.leases._releases, 5)
    assert in_flight(redis_server, plan) == 0
    await meters.stop()
    await brief.close()
