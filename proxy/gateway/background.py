"""The background process: what speaks SQL or need not be near a request. Run as ``-m proxy.gateway.background``.

It moves records into the ledger, rebuilds budgets, tells grants, sends alerts, and answers what workers ask of the
ledger. It may die at any time: everything that it does is done again by its successor, or by another gateway's.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from proxy.core.clock import Clock, SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.gateway.bookkeeping import Bookkeeping
from proxy.gateway.control import (
    Applied,
    Apply,
    AskLedger,
    BudgetRefused,
    Channel,
    Drain,
    Granted,
    IsolationViolated,
    LedgerHas,
    Message,
    Opened,
    Ping,
    Pong,
    Ready,
    Start,
)
from proxy.sentry.witness import Witness
from proxy.store.client import Store
from proxy.store.plain import PlainClient
from proxy.telemetry.log import configure
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles

log = logging.getLogger("sluicegate.background")

STREAM_S: Final = 5.0  # for an answer of the outbox; its blocking reads are shorter


class Background:
    """Everything that this process owns."""

    def __init__(self, channel: Channel, metrics: Metrics, clock: Clock) -> None:
        self._channel = channel
        self._metrics = metrics
        self._clock = clock
        self._answers: set[asyncio.Task[None]] = set()
        self.witness = Witness("background", metrics)

    async def run(self) -> None:
        start = await self._channel.receive()
        if not isinstance(start, Start):
            return  # the parent has gone
        self.witness.follow(start.policy)
        url = parse_store_url(start.redis_url)
        store = Store(url, start.policy.redis.timeout_ms)
        streams = PlainClient(url, STREAM_S)
        name = f"{start.pseudonym}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            books = Bookkeeping(start.policy, store, streams.client, name, self._metrics, self._clock, self._granted)
        except ValueError as error:  # to start again would not help: ops have to mend the policy and restart
            log.critical("the ledger cannot be used: budgets stay closed", extra={"fields": {"error": str(error)}})
            await self._do_nothing()
            return
        try:
            async with books:
                await self._say(Ready())
                self._answer(self._say_opened(books))
                await self._obey(books)
        finally:
            await store.close()
            await streams.close()

    async def _do_nothing(self) -> None:
        await self._say(Ready())
        while (message := await self._channel.receive()) is not None and not isinstance(message, Drain):
            if isinstance(message, Ping):
                await self._say(Pong())

    async def _obey(self, books: Bookkeeping) -> None:
        while True:
            match await self._channel.receive():
                case Apply(policy):
                    self.witness.follow(policy)
                    books.apply(policy)
                    await self._say(Applied(policy.version))
                case Ping():
                    await self._say(Pong())
                case AskLedger() as question:
                    self._answer(self._look_up(books, question))
                case BudgetRefused(charge, spender):
                    books.refused(charge, spender)
                case IsolationViolated(route, tenant):
                    books.violated(route, tenant)
                case Drain(deadline_ms):
                    await books.finish(deadline_ms / 1000)
                    return
                case None:
                    return
                case _:
                    continue

    async def _say_opened(self, books: Bookkeeping) -> None:
        await books.open()
        await self._say(Opened())

    def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _look_up(self, books: Bookkeeping, question: AskLedger) -> None:
        found = await books.has(question.ids)
        if found is not None:
            await self._say(LedgerHas(question.worker, question.number, frozenset(found)))

    async def _granted(self, granted: Granted) -> None:
        await self._say(granted)

    async def _say(self, message: Message) -> None:
        with contextlib.suppress(ConnectionError):  # the parent has gone: the next word received says so
            await self._channel.send(message)


async def _run(control_fd: int, names_fd: int, values_fd: int) -> None:
    channel = await Channel.over(socket.socket(fileno=control_fd))
    background = Background(channel, Metrics(Sheet(SheetFiles(names_fd, values_fd))), SystemClock())
    with background.witness.witnessing():
        await background.run()


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent hears them, and says what to do
    configure(json_lines=os.environ.get("SLUICEGATE_LOG", "json") == "json")
    uvloop.run(_run(*map(int, sys.argv[1:4])))


if __name__ == "__main__":
    main()
