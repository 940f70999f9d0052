"""A ledger of millions of rows over months: how long reports take, how much room a row takes, how fast rows are moved.

    python -m tests.bench.ledger --rows 300000                 a PostgreSQL of its own, from the wheel
    python -m tests.bench.ledger --rows 10000000 --months 12   10 GiB of disk, five minutes

Rows are made in the database, a month at a time, and spread as calls are: few tenants, models and features have most
of them. Then each report runs several times; told are the first (what the cache did not have) and the median. Last, a
mover empties an outbox of ``--move`` records into PostgreSQL and into SQLite, with every commit on disk.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time

from redis.asyncio import Redis
from sqlalchemy import text

from proxy.core.clock import SystemClock
from proxy.core.usage import Charge
from proxy.ledger.database import Database, connect
from proxy.ledger.migrate import migrate
from proxy.ledger.months import Month
from proxy.ledger.mover import Mover, Pace
from proxy.ledger.outbox import STREAM, Outbox
from proxy.ledger.partitions import ensure
from proxy.ledger.reports import By, report
from proxy.ledger.sums import kept, recounted
from tests.ledger.movers import Notes
from tests.ledger.postgres import postgres
from tests.ledger.samples import a_record, an_entry
from tests.store.servers import BINARIES, server

LAST = Month(2026, 11)
RUNS = 3
# power(random(), 3) makes the first of n the most frequent. {n}: offset of this month's ids.
FILL = """
INSERT INTO {table} (
    id, rev, kind, state, created_at, settled_at, request_id, provider_request_id, route, provider, model, endpoint,
    company_id, user_id, subscription_tier, issuer, credential, feature, cost_centre, input_tokens, output_tokens,
    cached_read_tokens, cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
    cost_nanousd, held_nanousd, saved_nanousd, price_version, status, latency_ms, estimated, orphaned, overrun, charges
)
SELECT
    md5((n + {n})::text), 1, 'usage', 'settled', at, at + interval '1.2 s', 'req-' || md5((n + {n})::text),
    'chatcmpl-' || md5(n::text), 'ai-openai', 'openai', 'gpt-4o-' || (power(random(), 3) * 12)::int,
    '/v1/chat/completions', company, company || '-user-' || (power(random(), 3) * 50)::int, 'growth_team',
    'https://project.supabase.co/auth/v1', 'next-server', 'feature-' || (power(random(), 3) * 20)::int, NULL,
    (random() * 4000)::int, (random() * 800)::int, 0, 0, 0, 0, 0, 0, (random() * 5000000)::int, 6000000, 0,
    '2026-11-01', 200, 1200, false, false, false, jsonb_build_array(
        jsonb_build_array('global', 'global', to_char(at, 'YYYY-MM-DD')),
        jsonb_build_array('tenant', 'tenant:' || company, to_char(at, 'YYYY-MM')),
        jsonb_build_array('user', 'user:' || company, to_char(at, 'YYYY-MM-DD'))
    )
