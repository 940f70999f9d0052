"""A fetch for others: who leads it, and what the others are told before they may lead."""

import asyncio

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import Ended, Flights
from proxy.core.errors import GatewayError, Reason
from proxy.gateway.cachelead import Leading

ANSWER = Stored(200, b"OK", [], b"body", Terms(0, 0, 1000), b"key")


class Leases:
    """Grants what it is told to, and writes down what it hears."""

    def __init__(self, told, grants):
        self.told, self.grants = told, grants

    async def renew(self, _key, _token, _ttl_ms):
        self.told.append("renew")

    async def release(self, _key, _token):
        self.told.append("release")


class Caches:
    """What ``Leading`` needs of a worker's caches."""

    def __init__(self, grants=True):
        self.told = []
        self.flights = Flights()
        self.leases = Leases(self.told, grants)
        self.shared = self
        self.tasks = []

    @staticmethod
    def token():
        return b"token"

    def besides(self, work):
        self.tasks.append(asyncio.ensure_future(work))

    async def look(self, _key, _lease, _token, _ttl_ms, _wanted):
        return None, self.leases.grants

    async def share(self, stored):
        await asyncio.sleep(0)
        self.told.append(("share", stored))

    async def mark(self, _key, _ttl_ms, *_why):
        await asyncio.sleep(0)
        self.told.append("mark")

    async def done(self):
        await asyncio.wait_for(asyncio.gather(*self.tasks), 5)


def leading(caches):
    return Leading(caches, b"key", caches.flights.begin(b"key"))


async def test_others_may_lead_once_they_can_see_the_answer():
    caches = Caches()
    one = leading(caches)
    await one.look(bool)
    assert not one.elsewhere
    one.landed(ANSWER)
    one.ends()
    await caches.done()
    assert caches.told == [("share", ANSWER), "release"]


async def test_what_cannot_be_stored_is_marked_before_others_may_lead():
    caches = Caches()
    one = leading(caches)
    await one.look(bool)
    one.landed(Ended.UNCACHEABLE)
    one.ends()
    await caches.done()
    assert caches.told == ["mark", "release"]


@pytest.mark.parametrize("outcome", [Ended.ABANDONED, Ended.FAILING, GatewayError(Reason.UPSTREAM_RESET)])
async def test_what_brought_nothing_lets_others_lead_at_once(outcome):
    caches = Caches()
    one = leading(caches)
    await one.look(bool)
    one.landed(outcome)
    one.ends()
    await caches.done()
    assert caches.told == ["release"]


async def test_where_another_worker_leads_nothing_is_released():
    caches = Caches(grants=False)
    one = leading(caches)
    await one.look(bool)
    assert one.elsewhere
    one.ends()
    await caches.done()
    assert caches.told == []


@pytest.mark.parametrize("grants", [None, False])
async def test_what_was_fetched_without_the_lease_is_shared_all_the_same(grants):
    """Nobody could tell who leads, or its holder took too long."""
    caches = Caches(grants=grants)
    one = leading(caches)
    await one.look(bool)
    one.landed(ANSWER)
    one.ends()
    await caches.done()
    assert caches.told == [("share", ANSWER)]


async def test_followers_hear_the_first_word():
    caches = Caches()
    one = leading(caches)
    flight = caches.flights.find(b"key")
    waiting = asyncio.create_task(flight.wait(5))
    await asyncio.sleep(0)
    one.landed(ANSWER)
    one.landed(Ended.ABANDONED)
    assert await waiting is ANSWER


@pytest.mark.parametrize(("outcome", "told"), [(ANSWER, ("share", ANSWER)), (Ended.UNCACHEABLE, "mark")])
async def test_others_hear_at_once_and_not_when_its_client_has_read_all(outcome, told):
    caches = Caches()
    one = leading(caches)
    await one.look(bool)
    one.landed(outcome)
    await caches.done()
    assert caches.told == [told, "release"]
    one.ends()
    await caches.done()
    assert caches.told == [told, "release"]
