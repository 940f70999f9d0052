"""A grant binds from when it was recorded until it ends, and is never changed."""

import asyncio
from dataclasses import replace

import pytest

from proxy.ledger.database import Database
from proxy.ledger.grants import Ending, Grant, Grants
from tests.ledger.samples import NOW_MS

ENDING = Ending(NOW_MS + 100, "well again", "ops")
GRANT = Grant("tenant", "tenant:acme", 200 * 10**9, NOW_MS, NOW_MS + 1000, "launch day", "ops@example.com")


async def test_a_grant_binds_until_it_ends(ledger: Database) -> None:
    grants = Grants(ledger)
    recorded = await grants.append(GRANT)
    assert recorded.id > 0
    assert await grants.active(NOW_MS - 1) == []
    assert await grants.active(NOW_MS) == await grants.active(NOW_MS + 999) == [recorded]
    assert await grants.active(NOW_MS + 1000) == []
    assert await grants.history() == [recorded]


async def test_one_that_was_ended_binds_no_more_and_leaves_nothing_behind(ledger: Database) -> None:
    """At no time: not at once, and not when it would have ended by itself."""
    grants = Grants(ledger)
    stop = replace(GRANT, amount_nanousd=-GRANT.amount_nanousd)
    first, other = [await grants.append(one) for one in (stop, GRANT)]
    (ended,) = await grants.end([first.id], ENDING)
    assert ended == replace(first, ended=ENDING)
    assert await grants.active(NOW_MS) == await grants.active(NOW_MS + 999) == [other]
    assert await grants.totals(NOW_MS) == {("tenant", "tenant:acme"): GRANT.amount_nanousd}
    assert await grants.totals(NOW_MS + 1000) == {}
    assert await grants.history() == [ended, other]
    assert [one.binds(NOW_MS) for one in (ended, other)] == [False, True]


@pytest.mark.parametrize(
    ("number", "ending", "said"),
    [
        (99, ENDING, "no grant number 99"),
        (2, replace(ENDING, ended_ms=NOW_MS + 1000), "number 2 is over already"),
        (2, replace(ENDING, reason=" "), "says why"),
        (2, replace(ENDING, ended_by=""), "who ended it"),
        (3, ENDING, "number 3 was ended before"),
    ],
)
async def test_what_cannot_be_ended_ends_nothing(ledger: Database, number: int, ending: Ending, said: str) -> None:
    """Not even those that are named beside it."""
    grants = Grants(ledger)
    await grants.append(replace(GRANT, until_ms=NOW_MS + 5000))
    await grants.append(GRANT)
    await grants.append(GRANT)
    await grants.end([3], ENDING)
    before = await grants.history()
    with pytest.raises(ValueError, match=said):
        await grants.end([1, number], ending)
    assert await grants.history() == before


async def test_two_who_end_one_at_once_end_it_once(ledger: Database) -> None:
    recorded = await Grants(ledger).append(GRANT)

    async def end(by: str) -> str | None:
        try:
            await Grants(ledger).end([recorded.id], replace(ENDING, ended_by=by))
        except ValueError as error:
            return str(error)
        return None

    said = await asyncio.gather(*(end(by) for by in ("ann", "bob", "cid")))
    assert sorted(one or "" for one in said) == ["", *["grant number 1 was ended before"] * 2]


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
