"""A budget, and gateways that spend from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.core.clock import SystemClock
from proxy.metering.calendar import period_edges
from proxy.metering.epoch import Standing
from proxy.metering.holds import HoldPlan, budget_meter
from proxy.metering.journal import Journal
from proxy.metering.keys import OUTBOX
from proxy.metering.meters import Meters
from proxy.metering.money import Money
from proxy.metering.plan import Plan, Planner
from proxy.metering.rebuild import Sums, rebuild
from proxy.metering.settlement import settled_counter
from proxy.policy.model import Period
from proxy.store.client import Store
from tests.metering.samples import T0, limit, policy, rate, route, user

CLOCK = SystemClock()
EDGES = period_edges(CLOCK.now_ms(), Period.MONTH, "UTC")
RECORD, ORPHAN = b"a record", b"an orphan's record"


def purse(capacity: int, *names: str) -> HoldPlan:
    meters = [budget_meter(name, b"{m0}b:" + name.encode(), capacity, EDGES) for name in names or ("all",)]
    return HoldPlan(tuple(meters))


def no_limits() -> Plan:
    made = route()
    return Planner(policy(made)).plan(made, user(), "192.0.2.1", T0)


def one_limit(count: int) -> Plan:
    made = route(limit("requests", rate(count)))
    return Planner(policy(made)).plan(made, user(), "192.0.2.1", T0)


async def nothing_spent() -> Sums:
    return {}


async def opened(store: Store) -> None:
    """A fresh installation: nothing in the ledger yet."""
    assert await rebuild(store, Standing(), nothing_spent, wait_s=0)


@asynccontextmanager
async def gateway(store: Store, journal: Path | None = None, **options: object) -> AsyncIterator[Money]:
    """One worker that spends. Left by an exception of its own kind it is dead: nothing is given back."""
    meters = Meters(store, CLOCK)
    file = Journal(journal) if journal is not None else None
    money = Money(store, meters, CLOCK, journal=file, **{"reap_s": 0.05, **options})  # type: ignore[arg-type]
    await meters.start()
    await money.start()
    try:
        yield money
    except Killed:
        tasks = [task for task in (money._reaper, money.settler._lane) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    else:
        await money.stop()
    finally:
        await meters.stop()
        if file is not None:
            file.close()


class Killed(Exception):
    """The gateway is gone, from one instruction to the next."""


async def counter(store: Store, plan: HoldPlan, place: int = 0) -> tuple[int, int]:
    return settled_counter(await store.command(b"GET", plan.keys[place]))


async def rows(store: Store) -> list[tuple[bytes, int, bytes, bytes]]:
    """What the ledger would get: id, revision, state, record."""
    found = []
    for _, fields in await store.command(b"XRANGE", OUTBOX, b"-", b"+"):
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        found.append((pairs[b"id"], int(pairs[b"rev"]), pairs[b"state"], pairs[b"record"]))
    return found
