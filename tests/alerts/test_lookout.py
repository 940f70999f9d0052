"""From a settlement to an alert: through the outbox, the ledger and its markers; once, whatever dies or comes twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from sqlalchemy import select

from proxy.alerts.alert import ISOLATION, REFUSED, Cause, Firing
from proxy.alerts.channels.webhook import Webhook
from proxy.alerts.dispatcher import Dispatcher
from proxy.alerts.lookout import Gait, Lookout
from proxy.alerts.watch import Watch
from proxy.core.clock import SystemClock
from proxy.core.usage import Charge, UsageRecord
from proxy.ledger.book import Book
from proxy.ledger.database import Database, connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import Fault, LedgerAway
from proxy.ledger.grants import Grant, Grants
from proxy.ledger.mover import Mover
from proxy.ledger.outbox import STREAM, Outbox
from proxy.ledger.schema import deliveries
from proxy.ledger.writer import write
from tests.alerts.latency import Telling, seconds_to_be_heard
from tests.alerts.receivers import Notes, receiver, running, until
from tests.alerts.samples import DOLLAR, SPENDER, TENANT, UNUSUAL, alerts
from tests.alerts.test_dispatcher import QUICK as SENDING
from tests.ledger import movers
from tests.ledger.samples import a_record, an_arrival, an_entry
from tests.store.servers import Server

CLOCK = SystemClock()
HOUR_MS = 3_600_000
TODAY = Charge("tenant", "tenant:acme", "2026-11-18", "{m0}b:tenant", CLOCK.now_ms() + 12 * HOUR_MS)
WATCH = Watch([TENANT], alerts())
QUICK = Gait(together_s=0.01, all_every_s=0.1, hours_every_s=0.1, first_pause_s=0.02, last_pause_s=0.1)


def call(name: str, nanousd: int, **changes: Any) -> UsageRecord:
    now_ms = CLOCK.now_ms()
    known = {"created_ms": now_ms, "settled_ms": now_ms, "charges": (TODAY,)}
    return a_record(name, cost_nanousd=nanousd, **(known | changes))


@dataclass
class Gateway:
    """One gateway's ledger, lookout and mover, brought together as the background process does it."""

    database: Database
    watch: Watch = WATCH
    gait: Gait = QUICK
    fired: list[Firing] = field(default_factory=list)
    aways: list[str] = field(default_factory=list)
    book: Any = None

    def __post_init__(self) -> None:
        self.lookout = Lookout(
            self.watch, self.book or Book(self.database), CLOCK,
            passing=LedgerAway, fired=self.fired.extend, away=self.aways.append, gait=self.gait,
        )  # fmt: skip

    async def settle(self, *records: UsageRecord) -> None:
        """A batch in the ledger, and whoever looks is told."""
        written = await write(self.database, [an_arrival(record) for record in records], CLOCK.now_ms())
        self.lookout.spent(written.spent)

    async def look(self) -> list[int]:
        """Thresholds that fire now."""
        before = len(self.fired)
        await self.lookout.look()
        return sorted(firing.threshold for firing in self.fired[before:])


async def sent(ledger: Database) -> list[int]:
    """Percent of every delivery that there is."""
    async with ledger.reading() as connection:
        payloads = (await connection.execute(select(deliveries.c.payload))).scalars().all()
    return sorted(int(json.loads(payload)["percent"]) for payload in payloads)


@asynccontextmanager
async def outbox(redis_server: Server) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url, protocol=2) as connected:
        await connected.flushall()
        yield connected


