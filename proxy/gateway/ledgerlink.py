"""What a worker has to say to the background process, which alone speaks SQL; the parent passes it on."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proxy.gateway.control import AskLedger, BudgetRefused, IsolationViolated, LedgerHas, Message
from proxy.store.errors import Away, StoreAway

ANSWER_S: Final = 10.0
AGAIN_MS: Final = 60_000  # what goes on is told again: the process that was told may have died
MAX_TOLD: Final = 10_000

Say = Callable[[Message], Awaitable[None]]


class LedgerLink:
    """One worker's end. Before ``open`` it asks nobody."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[frozenset[bytes]]] = {}
        self._told: dict[tuple[str, ...], int] = {}  # what -> when (epoch ms)
        self._say: Say | None = None
        self._saying: set[asyncio.Task[None]] = set()

    def open(self, say: Say) -> None:
        self._say = say

    async def ask(self, ids: Sequence[bytes]) -> set[bytes]:
        """Which of these holds' records the ledger has. Raises: StoreAway when nobody answers in time."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            if self._say is None:
                raise StoreAway(Away.TIMEOUT, "nobody can ask the ledger yet")
            async with asyncio.timeout(ANSWER_S):
                await self._say(AskLedger(self._worker, number, tuple(ids)))
                return set(await answer)
        except TimeoutError as error:
            raise StoreAway(Away.TIMEOUT, "the ledger does not answer") from error
        finally:
            del self._asked[number]

    def heard(self, answer: LedgerHas) -> None:
        waiting = self._asked.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.ids)

    def refused(self, refusal: BudgetRefused, now_ms: int) -> None:
        """Told once in a while for each budget's period and tier, however often it refuses."""
        self._tell((refusal.charge.counter, refusal.spender.tier), refusal, now_ms)

    def violated(self, violation: IsolationViolated, now_ms: int) -> None:
        """Told once in a while for each route and tenant."""
        self._tell(("isolation", violation.route, violation.tenant), violation, now_ms)

    def _tell(self, key: tuple[str, ...], message: Message, now_ms: int) -> None:
        told = self._told.get(key)
        if self._say is None or (told is not None and now_ms - told < AGAIN_MS):
            return
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[key] = now_ms
        task = asyncio.ensure_future(self._say(message))
        self._saying.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(self._saying.discard)
