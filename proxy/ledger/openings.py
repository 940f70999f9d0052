"""Whether budgets are opened for the first time: of a new installation nobody can have anything to tell.

Before a ledger's budgets were opened once no gateway has held anything, so who opens them first need wait for nobody.
That it was done stands in the ledger's database: a store that was lost would say it of itself again.
"""

from typing import Final

from sqlalchemy import select

from proxy.ledger.database import Database
from proxy.ledger.markers import Mark, mark_once
from proxy.ledger.schema import budget_sums, usage

_OPENED: Final[Mark] = ("opened", "", 0, 0)  # no alert's: those name a budget and a scope, with a space between


async def opens_first(database: Database, now_ms: int) -> bool:
    """True for exactly one caller, ever, and only if nothing was ever written to the ledger. Raises: LedgerAway."""
    async with database.writing() as connection:
        if not await mark_once(database, connection, _OPENED, now_ms):
            return False
        for column in (usage.c.id, budget_sums.c.budget):
            if (await connection.execute(select(column).limit(1))).first() is not None:
                return False
    return True
