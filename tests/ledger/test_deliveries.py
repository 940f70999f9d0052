"""What fires is marked and to be told in one step, is told at least once, and by one gateway at a time."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from proxy.core.delivery import Delivery
from proxy.ledger.database import Database, connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import LedgerRefused
from proxy.ledger.schema import alert_markers, deliveries
from tests.ledger.samples import NOW_MS, a_firing

LEASE_MS = 1_000
TWO = (("ops", ""), ("mail", "a@acme.example"), ("mail", "b@acme.example"))


async def rows(ledger: Database) -> list[Any]:
    async with ledger.reading() as connection:
        return list((await connection.execute(select(deliveries).order_by(deliveries.c.recipient))).all())


async def test_of_fifty_at_once_one_fires(ledger: Database) -> None:
    """From two gateways, each delivery is there once."""
    other = connect(ledger.url)
    both = Deliveries(ledger), Deliveries(other)
    fired = await asyncio.gather(*(both[n % 2].fire([a_firing(posts=TWO)], NOW_MS) for n in range(50)))
    assert sorted(map(len, fired)) == [0] * 49 + [1]
    assert [(row.channel, row.recipient) for row in await rows(ledger)] == list(TWO)
    await other.close()


async def test_several_fire_together_each_for_itself(ledger: Database) -> None:
    first, second = a_firing("one"), a_firing("two", threshold=95)
    assert await Deliveries(ledger).fire([first], NOW_MS) == {"one"}
    assert await Deliveries(ledger).fire([first, second, second], NOW_MS) == {"two"}
    assert await Deliveries(ledger).fire([first, second], NOW_MS) == set()
    assert await Deliveries(ledger).fire([], NOW_MS) == set()


async def test_a_marker_without_its_deliveries_cannot_be(ledger: Database) -> None:
    """What the database refuses half-way leaves no marker behind: the alert would never fire."""
    broken: Any = a_firing("broken", posts=(("ops", None),))
    with pytest.raises(LedgerRefused):
        await Deliveries(ledger).fire([a_firing("good", threshold=95), broken], NOW_MS)
    async with ledger.reading() as connection:
        assert (await connection.execute(select(alert_markers))).all() == []
    assert await rows(ledger) == []


async def test_a_gateway_takes_what_is_due_and_no_other_gets_it(ledger: Database) -> None:
    other = connect(ledger.url)
    await Deliveries(ledger).fire([a_firing(str(n), threshold=n) for n in range(20)], NOW_MS)
    asked = [Deliveries((ledger, other)[n % 2]).due("ops", NOW_MS, 3, LEASE_MS) for n in range(8)]
    taken = [one.id for batch in await asyncio.gather(*asked) for one in batch]
    assert sorted(taken, key=int) == [str(n) for n in range(20)]
    await other.close()


async def test_a_lease_that_ends_gives_it_back(ledger: Database) -> None:
    """Whoever took it died; the next one knows that it is not the first."""
    queue = Deliveries(ledger)
    await queue.fire([a_firing()], NOW_MS)
    assert await queue.due("ops", NOW_MS, 9, LEASE_MS) == [
        Delivery("alert-1", "ops", "", '{"type":"cost_alert"}', 1, NOW_MS)
    ]
    assert await queue.due("ops", NOW_MS + LEASE_MS - 1, 9, LEASE_MS) == []
    assert [one.attempts for one in await queue.due("ops", NOW_MS + LEASE_MS, 9, LEASE_MS)] == [2]


async def test_a_channel_gets_its_own(ledger: Database) -> None:
    await Deliveries(ledger).fire([a_firing(posts=TWO)], NOW_MS)
    taken = await Deliveries(ledger).due("mail", NOW_MS, 9, LEASE_MS)
    assert {one.recipient for one in taken} == {"a@acme.example", "b@acme.example"}
    assert [one.channel for one in await Deliveries(ledger).due("ops", NOW_MS, 9, LEASE_MS)] == ["ops"]


async def test_what_was_delivered_is_never_due_again(ledger: Database) -> None:
    """Also where a second gateway, whose lease had ended, comes back to say that it failed."""
    queue = Deliveries(ledger)
    await queue.fire([a_firing(posts=TWO)], NOW_MS)
    one, other = await queue.due("mail", NOW_MS, 9, LEASE_MS)
    await queue.delivered(one, NOW_MS + 5)
    await queue.failed(one, NOW_MS, "HTTP 500")
    assert await queue.due("mail", NOW_MS + LEASE_MS - 1, 9, LEASE_MS) == []
    assert [again.recipient for again in await queue.due("mail", NOW_MS + LEASE_MS, 9, LEASE_MS)] == [other.recipient]
    kept = {row.recipient: (row.delivered_at, row.last_error) for row in await rows(ledger)}
    assert kept[one.recipient] == (NOW_MS + 5, None)


async def test_what_failed_is_due_when_it_was_said(ledger: Database) -> None:
    queue = Deliveries(ledger)
    await queue.fire([a_firing()], NOW_MS)
    (taken,) = await queue.due("ops", NOW_MS, 9, LEASE_MS)
    await queue.failed(taken, NOW_MS + 50, "HTTP 503")
    assert await queue.due("ops", NOW_MS + 49, 9, LEASE_MS) == []
    assert await queue.oldest() == {"ops": NOW_MS}
    (again,) = await queue.due("ops", NOW_MS + 50, 9, LEASE_MS)
    await queue.failed(again, None, "HTTP 404")
    assert await queue.due("ops", NOW_MS + 10**9, 9, LEASE_MS) == []
    assert await queue.oldest() == {}
    assert [(row.last_error, row.delivered_at) for row in await rows(ledger)] == [("HTTP 404", None)]


async def test_recent_alerts_are_told_once_each_with_what_came_of_their_posts(ledger: Database) -> None:
    """For whoever looks at the dashboard: latest first, and no recipient's address."""
    deliveries = Deliveries(ledger)
    await deliveries.fire([a_firing("early", payload='{"n":1}')], NOW_MS)
    await deliveries.fire(
        [a_firing("late", period="2026-12", posts=(("ops", ""), ("mail", "a@b.example")))], NOW_MS + 9
    )
    (first,) = await deliveries.due("mail", NOW_MS + 9, 1, 1000)
    await deliveries.delivered(first, NOW_MS + 10)
    assert await deliveries.recent(5) == [
        ('{"type":"cost_alert"}', NOW_MS + 9, 2, 1, 1),
        ('{"n":1}', NOW_MS, 1, 0, 1),
    ]
    assert len(await deliveries.recent(1)) == 1
