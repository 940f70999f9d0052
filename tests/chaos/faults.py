"""What happens to the Redis that holds the meters: how it stands, what harms it, and what follows.

A fault returns when it is over: when a Redis that can count is there again.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.chaos.promises import GREEDY_LIMIT, GREEDY_SHARE
from tests.store.servers import BINARIES, Cluster, SentinelSet, Server, cluster, sentinels, server

BINARY: Final = BINARIES[min(BINARIES)]
APPEND_ONLY: Final = ("--appendonly", "yes")  # as Redis' documentation asks of one that holds meters
PROMOTED_S: Final = 20.0


class Redis(Protocol):
    """However many processes it is made of."""

    @property
    def url(self) -> str: ...


def alone() -> AbstractContextManager[Server]:
    return server(BINARY, *APPEND_ONLY)


def watched() -> AbstractContextManager[SentinelSet]:
    """A primary, its replica, three sentinels."""
    return sentinels(BINARY, *APPEND_ONLY, count=3)


def clustered() -> AbstractContextManager[Cluster]:
    """Three primaries, and a replica of the one that owns the meters."""
    return cluster(BINARY, *APPEND_ONLY, replica=True)


async def stop(redis: Server, seconds: float) -> None:
    """It accepts and never answers: the worst case."""
    redis.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        redis.signal(signal.SIGCONT)


async def kill(redis: Server, seconds: float) -> None:
    """Ended by SIGKILL, and started again on its append-only file."""
    await asyncio.to_thread(redis.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(redis.start)


async def reset(redis: Server, seconds: float) -> None:
    """Every connection is closed, ten times a second."""
    until_s = time.monotonic() + seconds
    with redis.client as client:
        while time.monotonic() < until_s:
            await asyncio.to_thread(client.client_kill_filter, _type="normal", skipme=True)
            await asyncio.sleep(0.1)


async def flush(redis: Server, _seconds: float) -> None:
    """Everything is forgotten, scripts too."""
    with redis.client as client:
        await asyncio.to_thread(client.flushall)
        await asyncio.to_thread(client.script_flush)


async def failover(redis: SentinelSet, _seconds: float) -> None:
    """The primary is ended by SIGKILL; the sentinels find out and promote its replica."""
    primary, replica = redis.nodes
    await asyncio.to_thread(primary.kill)
    await promoted(replica)


async def handover(redis: SentinelSet, _seconds: float) -> None:
    """SENTINEL FAILOVER: the replica is promoted, and for ten seconds more the old primary takes writes too."""
    await asyncio.to_thread(redis.failover)
    await promoted(redis.nodes[1])


async def owner(redis: Cluster, _seconds: float) -> None:
    """The cluster's owner of the meters' slot is ended by SIGKILL; its replica takes the slot over."""
    assert redis.replica is not None
    await asyncio.to_thread(redis.owner.kill)
    await promoted(redis.replica)


async def promoted(replica: Server) -> None:
    async with asyncio.timeout(PROMOTED_S):
        while not await asyncio.to_thread(replica.is_primary):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


# --- and what follows: each returns when the old node was last asked to decide, monotonic seconds; 0: never ---


async def old_primary_stays(redis: SentinelSet) -> float:
    return await asked_until(redis.nodes[0])


async def old_primary_returns(redis: SentinelSet) -> float:
    """As a primary that nobody named, until the sentinels make it a replica."""
    await asyncio.to_thread(redis.nodes[0].start)
    return await asked_until(redis.nodes[0])


async def old_owner_returns(redis: Cluster) -> float:
    await asyncio.to_thread(redis.owner.start)
    return await asked_until(redis.owner)


async def asked_until(old: Server) -> float:
    """For as long as it takes itself for a primary."""
    last_s, before = 0.0, await asyncio.to_thread(decisions, old)
    async with asyncio.timeout(PROMOTED_S):
        while await asyncio.to_thread(old.is_primary):
            await asyncio.sleep(0.1)
            now = await asyncio.to_thread(decisions, old)
            if now != before:
                last_s, before = time.monotonic(), now
    return last_s


def decisions(node: Server) -> int:
    """Scripts that it was asked to run since it started."""
    with node.client as client:
        told = client.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


async def nothing(_redis: Any) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    harm: Callable[[Any, float], Awaitable[None]]
    redis: Callable[[], AbstractContextManager[Any]] = alone
    after: Callable[[Any], Awaitable[float]] = nothing  # once the gateway has recovered
    forgets_s: float = 0.0  # acknowledged takes of so many seconds may be lost with the node that had them
    forgets_all: bool = False
    outage: bool = True  # there is a time without any Redis that counts

    @property
    def says(self) -> str:
        return (self.harm.__doc__ or "").strip()

    def added_limit(self, rate: float) -> int:
        """How many takes of a greedy user may count once more: what it can have asked for in the time that is lost."""
        return GREEDY_LIMIT if self.forgets_all else min(GREEDY_LIMIT, round(self.forgets_s * rate * GREEDY_SHARE))


FAULTS: Final[dict[str, Fault]] = {
    "stop": Fault(stop),
    "kill": Fault(kill),
    "reset": Fault(reset),
    "flush": Fault(flush, forgets_all=True, outage=False),
    # Replication is asynchronous: what the primary had answered for in its last moment may not have left it.
    "failover": Fault(failover, watched, old_primary_returns, forgets_s=1.0),
    # All that the old primary still took: until the sentinels agree, a second or so, and a worker asks, another.
    "handover": Fault(handover, watched, old_primary_stays, forgets_s=2.5, outage=False),
    "owner": Fault(owner, clustered, old_owner_returns, forgets_s=1.0),
}


@contextlib.contextmanager
def standing(fault: str | None) -> Iterator[Redis]:
    """A Redis that this fault can happen to."""
    with (FAULTS[fault].redis if fault is not None else alone)() as redis:
        yield redis
