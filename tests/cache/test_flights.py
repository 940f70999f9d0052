"""One leads, the others wait for what it brings, and nobody waits for ever."""

import asyncio

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import MARK_MS, MARKS, Ended, Flights
from proxy.core.errors import GatewayError, Reason

ANSWER = Stored(200, b"OK", [], b"body", Terms(0, 0, 1000), b"key")


@pytest.mark.parametrize("outcome", [ANSWER, Ended.UNCACHEABLE, Ended.ABANDONED, GatewayError(Reason.UPSTREAM_RESET)])
async def test_every_follower_hears_the_outcome(outcome):
    flights = Flights()
    flight = flights.begin(b"key")
    followers = [asyncio.create_task(flight.wait(5)) for _ in range(50)]
    await asyncio.sleep(0)
    assert flight.followers == 50
    assert flights.find(b"key") is flight
    flights.land(flight, outcome)
    assert await asyncio.gather(*followers) == [outcome] * 50
    assert flights.find(b"key") is None
    assert flight.followers == 0


async def test_who_waits_too_long_goes_on_alone_and_disturbs_nobody():
    flights = Flights()
    flight = flights.begin(b"key")
    patient = asyncio.create_task(flight.wait(5))
    assert await flight.wait(0.01) is None
    gone = asyncio.create_task(flight.wait(5))
    await asyncio.sleep(0)
    gone.cancel()
    flights.land(flight, ANSWER)
    assert await patient is ANSWER


async def test_the_first_word_counts_and_a_new_flight_is_another():
    flights = Flights()
    first = flights.begin(b"key")
    flights.land(first, ANSWER)
    second = flights.begin(b"key")
    flights.land(first, Ended.ABANDONED)
    assert flights.find(b"key") is second
    assert first.future.result() is ANSWER


async def test_marks_end_and_are_bounded():
    flights = Flights()
    flights.mark(b"key", 0)
    assert flights.is_marked(b"key", MARK_MS - 1)
    assert not flights.is_marked(b"key", MARK_MS)
    assert not flights.is_marked(b"key", 0)  # forgotten, not only over
    for number in range(MARKS + 1):
        flights.mark(b"%d" % number, 0)
    assert not flights.is_marked(b"0", 1)
    assert flights.is_marked(b"1", 1)
    flights.unmark(b"1")
    assert not flights.is_marked(b"1", 1)


async def test_a_mark_does_not_hold_its_key():
    """Keys are as long as clients like."""
    flights = Flights()
    flights.mark(b"k" * 100_000, 0)
    assert all(isinstance(name, int) for name in flights._marks)
    assert flights.is_marked(b"k" * 100_000, 1)
