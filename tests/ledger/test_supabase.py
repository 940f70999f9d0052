"""deploy/supabase/projection.sql, in front of a table as the first user had it."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import asyncpg

from proxy.core.clock import SystemClock
from proxy.core.usage import UsageRecord
from proxy.ledger.database import connect
from proxy.ledger.migrate import migrate
from proxy.ledger.writer import write
from tests.ledger.postgres import Postgres
from tests.ledger.samples import a_record, an_arrival

SQL = Path(__file__).parents[2] / "deploy" / "supabase" / "projection.sql"
FIRST_USERS = """
CREATE TABLE public.users (id uuid PRIMARY KEY);
CREATE TABLE public.ai_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    company_id uuid,
    model varchar(20) NOT NULL,
    endpoint varchar(100) NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cost_usd decimal(10, 4) NOT NULL,
    subscription_tier varchar(50) NOT NULL,
    created_at timestamptz DEFAULT now()
);
INSERT INTO public.users VALUES ('00000000-0000-4000-8000-000000000001');
"""
USER, GONE, COMPANY = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


async def test_rows_are_copied_as_well_as_the_table_takes_them(postgres_server: Postgres) -> None:
    """UUIDs where they parse, corrections once more, what is refused left out and remembered; the ledger untouched."""
    await postgres_server.fetch("CREATE DATABASE projection")
    url = postgres_server.url(database="projection")
    await migrate(url)
    ledger = connect(url)
    now_ms = SystemClock().now_ms()

    def record(name: str, **changes: object) -> UsageRecord:
        known = {"user_id": USER, "company_id": COMPANY, "created_ms": now_ms, "settled_ms": now_ms}
        return a_record(name, **(known | changes))

    good = record("0" * 31 + "a", cost_nanousd=398_400_000)
    word = record("no uuid", user_id=None, company_id="acme", cost_nanousd=30_000)
    refused = [record("gone", user_id=GONE), record("long", model="m" * 21)]
    await write(ledger, [an_arrival(one) for one in (good, word, *refused)], now_ms)

    connection = await asyncpg.connect(host=str(postgres_server.folder), user="postgres", database="projection")
    await connection.execute(FIRST_USERS)
    for _ in range(2):  # as after an upgrade
        await connection.execute(SQL.read_text())
    project = "SELECT copied, refused FROM sluicegate.project_usage()"
    assert tuple(await connection.fetchrow(project)) == (2, 2)
    assert tuple(await connection.fetchrow(project)) == (0, 0)
    first, second = await connection.fetch("SELECT * FROM public.ai_usage ORDER BY cost_usd DESC")
    assert (str(first["id"]), str(first["user_id"]), first["cost_usd"]) == (
        "00000000-0000-0000-0000-00000000000a",
        USER,
        Decimal("0.3984"),
    )
    assert (second["user_id"], second["company_id"], second["cost_usd"]) == (None, None, Decimal("0.0000"))
    query = "SELECT id, refused FROM sluicegate.projected_usage WHERE refused IS NOT NULL ORDER BY id"
    assert [tuple(row) for row in await connection.fetch(query)] == [("gone", "23503"), ("long", "22001")]

    await write(ledger, [an_arrival(replace(good, rev=2, cost_nanousd=100_000_000))], now_ms)
    assert tuple(await connection.fetchrow(project)) == (1, 0)
    assert await connection.fetchval("SELECT max(cost_usd) FROM public.ai_usage") == Decimal("0.1000")
    assert await connection.fetchval("SELECT count(*) FROM sluicegate.ai_usage") == 4
    await connection.close()
    await ledger.close()
