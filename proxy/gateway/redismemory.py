"""How much memory the Redis of the meters uses of what it may, and the cache's where it is another. In the parent."""

import asyncio
from collections.abc import Iterable
from typing import Final

from proxy.core.storeurl import parse_store_url
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import STORE_MEMORY, STORE_MEMORY_MAX, Metrics

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


async def watch_memory(stores: Iterable[tuple[str, str]], metrics: Metrics) -> None:
    """Looks until it is cancelled. What does not answer keeps its last figures: that it is away is told elsewhere.

    Of a cluster the node that holds the meters' slot is asked.
    """
    watched = [(name, Store(parse_store_url(url), ANSWER_MS)) for name, url in stores]
    try:
        while True:
            for name, store in watched:
                try:
                    found = figures(await store.command(b"INFO", b"memory"))
                except StoreAway:
                    continue
                for key, family in _TOLD:
                    if key in found:
                        metrics.set(family, found[key], name)
            await asyncio.sleep(LOOK_S)
    finally:
        for _, store in watched:
            await store.close()
