"""The lane of leases: releases outlast an outage, ids are never used twice, and calls stay small."""

import asyncio
import signal

from proxy.core.clock import SystemClock
from proxy.metering.leases import LEASE_MS, MAX_OPERATIONS, Leases
from proxy.metering.plan import Plan, make_plan
from proxy.policy.model import MILLI, MeterKind
from proxy.store.client import Store, connect
from tests.metering.samples import T0, limit, policy, rate, route, user
from tests.metering.test_batcher import each_binary, until
from tests.store.servers import server

FLIGHT = limit("flight", rate(5_000, 0), kind=MeterKind.CONCURRENCY)


def a_plan() -> Plan:
    made = route(FLIGHT, limit("other", rate(MILLI)))
    return make_plan(policy(made), made, user(), "192.0.2.1", 1, T0)


class Late(SystemClock):
    """A monotonic clock that a test moves ahead."""

    __slots__ = ("ahead_ms",)

    def __init__(self) -> None:
        self.ahead_ms = 0.0

    def monotonic_ms(self) -> float:
        return super().monotonic_ms() + self.ahead_ms


def test_no_two_leases_have_one_id() -> None:
    leases = [Leases(None, SystemClock()) for _ in range(3)]  # type: ignore[arg-type]
    ids = [each.new() for each in leases for _ in range(100)]
    assert len(set(ids)) == 300
    assert {len(each) for each in ids} == {16}


async def test_many_leases_are_renewed_and_released_in_small_calls(store: Store) -> None:
    leases, plan = Leases(store, SystemClock()), a_plan()
    await leases.start()
    ids = [leases.new() for _ in range(2 * MAX_OPERATIONS + 1)]
    for lease in ids:
        leases.hold(lease, plan)
    await leases._renew()
    assert await store.command(b"ZCARD", plan.keys[0]) == len(ids)
    for lease in ids:
        leases.release(lease)
    await until(lambda: not leases._releases)
    assert await store.command(b"ZCARD", plan.keys[0]) == 0
    assert leases._sequence == 6
    await leases.stop()


async def test_they_are_renewed_by_themselves_before_they_end(store: Store) -> None:
    clock = Late()
    leases, plan = Leases(store, clock), a_plan()
    await leases.start()
    await asyncio.sleep(0)  # the lane begins
    leases.hold(leases.new(), plan)
    other = leases.new()
    clock.ahead_ms = LEASE_MS / 3
    leases.release(other, plan)  # wakes the lane
    await until(lambda: leases._sequence == 2)
    await until(lambda: not leases._releases)
    assert await store.command(b"ZCARD", plan.keys[0]) == 1
    await leases.stop()


@each_binary
async def test_a_release_waits_for_the_store_to_come_back(binary: str) -> None:
    with server(binary) as stopped:
        store = await connect(stopped.url, 50)
        leases, plan = Leases(store, SystemClock()), a_plan()
        await leases.start()
        lease = leases.new()
        leases.hold(lease, plan)
        await leases._renew()
        stopped.signal(signal.SIGSTOP)
        leases.release(lease)
        tried = leases._sequence + 1
        await until(lambda: leases._sequence > tried)  # it has been tried in vain, and is tried again
        assert leases._releases
        stopped.signal(signal.SIGCONT)
        await until(lambda: not leases._releases, 5)
        assert await store.command(b"ZCARD", plan.keys[0]) == 0
        await leases.stop()
        await store.close()


async def test_a_release_that_is_older_than_its_lease_is_let_go(store: Store) -> None:
    """Its lease has ended by itself: an outage of an hour leaves no hour of releases behind."""
    clock = Late()
    leases = Leases(store, clock)
    leases.hold(b"l" * 16, a_plan())
    leases.release(b"l" * 16)
    clock.ahead_ms = LEASE_MS + 1
    await leases._give_back()
    assert not leases._releases
    assert leases._sequence == 0
