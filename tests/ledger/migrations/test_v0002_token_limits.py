"""A ledger of the first version keeps its rows, which were charged to no limit of tokens that anybody knows."""

from sqlalchemy import insert, select

from proxy.ledger.database import connect
from proxy.ledger.migrate import head, migrate
from proxy.ledger.months import month_of
from proxy.ledger.partitions import ensure
from proxy.ledger.rows import to_record
from proxy.ledger.schema import usage
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, a_row, an_arrival


async def test_rows_from_before_stay_and_new_ones_say_their_limits(url: str) -> None:
    assert await migrate(url, "0001") == (None, "0001")
    database = connect(url)
    before = a_record("old", token_limits=())
    row = a_row(before)
    del row["token_limits"]
    async with database.writing() as connection:
        await ensure(database, connection, [month_of(row["created_at"])])
        await connection.execute(insert(usage), row)
    assert await migrate(url) == ("0001", head())
    after = a_record("new")
    await write(database, [an_arrival(after)], NOW_MS)
    async with database.reading() as connection:
        found = [to_record(dict(one._mapping)) for one in await connection.execute(select(usage).order_by(usage.c.id))]
    assert found == [after, before]
    assert found[0].token_limits[0].tokens == 2_012
    await database.close()
