"""Who used how much, a page at a time."""

from dataclasses import replace

import pytest

from proxy.core.usage import Tokens
from proxy.ledger.database import Database
from proxy.ledger.tenants import Order, TenantUse, Wanted, tenants
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

SINCE = Wanted(since_ms=NOW_MS, size=2)


@pytest.fixture
async def filled(ledger: Database) -> Database:
    """acme spent most, globex called most, one call was nobody's; one of acme's was before."""
    who = [("acme", 900), ("globex", 100), ("globex", 150), ("Ini%tech", 300), (None, 5), ("acme_2", 20)]
    records = [
        a_record(
            f"r{n}", company_id=tenant, cost_nanousd=cost, created_ms=NOW_MS + n,
            tokens=Tokens(input=10, output=n, cached_read=5),
        )
        for n, (tenant, cost) in enumerate(who)
    ]  # fmt: skip
    old = a_record("old", company_id="acme", cost_nanousd=10**9, created_ms=NOW_MS - 1)
    await write(ledger, [an_arrival(one, f"1-{n}") for n, one in enumerate([*records, old])], NOW_MS)
    return ledger


async def test_the_dearest_come_first_and_sums_are_of_all(filled: Database) -> None:
    found = await tenants(filled, SINCE)
    assert found.rows == [TenantUse("acme", 1, 15, 0, 900, NOW_MS), TenantUse("Ini%tech", 1, 15, 3, 300, NOW_MS + 3)]
    assert (found.page, found.count, found.cost_nanousd) == (1, 5, 1475)


async def test_pages_hold_each_tenant_once(filled: Database) -> None:
    found = [row.tenant for page in (1, 2, 3) for row in (await tenants(filled, replace(SINCE, page=page))).rows]
    assert found == ["acme", "Ini%tech", "globex", "acme_2", None]


async def test_a_page_beyond_the_last_is_the_last(filled: Database) -> None:
    found = await tenants(filled, replace(SINCE, page=99))
    assert (found.page, [row.tenant for row in found.rows]) == (3, [None])


@pytest.mark.parametrize(
    ("order", "first"),
    [
        (Order.TENANT, "globex"),
        (Order.CALLS, "globex"),
        (Order.INPUT, "globex"),
        (Order.OUTPUT, "acme_2"),
        (Order.COST, "acme"),
        (Order.LAST, "acme_2"),
    ],
)
async def test_it_is_sorted_by_what_is_asked(filled: Database, order: Order, first: str) -> None:
    found = await tenants(filled, Wanted(NOW_MS, "", order))
    assert next(row.tenant for row in found.rows if row.tenant is not None) == first


async def test_a_part_of_a_name_finds_it_in_any_case_and_letter_for_letter(filled: Database) -> None:
    """What a pattern would take for a wildcard is a letter here."""
    for text, named in (("ACME", ["acme", "acme_2"]), ("_", ["acme_2"]), ("%", ["Ini%tech"]), ("'; --", [])):
        found = await tenants(filled, Wanted(NOW_MS, text))
        assert [row.tenant for row in found.rows] == named
        assert (found.count, found.page) == (len(named), 1)
