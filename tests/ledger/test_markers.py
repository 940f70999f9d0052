"""An alert fires for one, whoever asks and however often."""

import asyncio

from proxy.ledger.database import Database, connect
from proxy.ledger.markers import Mark, mark_once, marked
from tests.ledger.samples import NOW_MS

MARK: Mark = ("tenant tenant:acme", "2026-11", 200 * 10**9, 80)


async def mark(database: Database, one: Mark, now_ms: int = NOW_MS) -> bool:
    async with database.writing() as connection:
        return await mark_once(database, connection, one, now_ms)


async def test_of_fifty_at_once_one_marks(ledger: Database) -> None:
    other = connect(ledger.url)
    both = ledger, other
    assert sum(await asyncio.gather(*(mark(both[n % 2], MARK) for n in range(50)))) == 1
    await other.close()


async def test_every_part_of_a_marker_counts(ledger: Database) -> None:
    marks: list[Mark] = [
        ("a", "2026-11", 5, 80), ("b", "2026-11", 5, 80), ("a", "2026-12", 5, 80), ("a", "2026-11", 6, 80),
        ("a", "2026-11", 5, 95),
    ]  # fmt: skip
    assert [await mark(ledger, one) for one in marks] == [True] * 5
    assert [await mark(ledger, one, NOW_MS + 1) for one in marks] == [False] * 5
    async with ledger.reading() as connection:
        assert await marked(connection, [*marks, ("c", "2026-11", 5, 80)]) == set(marks)
        assert await marked(connection, []) == set()
