"""Grants of a ledger of the second version go on, and can be ended."""

from sqlalchemy import insert

from proxy.ledger.database import connect
from proxy.ledger.grants import Ending, Grants
from proxy.ledger.migrate import head, migrate
from proxy.ledger.schema import grants
from tests.ledger.samples import NOW_MS


async def test_grants_from_before_stay_and_can_be_ended(url: str) -> None:
    assert await migrate(url, "0002") == (None, "0002")
    database = connect(url)
    row = {"budget": "b", "scope": "s", "amount_nanousd": 5, "reason": "why", "granted_by": "ops"}
    async with database.writing() as connection:
        await connection.execute(insert(grants), row | {"granted_at": NOW_MS, "until_at": NOW_MS + 1000})
    assert await migrate(url) == ("0002", head())
    (before,) = await Grants(database).active(NOW_MS)
    assert (before.amount_nanousd, before.ended) == (5, None)
    await Grants(database).end([before.id], Ending(NOW_MS, "why", "ops"))
    assert await Grants(database).active(NOW_MS) == []
    await database.close()
