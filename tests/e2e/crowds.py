"""Many clients at once, and in which worker each of them sits."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from time import monotonic

from tests.e2e.gateway import Answer, Client, Gateway, reached


@contextlib.asynccontextmanager
async def crowd(size: int, *gateways: Gateway) -> AsyncIterator[list[Client]]:
    """So many connections, spread over the gateways in turn."""
    clients = list(await asyncio.gather(*(Client.connect(gateways[i % len(gateways)]) for i in range(size))))
    try:
        yield clients
    finally:
        for client in clients:
            client.writer.close()
        await asyncio.gather(*(client.writer.wait_closed() for client in clients), return_exceptions=True)


async def ask(clients: Sequence[Client], data: bytes) -> None:
    for client in clients:
        client.writer.write(data)
    await asyncio.gather(*(client.writer.drain() for client in clients))


async def answers(clients: Sequence[Client], within_s: float = 15.0) -> list[Answer]:
    return list(await asyncio.gather(*(client.answer(within_s=within_s) for client in clients)))


async def in_flight(gateway: Gateway, count: int) -> None:
    """So many requests have come to its workers and wait."""
    await reached(lambda: gateway.metric("sluicegate_requests_in_flight") == count)


def hears_purges(gateway: Gateway) -> bool:
    """Whether all its workers do: what one has fetched before it did is not reused."""
    return gateway.metric("sluicegate_cache_workers_current") == len(gateway.worker_pids())


async def agreed(clients: Sequence[Client], unasked: Callable[[int], bytes], within_s: float = 20.0) -> None:
    """Until each of their workers gives what another has fetched: it hears of purges, and reaches the cache's Redis.

    One that has just been started, or got no CPU for a while, does not at first. ``unasked``: requests of fresh answers
    that nobody has asked for yet.
    """
    left = set(clients)
    async with asyncio.timeout(within_s):
        for number in itertools.count():
            for turn, client in enumerate(clients if number % 2 else reversed(clients)):
                await client.send(unasked(number))
                answer = await client.answer()
                if turn and "; hit" in (answer.get("Cache-Status") or ""):
                    left.discard(client)
            if not left:
                return


async def timed(client: Client, within_s: float = 15.0) -> tuple[Answer, float]:
    """The answer, and when it had come (monotonic seconds)."""
    answer = await client.answer(within_s=within_s)
    return answer, monotonic()


def workers_of(gateway: Gateway, clients: Sequence[Client]) -> list[int]:
    """The worker's pid that has accepted each connection; 0 where none has yet."""
    port, inodes = gateway.port, {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *rest = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            inodes[f"socket:[{rest[6]}]"] = int(remote.rpartition(":")[2], 16)
    found: dict[int, int] = {}
    for pid in gateway.worker_pids():
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed as we look
                if remote_port := inodes.get(str(handle.readlink())):
                    found[remote_port] = pid
    return [found.get(client.writer.get_extra_info("sockname")[1], 0) for client in clients]


async def one_of_each(gateway: Gateway, clients: Sequence[Client]) -> dict[int, Client]:
    """By pid, a client of every worker that has any."""
    await reached(lambda: all(workers_of(gateway, clients)))
    return dict(zip(workers_of(gateway, clients), clients, strict=True))
