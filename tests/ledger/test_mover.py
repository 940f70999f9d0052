"""Nothing lost, nothing double: whatever is killed, away, refused or claimed on the way into the ledger."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text

from proxy.core.clock import SystemClock
from proxy.core.usage import Charge, UsageRecord
from proxy.ledger.database import Database, connect
from proxy.ledger.migrate import migrate
from proxy.ledger.mover import Mover
from proxy.ledger.outbox import STREAM, Outbox
from proxy.ledger.schema import dead, usage
from proxy.ledger.sums import kept
from tests.ledger.movers import QUICK, Notes, start
from tests.ledger.postgres import postgres
from tests.ledger.samples import NOW_MS, a_record, an_entry
from tests.ledger.test_writer import rows, sums
from tests.store.servers import BINARIES, Server, server

CHARGES = (Charge("global", "global", "2026-11-18"),)


@pytest.fixture
async def client(redis_server: Server) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url, protocol=2) as connected:
        await connected.flushall()
        yield connected


async def until(condition, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


async def settle(client: Redis, *records: UsageRecord, state: str = "settled") -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for record in records:
            pipeline.xadd(STREAM, an_entry(record, state))
        await pipeline.execute()


def records(count: int, first: int = 0) -> list[UsageRecord]:
    return [
        a_record(f"r{n:05}", cost_nanousd=n, charges=CHARGES, created_ms=NOW_MS + n)
        for n in range(first, first + count)
    ]


@asynccontextmanager
async def moving(client: Redis, database: Database, notes: Notes | None = None, name: str = "one"):
    mover = Mover(Outbox(client, name), database, SystemClock(), notes or Notes(), QUICK)
    task = asyncio.create_task(mover.run())
    try:
        yield mover
    finally:
        mover.stop()
        await asyncio.wait_for(task, 20)


async def emptied(client: Redis) -> bool:
    return await client.xlen(STREAM) == 0


async def test_what_was_settled_is_in_the_ledger(client: Redis, ledger: Database) -> None:
    notes = Notes()
    await settle(client, *records(50))
    async with moving(client, ledger, notes):
        await until(lambda: emptied(client))
        await settle(client, *records(5, first=50))
        await until(lambda: emptied(client))
    assert await rows(ledger) == records(55)
    assert sum(written.rows for written in notes.batches) == 55
    assert any(depth == 50 for depth, _ in notes.waits)
    assert await client.xinfo_consumers(STREAM, "ledger") == []


async def test_a_correction_that_comes_first_stands(client: Redis, ledger: Database) -> None:
    await settle(client, a_record(rev=2, cost_nanousd=7, charges=CHARGES), state="corrected")
    await settle(client, a_record(rev=1, cost_nanousd=900, charges=CHARGES), state="orphaned")
    async with moving(client, ledger):
        await until(lambda: emptied(client))
    (row,) = await rows(ledger)
    assert (row.cost_nanousd, row.orphaned) == (7, False)
    assert list((await kept(ledger)).values()) == [7]


async def test_poison_goes_to_the_dead_letters_and_takes_nobody_along(client: Redis, ledger: Database) -> None:
    """Three of sixty: two that no table takes, one that is no record. The rest is as if they had never come."""
    notes = Notes()
    good = records(57)
    await settle(client, *good[:30], replace(good[0], id="big", cost_nanousd=2**63))
    await client.xadd(STREAM, {"id": "x", "rev": "1", "record": b"\xff\0not a record"})
    await settle(client, replace(good[0], id="bigger", latency_ms=2**63), *good[30:])
    async with moving(client, ledger, notes):
        await until(lambda: emptied(client))
    assert await rows(ledger) == good
    assert list((await sums(ledger)).values()) == [sum(range(57))]
    assert len(notes.letters) == 3
    async with ledger.reading() as connection:
        buried = {row.id: (row.reason, row.record) for row in await connection.execute(select(dead))}
    assert dict(notes.letters) == {key: value[0] for key, value in buried.items()}
    assert {value[1] for value in buried.values()} >= {b"\xff\0not a record"}


async def test_tables_that_are_missing_make_no_dead_letters(client: Redis, url: str) -> None:
    """A gateway of the next version that starts before its migration waits for it."""
    database, notes = connect(url), Notes()
    await settle(client, *records(3))
    async with moving(client, database, notes):

        async def waits() -> bool:
            return len(notes.aways) >= 3

        await until(waits)
        assert {reason.split(":")[0] for _, reason in notes.aways} == {"not-migrated"}
        await migrate(url)
        await until(lambda: emptied(client))
    assert await rows(database) == records(3)
    assert notes.letters == []
    await database.close()


async def test_several_movers_share_and_count_once(client: Redis, ledger: Database) -> None:
    """With a Redis that forgets everything but the stream in the middle of it."""
    other = connect(ledger.url)
    await settle(client, *records(200))
    async with moving(client, ledger, name="one"), moving(client, other, name="two"), moving(client, ledger, name="3"):
        await settle(client, *records(100, first=200))
        await client.xgroup_destroy(STREAM, "ledger")
        await until(lambda: emptied(client))
    assert await rows(ledger) == records(300)
    assert list((await sums(ledger)).values()) == [sum(range(300))]
    await other.close()


async def test_what_the_group_lost_is_found(client: Redis, ledger: Database) -> None:
    """A consumer was removed by hand, with all that it had taken: nobody can claim that, yet it is old and there."""
    await client.xadd(STREAM, an_entry(records(1)[0]), id="1000-1")
    await Outbox(client, "gone").new(9, 1)
    await client.xgroup_delconsumer(STREAM, "ledger", "gone")
    async with moving(client, ledger):
        await until(lambda: emptied(client))
    assert await rows(ledger) == records(1)


async def test_a_mover_that_stops_leaves_what_it_cannot_finish(client: Redis, tmp_path) -> None:
    """The database never answered: the entries are where they were, and taken up by the next."""
    nowhere, notes = connect(f"postgresql://postgres@/postgres?host={tmp_path}"), Notes()
    await settle(client, *records(3))
    async with moving(client, nowhere, notes):

        async def waits() -> bool:
            return bool(notes.aways)

        await until(waits)
    assert await client.xlen(STREAM) == 3
    assert len(await client.xinfo_consumers(STREAM, "ledger")) == 1
    await nowhere.close()
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    found = connect(url)
    async with moving(client, found, name="next"):
        await until(lambda: emptied(client))
    assert await rows(found) == records(3)
    await found.close()


async def test_redis_away_and_back(ledger: Database) -> None:
    """With its file: the stream and who had taken what of it."""
    with server(next(iter(BINARIES.values())), "--appendonly", "yes", "--appendfsync", "always") as fragile:
        async with Redis.from_url(fragile.url, protocol=2) as client:
            notes = Notes()
            await settle(client, *records(60))
            async with moving(client, ledger, notes):
                fragile.kill()

                async def noticed() -> bool:
                    return any(part == "outbox" for part, _ in notes.aways)

                await until(noticed)
                fragile.start()
                await until(lambda: emptied(client))
    assert await rows(ledger) == records(60)
    assert list((await sums(ledger)).values()) == [sum(range(60))]


async def test_drain_moves_all_at_once(client: Redis, ledger: Database) -> None:
    await settle(client, *records(45))
    mover = Mover(Outbox(client, "command"), ledger, SystemClock(), Notes(), QUICK)
    assert await mover.drain() == 45
    assert await rows(ledger) == records(45)


async def test_killed_at_any_point_nothing_is_lost_or_double(
    client: Redis, ledger: Database, url: str, redis_server: Server
) -> None:
    """SIGKILL of one of two movers, five times, wherever it stands; each is followed by a new one."""
    chance = random.Random(1)
    total = 0
    movers = [start(redis_server.url, url) for _ in range(2)]
    try:
        for _ in range(5):
            await settle(client, *records(400, first=total))
            total += 400
            before = await client.xlen(STREAM)

            async def began(before: int = before) -> bool:
                return await client.xlen(STREAM) < before

            await until(began)
            await asyncio.sleep(chance.uniform(0, 0.03))
            victim = movers.pop(chance.randrange(2))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            movers.append(start(redis_server.url, url))
        await until(lambda: emptied(client), 30)
    finally:
        for mover in movers:
            mover.kill()
            mover.wait()
    assert [row.id for row in await rows(ledger)] == [f"r{n:05}" for n in range(total)]
    assert list((await sums(ledger)).values()) == [sum(range(total))]


async def test_postgresql_killed_and_restarted_nothing_is_lost_or_double(client: Redis) -> None:
    """SIGKILL of the server under a mover that writes, five times; each time it recovers from its log."""
    chance = random.Random(3)
    with postgres(shared_buffers="16MB") as fragile:
        url = fragile.url()
        await migrate(url)
        database, notes, total = connect(url), Notes(), 0
        async with moving(client, database, notes):
            for _ in range(5):
                await settle(client, *records(300, first=total))
                total += 300
                seen = len(notes.batches)

                async def began(seen: int = seen) -> bool:
                    return len(notes.batches) > seen

                await until(began)
                await asyncio.sleep(chance.uniform(0, 0.03))
                await asyncio.to_thread(fragile.kill)
                await asyncio.to_thread(fragile.start)
            await until(lambda: emptied(client))
        assert [row.id for row in await rows(database)] == [f"r{n:05}" for n in range(total)]
        assert list((await sums(database)).values()) == [sum(range(total))]
        assert notes.letters == []
        assert any(part == "ledger" for part, _ in notes.aways)
        await database.close()


async def test_a_reader_sees_rows_and_sums_of_one_instant(client: Redis, ledger: Database) -> None:
    """While movers move, sums that are read are what the rows that are read add up to."""
    await settle(client, *records(400))
    async with moving(client, ledger), moving(client, ledger, name="two"):
        while not await emptied(client):
            async with ledger.reading() as connection:
                amounts = (await connection.execute(select(usage.c.cost_nanousd))).scalars().all()
                table = ledger.table("ai_budget_sums")
                total = (await connection.execute(text(f"SELECT sum(cost_nanousd) FROM {table}"))).scalar()
            assert sum(amounts) == (total or 0)