FROM (
    SELECT n, 'company-' || (power(random(), 3) * 300)::int AS company,
        timestamptz '{start}' + (timestamptz '{end}' - timestamptz '{start}') * (n::float / {count}) AS at
    FROM generate_series(0, {count} - 1) AS n
) AS calls
"""
REPORTS: dict[str, tuple[By, ...]] = {
    "a month, all of it": (),
    "a month by tenant": (By.TENANT,),
    "a month by tenant, model, day": (By.TENANT, By.MODEL, By.DAY),
    "a month by tenant, model, feature, day": (By.TENANT, By.MODEL, By.FEATURE, By.DAY),
}


def months(count: int) -> list[Month]:
    found = [LAST]
    while len(found) < count:
        first = found[0]
        found.insert(0, Month(first.year - 1, 12) if first.number == 1 else Month(first.year, first.number - 1))
    return found


async def fill(database: Database, rows: int, over: list[Month]) -> None:
    each = rows // len(over)
    for number, month in enumerate(over):
        began = time.monotonic()
        async with database.writing() as connection:
            await ensure(database, connection, [month])
            bounds = {"start": month.start.isoformat(), "end": month.next.start.isoformat()}
            table = database.table("ai_usage")
            await connection.execute(text(FILL.format(table=table, n=number * each, count=each, **bounds)))
        print(f"  {month.partition}: {each:,} rows in {time.monotonic() - began:.1f} s", flush=True)


async def sizes(database: Database, rows: int) -> None:
    """Bytes a row, of the table and of each of its indexes."""
    query = text(
        "SELECT coalesce(i.relname, 'table'), sum(pg_relation_size(coalesce(i.oid, c.oid)))"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " CROSS JOIN LATERAL (SELECT NULL::oid AS oid, NULL::text AS relname UNION ALL"
        " SELECT x.indexrelid, regexp_replace(y.relname, '^ai_usage_[0-9]+_[0-9]+_', '')"
        " FROM pg_index x JOIN pg_class y ON y.oid = x.indexrelid WHERE x.indrelid = c.oid) AS i"
        " WHERE n.nspname = :schema AND c.relkind = 'r' AND c.relname ~ '^ai_usage_[0-9]' GROUP BY 1 ORDER BY 1"
    )
    async with database.reading() as connection:
        found = [(name, float(size) / rows) for name, size in await connection.execute(query, {"schema": "sluicegate"})]
    for name, size in found:
        print(f"  {name:40} {size:8.1f} bytes a row")
    print(f"  {'in all':40} {sum(size for _, size in found):8.1f} bytes a row")


async def reports(database: Database) -> None:
    since_ms, until_ms = LAST.start_ms, LAST.next.start_ms
    for name, by in REPORTS.items():
        times = []
        for _ in range(RUNS):
            began = time.monotonic()
            lines = await report(database, by, since_ms, until_ms)
            times.append((time.monotonic() - began) * 1000)
        said = f"first {times[0]:.0f} ms, median {statistics.median(times):.0f} ms"
        print(f"  {name:40} {said}, {len(lines)} lines")
    began = time.monotonic()
    charged = await recounted(database, since_ms)
    print(f"  a month's charges counted anew           {(time.monotonic() - began) * 1000:.0f} ms, {len(charged)} sums")


async def moved(database: Database, redis_url: str, count: int, batch: int) -> None:
    """Rows a second, from the stream to the commit."""
    now_ms = SystemClock().now_ms()
    async with Redis.from_url(redis_url, protocol=2) as client:
        for first in range(0, count, 1000):
            pipeline = client.pipeline(transaction=False)
            for n in range(first, min(first + 1000, count)):
                charges = (
                    Charge("global", "global", "2026-11-18"),
                    Charge("tenant", f"tenant:company-{n % 300}", "2026-11"),
                    Charge("user", f"user:{n % 3000}", "2026-11-18"),
                )
                record = a_record(f"{batch:06}-{n:024x}", created_ms=now_ms, cost_nanousd=n, charges=charges)
                pipeline.xadd(STREAM, an_entry(record))
            await pipeline.execute()
        mover = Mover(Outbox(client, "bench"), database, SystemClock(), Notes(), Pace(batch=batch))
        began, cpu = time.monotonic(), time.process_time()
        assert await mover.drain() == count
        seconds, busy = time.monotonic() - began, time.process_time() - cpu
    print(
        f"  {database.url.dialect}, batches of {batch}: {count / seconds:,.0f} rows a second,"
        f" {busy / count * 1e6:.0f} us of our CPU a row"
    )
    began = time.monotonic()
    sums = await kept(database)
    print(f"  … and budgets rebuilt from {len(sums)} sums in {(time.monotonic() - began) * 1000:.0f} ms")


async def main(rows: int, over: int, move: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="sg-bench-") as folder,
        postgres(fsync="on", shared_buffers="512MB", max_wal_size="4GB") as started,
    ):
        await migrate(started.url())
        database = connect(started.url(), statement_s=3600)
        print(f"{rows:,} rows over {over} months on PostgreSQL")
        await fill(database, rows, months(over))
        await started.fetch("VACUUM ANALYZE sluicegate.ai_usage")
        await sizes(database, rows // over * over)
        await reports(database)
        print(f"{move:,} records from the outbox")
        file = f"sqlite:///{folder}/ledger.db"
        await migrate(file)
        lite = connect(file)
        with server(next(iter(BINARIES.values()))) as redis:
            for batch, one in itertools.product((500, 2000), (database, lite)):
                await moved(one, redis.url, move, batch)
        async with lite.reading() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        print(f"  sqlite: {pages * 4096 / (2 * move):.0f} bytes a row")
        await lite.close()
        await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--move", type=int, default=10_000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rows, arguments.months, arguments.move))
