"""Who buys an answer that several want: one at a time, and whoever waits has heard of what was bought meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import Flights
from proxy.cache.memory import Memory
from proxy.cache.shared import Found
from proxy.gateway.caches import Caches
from proxy.gateway.callturn import Turn

NOW_MS = 100_000
STALE = Stored(200, b"OK", [], b"old", Terms(0, 0, NOW_MS), b"key")
FRESH = Stored(200, b"OK", [], b"new", Terms(NOW_MS, 0, NOW_MS), b"key")


class Worker:
    """What a turn needs of a worker's caches: Redis says in turn what ``replies`` holds, the last for ever."""

    def __init__(self, *replies: tuple[Found | None, bool | None]) -> None:
        self.memory = Memory(1 << 20, tenant_share=1, largest=1 << 10)
        self.flights = Flights()
        self.replies = list(replies)
        self.told: list[Any] = []
        self.tasks: list[asyncio.Future[None]] = []
        self.clock = SimpleNamespace(now_ms=lambda: NOW_MS)
        self.shared = self.leases = self

    adopt: Any = Caches.adopt
    keep: Any = Caches.keep

    @staticmethod
    def token() -> bytes:
        return b"token"

    async def look(self, *_: Any) -> tuple[Found | None, bool | None]:
        self.told.append("look")
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    async def get(self, _key: bytes) -> Found | None:
        self.told.append("get")
        return self.replies[0][0]

    def besides(self, work: Any) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def release(self, *_: Any) -> None:
        self.told.append("release")

    async def share(self, stored: Stored) -> None:
        self.told.append(stored)

    async def mark(self, *_: Any) -> None:
        self.told.append("mark")

    async def done(self) -> list[Any]:
        await asyncio.wait_for(asyncio.gather(*self.tasks), 5)
        return self.told

    def turn(self, wait_ms: int = 5_000) -> Turn:
        valid = Terms.age_ms
        return Turn(self, b"key", None, wait_ms, lambda stored: valid(stored.terms, NOW_MS) < stored.terms.lifetime_ms)  # type: ignore[arg-type]


async def test_what_is_no_longer_good_here_is_looked_for_in_redis() -> None:
    """Another worker may have bought it again; what is found is kept here from then on."""
    worker = Worker((Found((FRESH,)), True))
    worker.keep(None, STALE, 0)
    turn = worker.turn()
    assert await turn.waited() is FRESH
    assert not turn.followed
    held = worker.memory.get(b"key")
    assert held is not None
    assert held.variants == [FRESH]
    assert await worker.done() == ["look", "release"]


async def test_while_another_worker_buys_it_is_waited_for() -> None:
    """And its own followers get that, too."""
    worker = Worker((None, False), (Found((STALE,)), False), (Found((FRESH,)), False))
    found = await asyncio.gather(*(worker.turn().waited() for _ in range(2)))
    assert found == [FRESH] * 2
    assert await worker.done() == ["look"] * 3


async def test_whoever_has_the_turn_may_give_it_on() -> None:
    worker = Worker((None, True))
    first, second = worker.turn(), worker.turn()
    assert await first.waited() is None
    waiting = asyncio.create_task(second.waited())
    await asyncio.sleep(0)
    first.ends()
    assert await waiting is None
    second.bought(FRESH)
    second.ends()
    assert await worker.done() == ["look", "release", "look", FRESH, "release"]


@pytest.mark.parametrize("how", ["failed", "unfit"])
async def test_what_came_to_nothing_frees_all_who_wait(how: str) -> None:
    """They buy side by side; of what is not stored, for a while the next ones too."""
    worker = Worker((None, True))
    first = worker.turn()
    await first.waited()
    others = [worker.turn() for _ in range(3)]
    waiting = [asyncio.create_task(other.waited()) for other in others]
    await asyncio.sleep(0)
    getattr(first, how)(*(["status"] if how == "unfit" else []))
    first.ends()
    assert await asyncio.gather(*waiting) == [None] * 3
    assert len(worker.flights) == 0
    for other in others:
        other.ends()
    assert (await worker.done()).count("mark") == (how == "unfit")
    later = worker.turn()
    assert await later.waited() is None
    assert len(worker.flights) == (how == "failed")


async def test_nobody_waits_longer_than_it_may() -> None:
    worker = Worker((None, False))
    assert await asyncio.gather(*(worker.turn(50).waited() for _ in range(2))) == [None, None]


async def test_who_leaves_while_it_waits_for_another_worker_gives_its_turn_on() -> None:
    worker = Worker((None, False))
    waiting = asyncio.create_task(worker.turn().waited())
    await asyncio.sleep(0)
    assert len(worker.flights) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(worker.flights) == 0
