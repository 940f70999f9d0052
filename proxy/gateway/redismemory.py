"""How much memory the Redis of the meters uses of what it may, and the cache's where it is another; and whether they
answer, which on a gateway that nobody asks no worker would notice. In the parent.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from proxy.core.clock import Clock
from proxy.core.storeurl import parse_store_url
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import STORE_ANSWERED, STORE_MEMORY, STORE_MEMORY_MAX, Metrics

LOOK_S: Final = 10.0
ANSWER_MS: Final = 2_000

_TOLD: Final = ((b"used_memory", STORE_MEMORY), (b"maxmemory", STORE_MEMORY_MAX))


def figures(info: bytes) -> dict[bytes, int]:
    """Of the reply to INFO memory, those that are whole numbers. Pure."""
    pairs = (line.partition(b":") for line in info.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdigit()}


def stores_of(policy: Policy, meters_url: str) -> dict[str, str]:
    """URLs by the word of the metric's label. ``meters_url``: where the embedded Redis is, if it is that. Pure."""
    stores = {"meters": meters_url}
    if policy.caches.url is not None:
        stores["cache"] = policy.caches.url
    return stores


async def watch_memory(stores: Iterable[tuple[str, str]], metrics: Metrics, clock: Clock) -> None:
    """Looks until it is cancelled. What does not answer keeps its last figures, and the time of its last answer.

    Of a cluster the node that holds the meters' slot is asked.
    """
    watched = [(name, Store(parse_store_url(url), ANSWER_MS)) for name, url in stores]
    answered = dict.fromkeys((name for name, _ in watched), 0.0)
    try:
        while True:
            for name, store in watched:
                found: dict[bytes, int] = {}
                with contextlib.suppress(StoreAway):
                    await store.command(b"PING")  # by itself: not every user of a Redis may ask for INFO
                    answered[name] = clock.now_ms() / 1000
                    found = figures(await store.command(b"INFO", b"memory"))
                metrics.set(STORE_ANSWERED, answered[name], name)
                for key, family in _TOLD:
                    if key in found:
                        metrics.set(family, found[key], name)
            await asyncio.sleep(LOOK_S)
    finally:
        for _, store in watched:
            await store.close()
