"""The first step's tables take the largest amounts, and tell them in dollars."""

from decimal import Decimal

import pytest
from sqlalchemy import insert, text

from proxy.ledger.database import Database
from proxy.ledger.errors import LedgerRefused
from proxy.ledger.months import month_of
from proxy.ledger.partitions import ensure
from proxy.ledger.schema import usage
from tests.ledger.samples import a_record, a_row


@pytest.mark.parametrize("nanousd", [30_000, 2**53 - 1, 2**63 - 1, -5])
async def test_an_amount_is_kept_to_the_nano_dollar(ledger: Database, nanousd: int) -> None:
    """DECIMAL(10,4) would store $0.00003 as nothing."""
    row = a_row(a_record(cost_nanousd=nanousd))
    async with ledger.writing() as connection:
        await ensure(ledger, connection, [month_of(row["created_at"])])
        await connection.execute(insert(usage), row)
        found = await connection.execute(text(f"SELECT cost_nanousd, cost_usd FROM {ledger.table('ai_usage')}"))
        amount, dollars = found.one()
    assert amount == nanousd
    if ledger.on_postgresql:
        assert dollars == Decimal(nanousd).scaleb(-9)
    else:
        assert dollars == pytest.approx(nanousd / 1e9)


async def test_one_id_has_one_row_at_one_instant(ledger: Database) -> None:
    row = a_row(a_record())
    async with ledger.writing() as connection:
        await ensure(ledger, connection, [month_of(row["created_at"])])
        await connection.execute(insert(usage), row)

    async def again() -> None:
        async with ledger.writing() as connection:
            await connection.execute(insert(usage), row)

    with pytest.raises(LedgerRefused):
        await again()
