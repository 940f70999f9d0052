"""Which records a ledger has."""

from proxy.ledger.database import Database
from proxy.ledger.lookups import known
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival


async def test_of_many_ids_those_that_have_a_row(ledger: Database) -> None:
    await write(ledger, [an_arrival(a_record(f"id-{number}")) for number in range(3)], NOW_MS)
    asked = [f"id-{number}" for number in range(1, 1500)]
    assert await known(ledger, asked, NOW_MS - 1000) == {"id-1", "id-2"}
    assert await known(ledger, [], NOW_MS - 1000) == set()
    assert await known(ledger, ["id-1"], NOW_MS + 60_000) == set()
