"""A rest ends with its event, its time or its task."""

import asyncio

import pytest

from proxy.store.waiting import until


async def test_it_ends_with_the_event() -> None:
    event = asyncio.Event()
    resting = asyncio.create_task(until(event, 60))
    await asyncio.sleep(0)
    event.set()
    await asyncio.wait_for(resting, 5)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.01])
async def test_it_ends_with_its_time(seconds: float) -> None:
    await asyncio.wait_for(until(asyncio.Event(), seconds), 5)


async def test_a_cancellation_that_comes_as_it_is_woken_is_heard() -> None:
    """Else whoever cancels a task at the end of a process would wait for it in vain."""
    event = asyncio.Event()
    resting = asyncio.create_task(until(event, 60))
    await asyncio.sleep(0)
    event.set()
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resting


async def test_what_has_happened_already_is_not_waited_for() -> None:
    event = asyncio.Event()
    event.set()
    await asyncio.wait_for(until(event, 60), 5)
