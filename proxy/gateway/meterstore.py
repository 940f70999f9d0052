"""The meters' Redis as the parent sees it: its own, kept alive, or the policy's, whose settings it looks at once."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from proxy.core.storeurl import parse_store_url
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.embedded import EmbeddedRedis, Turn
from proxy.store.errors import StoreAway
from proxy.store.settings import check_settings

log = logging.getLogger("sluicegate")

SETTINGS_TIMEOUT_MS: Final = 2_000
SETTINGS_AGAIN_S: Final = 2.0


@contextlib.asynccontextmanager
async def meters_redis(policy: Policy) -> AsyncIterator[str]:
    """The URL of the meters' Redis, its own or the policy's."""
    if policy.redis.meters != "embedded":
        yield policy.redis.meters
        return
    server = EmbeddedRedis(Path(policy.data_dir))
    await server.start()
    watch = asyncio.create_task(server.watch(_log_turn))
    try:
        yield server.url
    finally:
        watch.cancel()
        await server.stop()


async def warn_of_settings(policy: Policy, redis_url: str) -> None:
    """Says once what is wrong with a Redis that is not ours, as soon as it answers."""
    if policy.redis.meters == "embedded":
        return
    store = Store(parse_store_url(redis_url), SETTINGS_TIMEOUT_MS)
    told = False
    try:
        while True:
            try:
                for warning in await check_settings(store):
                    log.warning(warning)
                return
            except StoreAway as away:
                if not told:
                    log.warning("redis.meters: does not answer", extra={"fields": {"reason": away.reason.value}})
                told = True
            await asyncio.sleep(SETTINGS_AGAIN_S)
    finally:
        await store.close()


def _log_turn(turn: Turn, fields: dict[str, object]) -> None:
    level = logging.INFO if turn is Turn.STARTED else logging.ERROR
    log.log(level, "the embedded Redis %s", turn.value, extra={"fields": fields})
