"""To rest until something happens, and no longer than so long."""

import asyncio


async def until(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, after ``seconds`` at the latest; at once for none."""
    if event.is_set():  # a busy lane's is: no timer for it
        return
    try:
        # Not wait_for: on 3.11 it swallows a cancellation that comes as it is woken.
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        pass
