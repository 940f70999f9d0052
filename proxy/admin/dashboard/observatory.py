"""Looks at the gateway for its dashboard: at the counts all the time, at money and the rest while somebody watches.

The counts are looked at every ten seconds while nobody watches, so that whoever comes finds the last quarter of an
hour: one pass over all series, 8 ms for ten thousand. Watched, it is every two seconds, and money is
asked for every ten, once for all who watch.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any, Final, Protocol

import orjson

from proxy import __version__
from proxy.admin.answers import Gateway
from proxy.admin.dashboard.boards import boards
from proxy.admin.dashboard.figures import figures
from proxy.admin.dashboard.history import History
from proxy.admin.dashboard.state import Parent, in_flight, state
from proxy.admin.errands import About, Answer, Errand
from proxy.core.clock import Clock
from proxy.store.waiting import until

log = logging.getLogger("sluicegate.admin")

TICK_S: Final = 2.0
UNWATCHED_S: Final = 10.0
MONEY_S: Final = 10.0
MOST_FAILURES: Final = 30


class Errander(Protocol):
    async def run(self, errand: Errand) -> Answer: ...


class Observatory:
    """Of one gateway. Within ``working`` it looks."""

    def __init__(self, gateway: Gateway, errands: Errander, clock: Clock, *, changes: bool) -> None:
        self._gateway = gateway
        self._errands = errands
        self._clock = clock
        self._changes = changes
        self._watching = 0
        self._watched = asyncio.Event()
        self._news = asyncio.Event()
        self.closed = False
        self.history = History()
        self.sections: dict[str, bytes] = {}  # JSON, by name

    @property
    def watching(self) -> int:
        """How many watch."""
        return self._watching

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """By one more, until it leaves."""
        self._watching += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watching -= 1
            if not self._watching:
                self._watched.clear()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._look_again(), name="dashboard counts"),
            asyncio.create_task(self._ask_again(), name="dashboard money"),
        ]
        for task in tasks:
            task.add_done_callback(_say_if_it_failed)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.closed = True
            self._tell()

    async def news(self) -> None:
        """Returns once there is something new to tell, or all is over."""
        if not self.closed:
            await self._news.wait()

    def look(self) -> None:
        """At everything that the parent itself knows."""
        gateway, policy, now_ms = self._gateway, self._gateway.policy, self._clock.now_ms()
        totals = gateway.exposition.totals()
        counted = figures(totals)
        self.history.look(now_ms, counted, in_flight(totals))
        if not self._watching:
            return
        window = self.history.window()
        parent = Parent(
            version=__version__,
            ready=gateway.ready,
            draining=gateway.draining,
            workers=len(gateway.worker_pids),
            ready_workers=gateway.ready_workers,
            reload_problems=gateway.problems,
            changes=self._changes,
        )
        told = state(parent, policy, totals, window, now_ms)
        self._keep("state", {**told, "window_s": round(window.span_ms / 1000)})
        for name, board in boards(policy, window, counted).items():
            self._keep(name, board)
        self._keep("failures", [asdict(one) for one in gateway.failures.newest(MOST_FAILURES)])
        self._tell()

    async def ask(self) -> None:
        """What the clerk says of money."""
        policy = self._gateway.policy
        if policy.ledger is None:
            self._keep("money", None)
            return
        status, body = await self._errands.run(Errand(policy, About.OVERVIEW, {}))
        self._keep("money", body if status == 200 else {"error": body.get("error", "")})
        self._tell()

    def _keep(self, name: str, content: Any) -> None:
        self.sections[name] = orjson.dumps(content)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _look_again(self) -> None:
        while True:
            self.look()
            if self._watching:
                await asyncio.sleep(TICK_S)
            else:
                await until(self._watched, UNWATCHED_S)

    async def _ask_again(self) -> None:
        while True:
            await self._watched.wait()
            await self.ask()
            await asyncio.sleep(MONEY_S)


def _say_if_it_failed(task: asyncio.Task[None]) -> None:
    """Nobody awaits it: without this a mistake of ours would leave a page that stands still, and no word of why."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the dashboard stands still", exc_info=error, extra={"fields": {"task": task.get_name()}})
