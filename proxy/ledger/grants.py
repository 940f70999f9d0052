"""What was granted on top of a budget, by whom, why and until when: a record that is only added to.

A grant is never changed; one is taken back by another with the amount below zero.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, insert, select

from proxy.ledger.database import Database
from proxy.ledger.schema import grants


@dataclass(frozen=True, slots=True)
class Grant:
    """``id`` is 0 until it is recorded."""

    budget: str
    scope: str  # tenant:acme
    amount_nanousd: int
    granted_ms: int
    until_ms: int
    reason: str
    granted_by: str
    id: int = 0


class Grants:
    """Raises: LedgerAway throughout."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, grant: Grant) -> Grant:
        """As recorded. Raises: ValueError for one that says nothing, never binds or has no reason."""
        if not grant.amount_nanousd:
            raise ValueError("a grant of nothing")
        if grant.until_ms <= grant.granted_ms:
            raise ValueError("a grant that ends before it begins")
        if not grant.reason.strip() or not grant.granted_by.strip():
            raise ValueError("a grant says why, and who granted it")
        row = {
            "budget": grant.budget,
            "scope": grant.scope,
            "amount_nanousd": grant.amount_nanousd,
            "granted_at": grant.granted_ms,
            "until_at": grant.until_ms,
            "reason": grant.reason,
            "granted_by": grant.granted_by,
        }
        async with self._database.writing() as connection:
            result = await connection.execute(insert(grants), row)
        key = result.inserted_primary_key
        assert key is not None
        return replace(grant, id=key[0])

    async def active(self, now_ms: int) -> list[Grant]:
        """Those that bind at an instant, in the order in which they were recorded."""
        return await self._found(select(grants).where(grants.c.granted_at <= now_ms, grants.c.until_at > now_ms))

    async def totals(self, now_ms: int) -> dict[tuple[str, str], int]:
        """Nano-dollars that bind at an instant, by (budget, scope)."""
        found: dict[tuple[str, str], int] = {}
        for grant in await self.active(now_ms):
            key = grant.budget, grant.scope
            found[key] = found.get(key, 0) + grant.amount_nanousd
        return found

    async def history(self, scope: str | None = None) -> list[Grant]:
        query = select(grants)
        return await self._found(query if scope is None else query.where(grants.c.scope == scope))

    async def _found(self, query: Select[Any]) -> list[Grant]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(grants.c.id))).all()
        return [
            Grant(
                row.budget,
                row.scope,
                row.amount_nanousd,
                row.granted_at,
                row.until_at,
                row.reason,
                row.granted_by,
                row.id,
            )
            for row in rows
        ]
