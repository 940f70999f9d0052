"""One door to what alerts need of a ledger."""

from proxy.core.usage import Charge
from proxy.ledger.book import Book
from proxy.ledger.database import Database
from proxy.ledger.grants import Grants
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_firing, a_record, an_arrival
from tests.ledger.test_grants import GRANT


async def test_what_was_spent_granted_and_fired(ledger: Database) -> None:
    book = Book(ledger)
    await Grants(ledger).append(GRANT)
    charge = Charge("tenant", "tenant:acme", "2026-11", "key", NOW_MS + 5)
    await write(ledger, [an_arrival(a_record(charges=(charge,)))], NOW_MS)
    assert [one.charge for one in await book.living(NOW_MS)] == [charge]
    other = Charge("tenant", "tenant:other", "2026-11")
    assert [one.charge for one in await book.standing([other, charge])] == [charge]
    assert await book.granted(NOW_MS) == {("tenant", "tenant:acme"): GRANT.amount_nanousd}
    assert [hour.tenant for hour in await book.hours(NOW_MS + 10, 1)] == ["acme"]
    assert await book.fire([a_firing()], NOW_MS) == {"alert-1"}
    assert await book.fire([a_firing()], NOW_MS) == set()
