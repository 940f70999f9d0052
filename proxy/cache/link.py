"""The cache's way to Redis: bounded in time and number, and closed while Redis is away.

A cache that cannot be asked is a miss and never an error: every call ends within its timeout with AWAY instead of a
reply, and after the first that timed out all others do at once, until a probe has been answered.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from proxy.core.clock import Clock
from proxy.core.storeurl import StoreUrl
from proxy.store.breaker import Breaker
from proxy.store.errors import Away, StoreAway
from proxy.store.plain import PlainClient
from proxy.store.scripts import Script

MOST_AT_ONCE: Final = 32  # calls, and so connections

_GONE: Final = (BusyLoadingError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)


class Absent(Enum):
    """Instead of a reply."""

    AWAY = "away"


AWAY: Final = Absent.AWAY


class Link:
    """To one store. Of one event loop. Opens connections as they are needed."""

    def __init__(
        self,
        url: StoreUrl,
        clock: Clock,
        timeout_ms: int,
        on_change: Callable[[StoreAway | None], None] | None = None,
    ) -> None:
        """``on_change`` hears why nothing is asked any more, and None when it is again."""
        self.url = url
        self.refused = 0  # calls that Redis answered with an error: out of memory, say
        self.unanswered = 0  # calls that it did not answer, or not in time
        # One retry, for a connection that was closed as it rested. redis-py may swallow a cancellation that comes as
        # a call begins: then its own timeout is what ends the call.
        self._plain = PlainClient(url, timeout_ms / 1000, retries=1)
        self._monotonic_ms = clock.monotonic_ms
        self._timeout_s = timeout_ms / 1000
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._breaker = Breaker(on_change)
        self._probing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether calls are sent at all."""
        return self._breaker.closed

    async def call(self, *parts: Any, **options: Any) -> Any:
        """The reply to a command, or AWAY."""
        if not self._breaker.closed:
            return AWAY
        return await self._bounded(parts, options)

    async def run(self, script: Script, keys: tuple[bytes, ...], *args: Any) -> Any:
        """The script's reply, or AWAY. All keys have one hash tag."""
        if not self._breaker.closed:
            return AWAY
        call = (len(keys), *keys, *args)
        return await self._bounded(("EVALSHA", script.sha1, *call), {}, ("EVAL", script.source, *call))

    async def close(self) -> None:
        """Closes every connection."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._plain.close()

    async def _bounded(self, parts: Any, options: dict[str, Any], whole: Any = None) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                if not self._breaker.closed:  # it has opened while this call waited
                    return AWAY
                try:
                    reply = await self._plain.client.execute_command(*parts, **options)
                except NoScriptError:
                    if whole is None:
                        raise
                    reply = await self._plain.client.execute_command(*whole)
        except (TimeoutError, RedisTimeoutError):
            self._failed(Away.TIMEOUT, final=True)
        except _GONE:
            self._failed(Away.REFUSED, final=False)
        except ResponseError:
            self.refused += 1
        except (RedisError, OSError, asyncio.IncompleteReadError):
            self._failed(Away.UNREACHABLE, final=False)
        else:
            self._breaker.succeeded()
            return reply
        return AWAY

    def _failed(self, why: Away, *, final: bool) -> None:
        self.unanswered += 1
        self._breaker.failed(self._monotonic_ms(), StoreAway(why, f"no answer from {self.url}"), final=final)
        if not self._breaker.closed and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe(), name="cache probe")

    async def _probe(self) -> None:
        while not self._breaker.closed:
            await asyncio.sleep((self._breaker.probe_in_ms(self._monotonic_ms()) or 0.0) / 1000)
            if not self._breaker.may_probe(self._monotonic_ms()):
                continue
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._plain.client.execute_command("PING")
            except Exception:  # noqa: BLE001 - without this task nothing would be asked any more
                self._breaker.probed(self._monotonic_ms(), answered=False)
            else:
                self._breaker.probed(self._monotonic_ms(), answered=True)
