"""What is older than ops keep goes, by whole months, and takes no room any more."""

from pathlib import Path

import pytest
from sqlalchemy import select, text

from proxy.core.usage import Charge
from proxy.ledger.database import Database, connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import Fault, LedgerAway
from proxy.ledger.grants import Ending, Grants
from proxy.ledger.migrate import migrate
from proxy.ledger.partitions import existing
from proxy.ledger.retention import LEAST_KEPT_MS, Removed, retain
from proxy.ledger.schema import alert_markers, deliveries, usage
from proxy.ledger.sums import kept
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_firing, a_record, an_arrival
from tests.ledger.test_grants import GRANT
from tests.ledger.test_writer import rows

DAY_MS = 86_400_000
OLD_MS, LATER_MS = NOW_MS - 100 * DAY_MS, NOW_MS - 80 * DAY_MS  # 10 and 30 August


async def fill(ledger: Database) -> None:
    """In August and now; August's sums, alert and grant as well."""
    for created_ms, period in ((OLD_MS, "2026-08"), (LATER_MS, "2026-08"), (NOW_MS, "2026-11")):
        charges = (Charge("global", "global", period),)
        records = [a_record(f"{created_ms}-{n}", created_ms=created_ms, charges=charges) for n in range(30)]
        await write(ledger, [an_arrival(record) for record in records], created_ms)
        await Deliveries(ledger).fire([a_firing(period, period=period)], created_ms)
    recorded = await Grants(ledger).append(GRANT)
    await Grants(ledger).end([recorded.id], Ending(GRANT.granted_ms, "why", "who"))


async def test_whole_months_go_and_grants_stay(ledger: Database) -> None:
    await fill(ledger)
    keep_ms = 85 * DAY_MS  # ends within August: all of it stays
    assert await retain(ledger, keep_ms, NOW_MS) == Removed((), 0, 0)
    removed = await retain(ledger, 70 * DAY_MS, NOW_MS)
    assert removed.others == 3
    assert (removed.partitions or removed.rows) == (("ai_usage_2026_08",) if ledger.on_postgresql else 60)
    assert {row.created_ms for row in await rows(ledger)} == {NOW_MS}
    assert {charge.period for charge in await kept(ledger)} == {"2026-11"}
    async with ledger.reading() as connection:
        assert (await connection.execute(select(alert_markers.c.period))).scalars().all() == ["2026-11"]
        assert (await connection.execute(select(deliveries.c.id))).scalars().all() == ["2026-11"]
    (grant,) = await Grants(ledger).history()
    assert grant.ended is not None
    assert await retain(ledger, 70 * DAY_MS, NOW_MS) == Removed((), 0, 0)


async def test_a_late_record_of_a_month_that_is_gone_is_taken(ledger: Database) -> None:
    await fill(ledger)
    await retain(ledger, 70 * DAY_MS, NOW_MS)
    await write(ledger, [an_arrival(a_record("late", created_ms=OLD_MS))], NOW_MS)
    assert [row.id for row in await rows(ledger) if row.created_ms == OLD_MS] == ["late"]


async def test_less_than_two_months_is_refused(ledger: Database) -> None:
    with pytest.raises(ValueError, match="at least 62 days"):
        await retain(ledger, LEAST_KEPT_MS - 1, NOW_MS)


async def test_a_report_under_way_is_not_cut(postgres_ledger: Database) -> None:
    """Nor does retention wait for it for long: everything after it would wait too."""
    await fill(postgres_ledger)
    async with postgres_ledger.reading() as reading:
        await reading.execute(select(usage.c.id))
        with pytest.raises(LedgerAway) as away:
            await retain(postgres_ledger, 70 * DAY_MS, NOW_MS)
    assert away.value.fault is Fault.BUSY
    assert (await retain(postgres_ledger, 70 * DAY_MS, NOW_MS)).partitions


async def test_postgresql_has_no_table_of_it_any_more(postgres_ledger: Database) -> None:
    await fill(postgres_ledger)
    await retain(postgres_ledger, 70 * DAY_MS, NOW_MS)
    async with postgres_ledger.reading() as connection:
        assert await existing(postgres_ledger, connection) == ["ai_usage_2026_11"]
        query = text("SELECT count(*) FROM pg_tables WHERE schemaname = :s AND tablename LIKE 'ai_usage_2026_08%'")
        assert (await connection.execute(query, {"s": postgres_ledger.url.schema})).scalar() == 0


async def test_a_sqlite_file_shrinks(tmp_path: Path) -> None:
    """More than one turn's worth of rows, of which a handful stays."""
    url, file = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "ledger.db"
    await migrate(url)
    database = connect(url)
    records = [a_record(f"r{n}", created_ms=OLD_MS, charges=()) for n in range(4500)]
    await write(database, [an_arrival(record) for record in records], OLD_MS)
    await write(database, [an_arrival(a_record("kept"))], NOW_MS)
    async with database.engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
    assert (await retain(database, 70 * DAY_MS, NOW_MS)).rows == 4500
    async with database.engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar_one() == 0
        assert (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one() < pages / 10
    await database.close()
    assert file.stat().st_size < pages * 4096 / 10
