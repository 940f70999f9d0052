"""Kept sums are what the rows add up to, and what the outbox still has is counted once."""

from proxy.core.usage import Charge
from proxy.ledger.database import Database
from proxy.ledger.sums import kept, position, recounted
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

DAY, MONTH = Charge("global", "global", "2026-11-18"), Charge("user", "user:ü'\"", "2026-11")


async def test_rows_and_kept_sums_agree(ledger: Database) -> None:
    for rev in (1, 2):
        await write(
            ledger,
            [
                an_arrival(a_record(f"r{n}", rev=rev, cost_nanousd=n * rev + 2**52, charges=(DAY, MONTH)[: n % 3]))
                for n in range(9)
            ],
            NOW_MS,
        )
    assert await kept(ledger) == await recounted(ledger, 0)
    assert await kept(ledger, ["2026-11"]) == await recounted(ledger, 0, ["2026-11"])
    assert set(await kept(ledger)) == {DAY, MONTH}
    assert await recounted(ledger, NOW_MS + 10**9) == {}


async def test_what_is_on_its_way_counts_by_what_it_would_move(ledger: Database) -> None:
    """A new one whole, a correction by its difference, one that has arrived meanwhile not at all."""
    arrived = an_arrival(a_record("old", cost_nanousd=100, charges=(DAY,)))
    await write(ledger, [arrived, an_arrival(a_record("fix", cost_nanousd=50, charges=(DAY,)))], NOW_MS)
    outbox = [
        arrived,
        an_arrival(a_record("fix", rev=2, cost_nanousd=20, charges=(DAY,))),
        an_arrival(a_record("new", cost_nanousd=7, charges=(DAY, MONTH))),
    ]
    found = await position(ledger, outbox)
    assert found.ledger == {DAY: 150}
    assert found.outbox == {DAY: -23, MONTH: 7}
    assert (await position(ledger, outbox, ["2026-11"])).outbox == {MONTH: 7}
    await write(ledger, outbox, NOW_MS)
    assert (await position(ledger, outbox)).ledger == {DAY: 127, MONTH: 7}
    assert (await position(ledger, outbox)).outbox == {}
