"""A grant binds from when it was recorded until it ends, and is never changed."""

import pytest

from proxy.ledger.database import Database
from proxy.ledger.grants import Grant, Grants
from tests.ledger.samples import NOW_MS

GRANT = Grant("tenant", "tenant:acme", 200 * 10**9, NOW_MS, NOW_MS + 1000, "launch day", "ops@example.com")


async def test_a_grant_binds_until_it_ends(ledger: Database) -> None:
    grants = Grants(ledger)
    recorded = await grants.append(GRANT)
    assert recorded.id > 0
    assert await grants.active(NOW_MS - 1) == []
    assert await grants.active(NOW_MS) == await grants.active(NOW_MS + 999) == [recorded]
    assert await grants.active(NOW_MS + 1000) == []
    assert await grants.history() == [recorded]


async def test_taking_back_is_another_entry(ledger: Database) -> None:
    grants = Grants(ledger)
    first = await grants.append(GRANT)
    back = await grants.append(Grant("tenant", "tenant:acme", -50, NOW_MS, NOW_MS + 1, "typo", "ops"))
    other = await grants.append(Grant("tenant", "tenant:other", 1, NOW_MS, NOW_MS + 1, "because", "ops"))
    assert await grants.history("tenant:acme") == [first, back]
    assert await grants.active(NOW_MS) == [first, back, other]
    assert await grants.totals(NOW_MS) == {
        ("tenant", "tenant:acme"): GRANT.amount_nanousd - 50,
        ("tenant", "tenant:other"): 1,
    }
    assert await grants.totals(NOW_MS + 1000) == {}


@pytest.mark.parametrize(
    "grant",
    [
        Grant("b", "s", 0, 1, 2, "why", "who"),
        Grant("b", "s", 1, 2, 2, "why", "who"),
        Grant("b", "s", 1, 1, 2, " ", "who"),
        Grant("b", "s", 1, 1, 2, "why", ""),
    ],
)
async def test_a_grant_that_says_nothing_is_refused(ledger: Database, grant: Grant) -> None:
    with pytest.raises(ValueError, match="a grant"):
        await Grants(ledger).append(grant)
    assert await Grants(ledger).history() == []
