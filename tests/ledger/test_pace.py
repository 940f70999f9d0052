"""What a budget was charged, slice by slice of its period."""

from proxy.core.usage import Charge
from proxy.ledger.database import Database
from proxy.ledger.pace import EARLY_MS, paces
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

HOUR_MS = 3_600_000
ALL = Charge("global", "global", "2026-11-18")
ACME = Charge("tenant", "tenant:acme 'x'", "2026-11")


async def test_what_was_charged_adds_up_by_slice(ledger: Database) -> None:
    """Only rows that were charged to this budget, scope and period; one that began early counts for the first slice."""
    calls = [
        (-EARLY_MS // 2, 1, (ALL,)),
        (0, 2, (ALL, ACME)),
        (HOUR_MS - 1, 4, (ALL,)),
        (3 * HOUR_MS, 8, (ALL,)),
        (3 * HOUR_MS + 5, 16, (Charge("global", "global", "2026-11-17"),)),
        (3 * HOUR_MS + 6, 32, (Charge("other", "global", "2026-11-18"),)),
        (-2 * EARLY_MS, 64, (ALL,)),
    ]
    records = [
        a_record(f"r{n}", created_ms=NOW_MS + at_ms, cost_nanousd=cost, charges=charges)
        for n, (at_ms, cost, charges) in enumerate(calls)
    ]
    await write(ledger, [an_arrival(one, f"1-{n}") for n, one in enumerate(records)], NOW_MS)
    assert await paces(ledger, ALL, NOW_MS, HOUR_MS) == {0: 7, 3: 8}
    assert await paces(ledger, ACME, NOW_MS, HOUR_MS) == {0: 2}
    assert await paces(ledger, Charge("none", "global", "2026-11-18"), NOW_MS, HOUR_MS) == {}