async def test_fifty_settlements_that_race_across_a_threshold_fire_exactly_one(
    ledger: Database, url: str, redis_server: Server, session: ClientSession
) -> None:
    """Through Redis, two gateways' movers and lookouts, and out to a receiver: one alert, heard once."""
    databases = [connect(url) for _ in range(2)]
    gateways = [Gateway(database) for database in databases]
    async with outbox(redis_server) as client, receiver() as ops:
        tellings = [Telling(gateway.lookout) for gateway in gateways]
        channel, pace = Webhook("ops", ops.url, "hush", session, CLOCK), replace(movers.QUICK, batch=3)
        parts: list[Any] = [gateway.lookout for gateway in gateways]
        for gateway, telling in zip(gateways, tellings, strict=True):
            name, queue = f"gateway-{len(parts)}", Deliveries(gateway.database)
            parts.append(Mover(Outbox(client, name), gateway.database, CLOCK, telling, pace))
            parts.append(Dispatcher(queue, [channel], CLOCK, Notes(), passing=LedgerAway, pace=SENDING))
        async with running(*parts):
            # 50 calls of $3.40 are $170: the threshold of $160 lies between two of them, whichever come first.
            entries: list[dict[Any, Any]] = [an_entry(call(f"r{n}", 34 * DOLLAR // 10)) for n in range(50)]
            await asyncio.gather(*(client.xadd(STREAM, entry) for entry in entries))
            await until(lambda: sum(batch.rows for telling in tellings for batch in telling.batches) == 50, 20)
            await until(lambda: ops.heard)
    for gateway in gateways:
        gateway.lookout.look_at_all()
        await gateway.lookout.look()
    assert [firing.threshold for gateway in gateways for firing in gateway.fired] == [80]
    assert len(ops.heard) == 1
    assert await sent(ledger) in ([n] for n in range(80, 86))
    for database in databases:
        await database.close()


async def test_an_alert_is_heard_within_five_seconds(url: str, redis_server: Server) -> None:
    """From the outbox to a receiver that is up, at the pace of production. ``tests.alerts.latency`` says how long."""
    async with outbox(redis_server):
        pass
    assert (await seconds_to_be_heard(redis_server.url, url, 10, 50.0))[-1] < 5


async def test_two_levels_that_one_call_crosses_both_fire(ledger: Database) -> None:
    gateway = Gateway(ledger)
    await gateway.settle(call("a", 100 * DOLLAR))
    assert await gateway.look() == []
    await gateway.settle(call("b", 95 * DOLLAR))
    assert await gateway.look() == [80, 95]
    await gateway.settle(call("c", 5 * DOLLAR))
    assert await gateway.look() == [100]


async def test_a_redis_that_was_lost_fires_none_again(ledger: Database) -> None:
    """Every record comes once more, to gateways that remember nothing."""
    records = [call(f"r{n}", 39 * DOLLAR) for n in range(5)]
    first = Gateway(ledger)
    await first.settle(*records)
    assert await first.look() == [80, 95]
    again = Gateway(ledger)
    await again.settle(*records)
    assert await again.look() == []
    again.lookout.look_at_all()
    assert await again.look() == []


async def test_a_correction_downwards_takes_nothing_back_and_fires_nothing_again(ledger: Database) -> None:
    gateway = Gateway(ledger)
    await gateway.settle(call("a", 161 * DOLLAR))
    assert await gateway.look() == [80]
    await gateway.settle(call("a", 10 * DOLLAR, rev=2))
    assert await gateway.look() == []
    await gateway.settle(call("b", 155 * DOLLAR))
    assert await gateway.look() == []
    assert len(await sent(ledger)) == 1


async def test_what_nobody_looked_at_before_a_crash_is_seen_after_it(ledger: Database) -> None:
    """Committed, and the process died. The next looks at all that lives when it begins, and knows whom to tell."""
    await write(ledger, [an_arrival(call("a", 170 * DOLLAR, notify=(("email", "u@acme.example"),)))], CLOCK.now_ms())
    gateway = Gateway(ledger)
    assert await gateway.look() == [80]
    assert gateway.fired[0].alert.tenant == "acme"


async def test_an_entry_that_comes_again_is_looked_at_again(ledger: Database) -> None:
    """Another gateway takes over what the dead one had written and not yet deleted."""
    record = call("a", 170 * DOLLAR)
    other = Gateway(ledger, gait=Gait())
    assert await other.look() == []
    await write(ledger, [an_arrival(record)], CLOCK.now_ms())
    assert await other.look() == []
    await other.settle(record)
    assert await other.look() == [80]


async def test_a_level_that_a_reload_lowers_fires_without_another_call(ledger: Database) -> None:
    gateway = Gateway(ledger)
    await gateway.settle(call("a", 100 * DOLLAR))
    assert await gateway.look() == []
    gateway.lookout.reload(Watch([replace(TENANT, amounts={"enterprise": 110 * DOLLAR})], alerts()))
    assert await gateway.look() == [80]


async def test_a_grant_makes_room_at_once(ledger: Database) -> None:
    now_ms = CLOCK.now_ms()
    grant = Grant("tenant", "tenant:acme", 100 * DOLLAR, now_ms - 1, now_ms + HOUR_MS, "launch", "ops")
    await Grants(ledger).append(grant)
    gateway = Gateway(ledger)
    await gateway.settle(call("a", 170 * DOLLAR))
    assert await gateway.look() == []
    await gateway.settle(call("b", 70 * DOLLAR))
    assert await gateway.look() == [80]
    assert gateway.fired[0].capacity == 300 * DOLLAR


async def test_the_first_refusal_is_told_once_and_so_is_that_all_is_spent(ledger: Database) -> None:
    """$194 of $200 is spent and nothing fits any more; later the rest is spent, and calls are refused on and on."""
    gateway = Gateway(ledger)
    await gateway.settle(call("a", 194 * DOLLAR))
    assert await gateway.look() == [80, 95]
    for _ in range(3):
        gateway.lookout.refused(TODAY, SPENDER)
    assert await gateway.look() == [REFUSED]
    assert (gateway.fired[-1].alert.cause, gateway.fired[-1].alert.current) == (Cause.REFUSED, 194 * DOLLAR)
    gateway.lookout.refused(TODAY, SPENDER)
    await gateway.settle(call("b", 6 * DOLLAR))
    assert await gateway.look() == [100]
    gateway.lookout.refused(TODAY, SPENDER)
    assert await gateway.look() == []


async def test_a_refusal_before_anything_was_spent(ledger: Database) -> None:
    """All of it is held by calls under way."""
    gateway = Gateway(ledger)
    gateway.lookout.refused(TODAY, SPENDER)
    assert await gateway.look() == [REFUSED]
    assert gateway.fired[0].alert.current == 0


async def test_an_unusual_hour_is_told_once(ledger: Database) -> None:
    gateway = Gateway(ledger, Watch([], alerts(unusual=UNUSUAL)))
    now_ms = CLOCK.now_ms()
    await gateway.settle(call("old", DOLLAR, created_ms=now_ms - 5 * HOUR_MS), call("new", 11 * DOLLAR))
    gateway.lookout.look_at_all()
    await gateway.lookout.look()
    other = Gateway(ledger, gateway.watch)
    await other.lookout.look()
    (firing,) = gateway.fired
    assert (firing.alert.cause, firing.alert.tenant) == (Cause.UNUSUAL, "acme")
    assert other.fired == []


class Flaky(Book):
    """A book whose database is away for so many questions."""

    def __init__(self, database: Database, failures: int) -> None:
        super().__init__(database)
        self.failures = failures
        self.asked = 0

    async def granted(self, now_ms: int) -> dict[tuple[str, str], int]:
        self.asked += 1
        return await super().granted(now_ms)

    async def fire(self, firings: Sequence[Any], now_ms: int) -> set[str]:
        if self.failures:
            self.failures -= 1
            raise LedgerAway(Fault.UNREACHABLE)
        return await super().fire(firings, now_ms)


async def test_a_database_that_is_away_loses_no_alert(ledger: Database) -> None:
    """What was told is told again, refusals as well, beside what is told meanwhile."""
    gateway = Gateway(ledger, book=Flaky(ledger, 2), gait=replace(QUICK, all_every_s=10**6))
    async with running(gateway.lookout):
        await gateway.settle(call("a", 165 * DOLLAR))
        gateway.lookout.refused(TODAY, SPENDER)
        await until(lambda: gateway.aways)
        await gateway.settle(call("b", 30 * DOLLAR))
        await until(lambda: len(gateway.fired) == 3)
    assert gateway.aways == ["LedgerAway"] * 2
    assert sorted(firing.threshold for firing in gateway.fired) == [REFUSED, 80, 95]


async def test_a_look_that_breaks_is_reported_and_the_next_is_made(ledger: Database) -> None:
    reports: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["message"]))

    class Broken(Book):
        async def granted(self, now_ms: int) -> dict[tuple[str, str], int]:
            if not reports:
                raise KeyError("a mistake of ours")
            return await super().granted(now_ms)

    gateway = Gateway(ledger, book=Broken(ledger))
    async with running(gateway.lookout):
        await until(lambda: reports)
        await gateway.settle(call("a", 165 * DOLLAR))
        await until(lambda: gateway.fired)
    assert reports == ["looking for alerts failed"]


async def test_what_is_known_to_have_fired_asks_nobody(ledger: Database) -> None:
    """A tenant at 97 percent calls on and on: the database is asked what was granted, and no more."""
    book = Flaky(ledger, 0)
    gateway = Gateway(ledger, book=book)
    await gateway.settle(call("a", 195 * DOLLAR))
    assert await gateway.look() == [80, 95]
    book.failures = 10**6
    for n in range(5):
        await gateway.settle(call(f"b{n}", DOLLAR // 100))
        assert await gateway.look() == []
    assert book.asked == 6


async def test_nothing_told_asks_nothing(ledger: Database) -> None:
    book = Flaky(ledger, 0)
    gateway = Gateway(ledger, book=book, gait=Gait())
    await gateway.look()
    await gateway.look()
    assert book.asked == 1


@pytest.mark.parametrize("stop_first", [True, False])
async def test_it_stops_at_once(ledger: Database, stop_first: bool) -> None:
    gateway = Gateway(ledger, gait=Gait(together_s=60, first_pause_s=60))
    if stop_first:
        gateway.lookout.stop()
    task = asyncio.create_task(gateway.lookout.run())
    await asyncio.sleep(0)
    gateway.lookout.stop()
    await asyncio.wait_for(task, 5)


async def test_a_violation_fires_once_an_hour_and_outlives_a_ledger_that_was_away(ledger: Database) -> None:
    """Two gateways see the same: one of them tells."""

    class Shaky(Book):
        away = True

        async def fire(self, firings: Sequence[Any], now_ms: int) -> set[str]:
            if self.away:
                raise LedgerAway(Fault.UNREACHABLE, "down")
            return await super().fire(firings, now_ms)

    book = Shaky(ledger)
    one, other = Gateway(ledger, Watch([], alerts()), book=book), Gateway(ledger, Watch([], alerts()))
    one.lookout.violated("reports", "acme")
    with pytest.raises(LedgerAway):
        await one.look()
    book.away = False
    assert await one.look() == [ISOLATION]
    for gateway in (one, other):
        gateway.lookout.violated("reports", "acme")
        assert await gateway.look() == []
    other.lookout.violated("reports", "other")
    assert await other.look() == [ISOLATION]
