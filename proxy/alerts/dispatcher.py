"""Sends what has fired: each channel has a task of its own, so that one that is down delays only itself.

What is to be sent is in the ledger's database, and stays due until a receiver has taken it: at least once, whatever
dies in between. A gateway takes some for as long as it may need; if it dies, another takes them after that.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.alerts.answers import Answer, Verdict, later, next_ms
from proxy.core.clock import Clock
from proxy.core.delivery import Delivery
from proxy.store.waiting import until

ATTEMPT_S: Final = 10.0


class Queue(Protocol):
    """What is to be sent. Its errors are those that ``Dispatcher`` is told to wait out."""

    async def due(self, channel: str, now_ms: int, count: int, lease_ms: int) -> Sequence[Delivery]:
        """Takes them: for ``lease_ms`` nobody else gets these."""

    async def delivered(self, delivery: Delivery, now_ms: int) -> None: ...

    async def failed(self, delivery: Delivery, next_ms: int | None, error: str) -> None:
        """To be tried again at ``next_ms``; None: never."""

    async def oldest(self) -> dict[str, int]:
        """By channel, when the oldest that waits was made (epoch ms)."""


class Channel(Protocol):
    @property
    def name(self) -> str: ...

    async def send(self, delivery: Delivery) -> Answer:
        """One attempt, however it ends. May be cancelled."""


class Observer(Protocol):
    """Who wants to know. Called on the loop; must be quick and raise nothing."""

    def sent(self, channel: str, answer: Answer, seconds: float) -> None:
        """An attempt; ``seconds`` since the alert fired. ``answer.verdict`` is the metric's label."""

    def waiting(self, oldest_s: dict[str, float]) -> None:
        """How long the oldest of each channel has waited; a channel that is not in here has none."""

    def away(self, reason: str) -> None:
        """The database did not answer; it will be asked again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``poll_s``: between looks for what is to be repeated, or was fired by another gateway that could not send it."""

    at_once: int = 8
    poll_s: float = 2.0
    oldest_s: float = 15.0
    attempt_s: float = ATTEMPT_S
    lease_ms: int = 60_000


class Dispatcher:
    """``run`` until ``stop``. ``passing``: the queue's errors that pass."""

    def __init__(
        self,
        queue: Queue,
        channels: Sequence[Channel],
        clock: Clock,
        observer: Observer,
        *,
        passing: type[Exception],
        pace: Pace | None = None,
    ) -> None:
        self._queue = queue
        self._channels = _with_notices(channels)
        self._clock = clock
        self._observer = observer
        self._passing = passing
        self._pace = pace or Pace()
        self._stopping = asyncio.Event()
        self._turn_over = asyncio.Event()  # of these channels

    def wake(self) -> None:
        """Something has fired."""
        for _, notice in self._channels:
            notice.set()

    def use(self, channels: Sequence[Channel]) -> None:
        """Those of another policy, once the attempts under way have ended."""
        self._end_turn()
        self._channels = _with_notices(channels)

    def stop(self) -> None:
        """``run`` returns after the attempts under way."""
        self._stopping.set()
        self._end_turn()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as whole:
            whole.create_task(self._watch_oldest(), name="alerts-oldest")
            while not self._stopping.is_set():
                self._turn_over.clear()
                async with asyncio.TaskGroup() as group:
                    for channel, notice in self._channels:
                        group.create_task(self._serve(channel, notice), name=f"alerts-{channel.name}")
                    await self._turn_over.wait()

    def _end_turn(self) -> None:
        self._turn_over.set()
        self.wake()

    async def _serve(self, channel: Channel, notice: asyncio.Event) -> None:
        pace = self._pace
        while not self._turn_over.is_set():
            notice.clear()
            try:
                batch = await self._queue.due(channel.name, self._clock.now_ms(), pace.at_once, pace.lease_ms)
                await self._attempt_all(channel, batch)
            except self._passing as error:
                self._observer.away(type(error).__name__)
                await until(self._turn_over, pace.poll_s)
                continue
            except Exception as error:  # noqa: BLE001 - what was taken comes back by itself, and others go on
                _report(f"sending to {channel.name} failed", error)
                await until(self._turn_over, pace.poll_s)
                continue
            if len(batch) < pace.at_once:
                await until(notice, pace.poll_s)

    async def _attempt_all(self, channel: Channel, batch: Sequence[Delivery]) -> None:
        """Raises the first error, once all have ended."""
        attempts = (self._attempt(channel, delivery) for delivery in batch)
        for error in await asyncio.gather(*attempts, return_exceptions=True):
            if error is not None:
                raise error

    async def _attempt(self, channel: Channel, delivery: Delivery) -> None:
        answer = await self._send(channel, delivery)
        now_ms = self._clock.now_ms()
        self._observer.sent(channel.name, answer, max(0, now_ms - delivery.created_ms) / 1000)
        if answer.verdict is Verdict.DELIVERED:
            await self._queue.delivered(delivery, now_ms)
            return
        chance = random.random()  # noqa: S311 - no secret
        again_ms = next_ms(answer, delivery.attempts, delivery.created_ms, now_ms, chance)
        await self._queue.failed(delivery, again_ms, answer.error)

    async def _send(self, channel: Channel, delivery: Delivery) -> Answer:
        try:
            async with asyncio.timeout(self._pace.attempt_s):
                return await channel.send(delivery)
        except TimeoutError:
            return later("timeout")
        except Exception as error:  # noqa: BLE001 - a library's surprise on one channel must not end the others
            _report(f"the channel {channel.name} failed", error)
            return later(type(error).__name__)

    async def _watch_oldest(self) -> None:
        while not self._stopping.is_set():
            try:
                oldest = await self._queue.oldest()
            except self._passing as error:
                self._observer.away(type(error).__name__)
            else:
                now_ms = self._clock.now_ms()
                self._observer.waiting({name: max(0, now_ms - ms) / 1000 for name, ms in oldest.items()})
            await until(self._stopping, self._pace.oldest_s)


def _with_notices(channels: Sequence[Channel]) -> list[tuple[Channel, asyncio.Event]]:
    return [(channel, asyncio.Event()) for channel in channels]


def _report(message: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
