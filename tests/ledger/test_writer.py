"""A batch in the tables: rows and sums together, once, whatever revision came first."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from proxy.core.usage import Charge, UsageRecord
from proxy.ledger.database import Database
from proxy.ledger.errors import LedgerRefused
from proxy.ledger.rows import Arrival, to_record
from proxy.ledger.schema import budget_sums, dead, usage
from proxy.ledger.writer import Written, bury, write
from tests.ledger.samples import NOW_MS, RECORD, a_record, an_arrival

DAY_MS = 86_400_000


async def rows(ledger: Database) -> list[UsageRecord]:
    async with ledger.reading() as connection:
        found = await connection.execute(select(usage).order_by(usage.c.id))
        return [to_record(row) for row in found.mappings()]


async def sums(ledger: Database) -> dict[tuple[str, str, str], int]:
    columns = budget_sums.c.budget, budget_sums.c.scope, budget_sums.c.period, budget_sums.c.cost_nanousd
    async with ledger.reading() as connection:
        return {tuple(row[:3]): row[3] for row in await connection.execute(select(*columns))}


async def everything(ledger: Database) -> tuple[Any, Any]:
    return await rows(ledger), await sums(ledger)


async def test_what_was_written_is_what_came(ledger: Database) -> None:
    first, second = a_record("a"), a_record("b", created_ms=NOW_MS + 30 * DAY_MS)
    written = await write(ledger, [an_arrival(second), an_arrival(first)], NOW_MS)
    assert (written.rows, written.stale) == (2, 0)
    assert await rows(ledger) == [first, second]
    assert await sums(ledger) == {
        ("global", "global", "2026-11-18"): 796_800,
        ("tenant", "tenant:acme", "2026-11"): 796_800,
    }


async def test_a_batch_that_comes_again_changes_nothing(ledger: Database) -> None:
    batch = [an_arrival(a_record(name)) for name in "abc"]
    await write(ledger, batch, NOW_MS)
    before = await everything(ledger)
    written = await write(ledger, [*batch, *batch], NOW_MS + 1)
    assert (written.rows, written.stale) == (0, 6)
    assert await everything(ledger) == before


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
async def test_the_highest_revision_stands_in_any_order(ledger: Database, order: tuple[int, ...]) -> None:
    """One row, although a month lies between what the revisions say of their instant."""
    revisions = {rev: a_record(rev=rev, cost_nanousd=rev * 10, created_ms=NOW_MS + rev * 12 * DAY_MS) for rev in order}
    for rev in order:
        await write(ledger, [an_arrival(revisions[rev])], NOW_MS)
    (row,) = await rows(ledger)
    assert (row.rev, row.cost_nanousd) == (3, 30)
    assert row.created_ms == revisions[order[0]].created_ms
    assert set((await sums(ledger)).values()) == {30}


async def test_writers_at_once_count_each_record_once(ledger: Database) -> None:
    """Eight at a time, each with the same records in another order: as after a claim by several gateways."""
    batch = [an_arrival(a_record(f"r{n:03}", cost_nanousd=n)) for n in range(60)]
    await asyncio.gather(*(write(ledger, batch[n * 7 :] + batch[: n * 7], NOW_MS) for n in range(8)))
    assert len(await rows(ledger)) == 60
    assert set((await sums(ledger)).values()) == {sum(range(60))}


async def test_a_batch_tells_where_its_budgets_stand(ledger: Database) -> None:
    """As the ledger has them, whoever moved them before; and again where it moves nothing: the one who did may have
    died before anybody looked."""
    day, month = Charge("global", "global", "2026-11-18", "k", 7), Charge("tenant", "tenant:acme", "2026-11", "m", 9)
    await write(ledger, [an_arrival(a_record("a", cost_nanousd=10, charges=(day, month)))], NOW_MS)
    batch = [
        an_arrival(a_record("b", cost_nanousd=5, charges=(day,), user_id="u-2", notify=(("email", "u@x"),))),
        an_arrival(a_record("c", cost_nanousd=0, charges=(month,))),
    ]
    for again in (await write(ledger, batch, NOW_MS), await write(ledger, batch, NOW_MS)):
        stands = {one.charge: one for one in again.spent}
        assert len(again.spent) == 2
        assert {charge: one.nanousd for charge, one in stands.items()} == {day: 15, month: 10}
        assert {(charge.counter, charge.ends_ms) for charge in stands} == {("k", 7), ("m", 9)}
        assert stands[day].spender == batch[0].record.spender


async def test_halves_of_a_batch_are_told_as_one(ledger: Database) -> None:
    charges = (Charge("global", "global", "2026-11-18"),)
    first, second = [
        await write(ledger, [an_arrival(a_record(name, cost_nanousd=2, charges=charges))], NOW_MS) for name in "ab"
    ]
    both = first + second
    assert (both.rows, [one.nanousd for one in both.spent]) == (2, [4])
    assert Written(0, 0) + second == second


async def test_a_batch_that_is_refused_leaves_nothing(ledger: Database) -> None:
    with pytest.raises(LedgerRefused):
        await write(ledger, [an_arrival(RECORD), an_arrival(a_record("b", cost_nanousd=2**63))], NOW_MS)
    assert await everything(ledger) == ([], {})


async def test_more_ids_than_a_look_up_takes(ledger: Database) -> None:
    batch = [an_arrival(a_record(f"r{n}", charges=())) for n in range(1100)]
    await write(ledger, batch, NOW_MS)
    assert (await write(ledger, batch, NOW_MS)).stale == 1100


async def test_a_letter_is_buried_once(ledger: Database) -> None:
    letter = Arrival("1-1", b"\0not json", None, flaw="not a usage record")
    await bury(ledger, [letter], "", NOW_MS)
    await bury(ledger, [letter, an_arrival(RECORD)], "DataError 22003", NOW_MS)
    async with ledger.reading() as connection:
        found = (await connection.execute(select(dead.c.record, dead.c.reason).order_by(dead.c.reason))).all()
    assert [tuple(row) for row in found] == [
        (RECORD.encode(), "DataError 22003"),
        (b"\0not json", "not a usage record"),
    ]
