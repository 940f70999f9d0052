"""What budgets stand at is what the ledger's sums say, whoever names them and however much of them is known."""

from proxy.core.usage import Charge, Spender
from proxy.ledger.changes import Named
from proxy.ledger.database import Database
from proxy.ledger.standings import standing_as_named, standing_of
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

SPENDER = Spender("trial", "acme", "u'\"ü", (("email", "u@acme.example"),))


def charge(n: int, *, whole: bool = True) -> Charge:
    known = (f"key-{n}", NOW_MS + 1) if whole else ()
    return Charge(f"b'{n}", f'user:"{n} ü%20', "2026-11", *known)


async def test_more_budgets_than_a_look_up_takes(ledger: Database) -> None:
    """Some of them known to the batch by all but the amount, some not, one to nobody."""
    charges = tuple(charge(n, whole=n % 3 > 0) for n in range(1300))
    for rev, record in enumerate((a_record(charges=charges[:700]), a_record(charges=charges)), 1):
        await write(ledger, [an_arrival(a_record(f"r{rev}", cost_nanousd=rev, charges=record.charges))], NOW_MS)
    named = [Named(one, NOW_MS, SPENDER if n % 5 else None) for n, one in enumerate((*charges, charge(9999)))]
    async with ledger.reading() as connection:
        found = await standing_as_named(ledger, connection, named)
        again = await standing_of(connection, [one.charge for one in named])
    assert {one.charge: one.nanousd for one in found} == {one.charge: one.nanousd for one in again}
    assert {one.charge: one.nanousd for one in found} == {one: 3 if n < 700 else 2 for n, one in enumerate(charges)}
    spenders = {one.charge: one.spender for one in found}
    assert spenders[charges[1]] == SPENDER  # as the batch has it
    assert spenders[charges[0]] == spenders[charges[5]] == a_record().spender  # as the ledger has it
    assert len(found) == len(charges)


async def test_nothing_named_is_nothing(ledger: Database) -> None:
    async with ledger.reading() as connection:
        assert await standing_as_named(ledger, connection, []) == ()
        assert await standing_of(connection, []) == []
