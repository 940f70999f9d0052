"""Who used what, by any of many, exact to the nano-dollar."""

import itertools

import pytest

from proxy.core.usage import RecordKind, Tokens
from proxy.ledger.database import Database
from proxy.ledger.reports import By, named_whole, report
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

DAY_MS = 86_400_000


@pytest.fixture
async def filled(ledger: Database) -> Database:
    """Two tenants, two models, three days over a month's end, one correction and one credit."""
    records = [
        a_record(
            f"r{n}",
            company_id=("acme", "zeta")[n % 2],
            model=("gpt-4o", "claude")[n % 3 == 0],
            feature=None if n == 0 else "chat",
            tokens=Tokens(input=n, output=2 * n, cached_read=1),
            cost_nanousd=2**53 + n,
            estimated=n == 1,
            orphaned=n == 2,
            created_ms=NOW_MS + (n % 3) * 6 * DAY_MS,
        )
        for n in range(12)
    ]
    await write(ledger, [an_arrival(record) for record in records], NOW_MS)
    credit = a_record("credit", kind=RecordKind.ADJUSTMENT, company_id="acme", tokens=Tokens(), cost_nanousd=-5)
    await write(ledger, [an_arrival(credit), an_arrival(a_record("r0", rev=2, cost_nanousd=1))], NOW_MS)
    return ledger


async def test_all_of_it_is_one_line(filled: Database) -> None:
    (line,) = await report(filled, [])
    assert line.keys == ()
    assert line.totals.calls == 12
    assert line.totals.cost_nanousd == sum(2**53 + n for n in range(1, 12)) + 1 - 5
    assert (line.totals.estimated, line.totals.orphaned) == (1, 1)
    assert line.totals.output_tokens == sum(2 * n for n in range(1, 12)) + 300  # the correction's own


@pytest.mark.parametrize("by", [*itertools.combinations(By, 1), (By.TENANT, By.MODEL, By.DAY), tuple(By)], ids=str)
async def test_lines_add_up_however_they_are_asked_for(filled: Database, by: tuple[By, ...]) -> None:
    (whole,) = await report(filled, [])
    lines = await report(filled, by)
    assert len({line.keys for line in lines}) == len(lines)
    for name in ("calls", "input_tokens", "cost_nanousd", "estimated"):
        assert sum(getattr(line.totals, name) for line in lines) == getattr(whole.totals, name)


def test_a_user_is_named_with_its_issuer() -> None:
    assert named_whole([By.TENANT, By.USER, By.DAY]) == [By.TENANT, By.ISSUER, By.USER, By.DAY]
    assert named_whole([By.USER, By.ISSUER]) == [By.USER, By.ISSUER]
    assert named_whole([By.TENANT]) == [By.TENANT]


async def test_time_comes_first_then_the_dearest(filled: Database) -> None:
    days = [line.keys for line in await report(filled, [By.TENANT, By.DAY])]
    assert [keys[1] for keys in days] == sorted(keys[1] for keys in days)
    assert {keys[1] for keys in days} == {"2026-11-18", "2026-11-24", "2026-11-30"}
    assert {line.keys for line in await report(filled, [By.MONTH])} == {("2026-11",)}
    costs = [line.totals.cost_nanousd for line in await report(filled, [By.MODEL])]
    assert costs == sorted(costs, reverse=True)


async def test_since_is_in_and_until_is_out(filled: Database) -> None:
    middle = NOW_MS + 6 * DAY_MS
    (line,) = await report(filled, [By.DAY], since_ms=middle, until_ms=middle + 1)
    assert (line.keys, line.totals.calls) == (("2026-11-24",), 4)
    assert await report(filled, [By.DAY], since_ms=middle + 1, until_ms=middle + DAY_MS) == []


async def test_an_empty_ledger_has_used_nothing(ledger: Database) -> None:
    (line,) = await report(ledger, [])
    assert line.totals.calls == line.totals.cost_nanousd == 0
    assert await report(ledger, [By.TENANT]) == []
