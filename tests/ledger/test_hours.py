"""The last hour of tenants that spent much, beside the dearest hour of their week."""

from proxy.ledger.database import Database
from proxy.ledger.hours import HOUR_MS, WEEK_MS, Hour, hours
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

MINUTE_MS = 60_000


async def spend(ledger: Database, tenant: str | None, ago_ms: int, nanousd: int) -> None:
    record = a_record(
        f"{tenant}-{ago_ms}-{nanousd}", company_id=tenant, created_ms=NOW_MS - ago_ms, cost_nanousd=nanousd
    )
    await write(ledger, [an_arrival(record)], NOW_MS)


async def test_like_is_compared_with_like(ledger: Database) -> None:
    """Hours are counted back from now; one that the clock would cut in two is one, and what is older than a week is
    gone."""
    for ago_ms, nanousd in (
        (0, 40), (HOUR_MS - 1, 60),  # the last hour
        (HOUR_MS, 11), (2 * HOUR_MS - 1000, 12),  # the one before
        (5 * HOUR_MS + MINUTE_MS, 30), (6 * HOUR_MS - MINUTE_MS, 7), (6 * HOUR_MS + MINUTE_MS, 36),
        (WEEK_MS + HOUR_MS, 900),
    ):  # fmt: skip
        await spend(ledger, "acme", ago_ms, nanousd)
    await spend(ledger, "small", 5, 99)
    await spend(ledger, "quiet", 3 * HOUR_MS, 10**9)
    assert await hours(ledger, NOW_MS, 100) == [Hour("acme", 100, 37)]
    assert await hours(ledger, NOW_MS, 101) == []


async def test_who_never_spent_before_has_no_dearest_hour(ledger: Database) -> None:
    """Callers without a tenant are one, and no other's week is theirs."""
    await spend(ledger, "new", 5, 100)
    await spend(ledger, None, 5, 200)
    await spend(ledger, None, 3 * HOUR_MS, 50)
    found = await hours(ledger, NOW_MS, 100)
    assert sorted(found, key=lambda hour: hour.last) == [Hour("new", 100, 0), Hour(None, 200, 50)]
