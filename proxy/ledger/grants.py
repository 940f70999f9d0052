"""What was granted on top of a budget, by whom, why and until when: a record that is only added to.

A grant is never changed. One that ends before its time has a record of that beside it: a second one of the opposite
amount would have an end of its own, and what is left of either after the other's would bind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Select, insert, select

from proxy.ledger.database import Database
from proxy.ledger.schema import grant_endings, grants


@dataclass(frozen=True, slots=True)
class Ending:
    """It binds as soon as it is recorded, whatever ``ended_ms`` says: clocks differ."""

    ended_ms: int
    reason: str
    ended_by: str


@dataclass(frozen=True, slots=True)
class Grant:
    """``id`` is 0 until it is recorded; ``ended``: before its time."""

    budget: str
    scope: str  # tenant:acme
    amount_nanousd: int
    granted_ms: int
    until_ms: int
    reason: str
    granted_by: str
    id: int = 0
    ended: Ending | None = None

    def binds(self, now_ms: int) -> bool:
        return self.ended is None and self.granted_ms <= now_ms < self.until_ms


_RECORD: Final = select(
    grants, grant_endings.c.ended_at, grant_endings.c.reason.label("ended_because"), grant_endings.c.ended_by
).outerjoin(grant_endings, grant_endings.c.grant_id == grants.c.id)


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

    async def end(self, ids: Sequence[int], ending: Ending) -> list[Grant]:
        """All of them or none, as recorded. Raises: ValueError for a grant that is not there or that binds no more."""
        if not ending.reason.strip() or not ending.ended_by.strip():
            raise ValueError("an ending says why, and who ended it")
        row = {"ended_at": ending.ended_ms, "reason": ending.reason, "ended_by": ending.ended_by}
        wanted = list(dict.fromkeys(ids))
        async with self._database.writing() as connection:
            there = await connection.execute(select(grants.c.id, grants.c.until_at).where(grants.c.id.in_(wanted)))
            until_ms = {one.id: one.until_at for one in there}
            for number in wanted:
                if number not in until_ms:
                    raise ValueError(f"the record has no grant number {number}")
                if until_ms[number] <= ending.ended_ms:
                    raise ValueError(f"grant number {number} is over already")
                told = self._database.insert(grant_endings).on_conflict_do_nothing()
                if not (await connection.execute(told, {"grant_id": number, **row})).rowcount:
                    raise ValueError(f"grant number {number} was ended before")
        return await self._found(_RECORD.where(grants.c.id.in_(wanted)))

    async def active(self, now_ms: int) -> list[Grant]:
        """Those that bind now, in the order in which they were recorded."""
        binding = grants.c.granted_at <= now_ms, grants.c.until_at > now_ms, grant_endings.c.grant_id.is_(None)
        return await self._found(_RECORD.where(*binding))

    async def totals(self, now_ms: int) -> dict[tuple[str, str], int]:
        """Nano-dollars that bind now, by (budget, scope)."""
        found: dict[tuple[str, str], int] = {}
        for grant in await self.active(now_ms):
            key = grant.budget, grant.scope
            found[key] = found.get(key, 0) + grant.amount_nanousd
        return found

    async def history(self, scope: str | None = None) -> list[Grant]:
        """All that were ever made."""
        return await self._found(_RECORD if scope is None else _RECORD.where(grants.c.scope == scope))

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
                None if row.ended_at is None else Ending(row.ended_at, row.ended_because, row.ended_by),
            )
            for row in rows
        ]
