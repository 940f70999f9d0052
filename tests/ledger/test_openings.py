"""One gateway opens budgets first, of one ledger that nobody has written to."""

import asyncio

from proxy.core.usage import Charge
from proxy.ledger.database import Database, connect
from proxy.ledger.openings import opens_first
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival


async def test_of_many_at_once_one_is_the_first_and_none_is_again(ledger: Database) -> None:
    other = connect(ledger.url)
    both = ledger, other
    assert sum(await asyncio.gather(*(opens_first(both[n % 2], NOW_MS) for n in range(10)))) == 1
    assert not await opens_first(ledger, NOW_MS + 10**12)
    await other.close()


async def test_a_ledger_that_was_written_to_was_opened_before(ledger: Database) -> None:
    """Also one of an earlier version that did not say so, and whose periods have all ended."""
    old = Charge("all", "global", "2020-01", "{m0}b:x", 1)
    await write(ledger, [an_arrival(a_record(charges=(old,)))], NOW_MS)
    assert not await opens_first(ledger, NOW_MS)
