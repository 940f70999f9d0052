"""The Redis stream between settlement and ledger, as those see it who empty it.

A group shares entries out among gateways; what one took and did not finish others claim once it has rested. An entry is
deleted, then acknowledged, and only after its row is committed: in this order nothing is ever out of the group's sight
while it is in the stream. What a group has lost all the same (a Redis that came back older, a consumer that somebody
removed) is found by looking at the stream's beginning, where nothing stays for long.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Final, Protocol

from redis.exceptions import ResponseError

from proxy.ledger.rows import Arrival, arrival

STREAM: Final = b"{m0}outbox"
GROUP: Final = b"ledger"


class Client(Protocol):
    """``redis.asyncio.Redis`` or ``RedisCluster``, not decoding, with a socket timeout above ``block_ms``."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...


class Outbox:
    """One consumer. Raises redis-py's own errors; a stream or group that is missing is made."""

    def __init__(self, client: Client, consumer: str, *, stream: bytes = STREAM) -> None:
        self._client = client
        self._consumer = consumer.encode()
        self._stream = stream
        self._cursor = b"0-0"

    async def new(self, count: int, block_ms: int) -> list[Arrival]:
        """Entries that nobody has taken; waits up to ``block_ms`` for the first."""
        reply = await self._in_group(
            "XREADGROUP",
            "GROUP",
            GROUP,
            self._consumer,
            "COUNT",
            count,
            "BLOCK",
            block_ms,
            "STREAMS",
            self._stream,
            ">",
        )
        if not reply:
            return []
        entries = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
        if entries and isinstance(entries[0], list):  # RESP3, before redis-py's answers were unified
            entries = entries[0]
        return arrivals(entries)

    async def rested(self, count: int, idle_ms: int) -> list[Arrival]:
        """Entries that somebody took at least ``idle_ms`` ago and did not finish."""
        reply = await self._in_group(
            "XAUTOCLAIM", self._stream, GROUP, self._consumer, idle_ms, self._cursor, "COUNT", count
        )
        self._cursor = reply[0]
        if any(fields is None for _, fields in reply[1]):
            await self._forget_deleted(count)
        return arrivals(reply[1])

    async def first(self, count: int) -> list[Arrival]:
        """The stream's beginning, whoever has taken it."""
        return arrivals(await self._client.execute_command("XRANGE", self._stream, "-", "+", "COUNT", count))

    async def pages(self, count: int) -> AsyncIterator[list[Arrival]]:
        """The whole stream from its beginning, so many entries at once, whoever has taken them; also what is added
        meanwhile."""
        after = b"-"
        while entries := await self._client.execute_command("XRANGE", self._stream, after, "+", "COUNT", count):
            yield arrivals(entries)
            after = b"(" + _text(entries[-1][0]).encode()

    async def done(self, batch: Sequence[Arrival]) -> None:
        """The ledger has these."""
        entries = [arrived.entry for arrived in batch]
        await self._client.execute_command("XDEL", self._stream, *entries)
        await self._in_group("XACK", self._stream, GROUP, *entries)

    async def depth(self) -> int:
        return int(await self._client.execute_command("XLEN", self._stream))

    async def oldest_ms(self) -> int | None:
        """When the first entry was written, by Redis' clock; None while there is none."""
        entries = await self._client.execute_command("XRANGE", self._stream, "-", "+", "COUNT", 1)
        return int(_text(entries[0][0]).partition("-")[0]) if entries else None

    async def now_ms(self) -> int:
        """Redis' clock."""
        seconds, micros = await self._client.execute_command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def leave(self) -> None:
        """Forget this consumer, unless it leaves entries behind: those would be forgotten with it."""
        for consumer in await self._in_group("XINFO CONSUMERS", self._stream, GROUP):
            if _text(consumer["name"]) == self._consumer.decode() and not consumer["pending"]:
                await self._in_group("XGROUP DELCONSUMER", self._stream, GROUP, self._consumer)

    async def _forget_deleted(self, count: int) -> None:
        """Acknowledge what is ours and no longer in the stream: its row is committed, for nobody deletes before.

        Redis 6.2 claims such entries, again and again, and does not say which they are; 7.0 forgets them by itself.
        """
        span = "-", "+", count, self._consumer
        for pending in await self._in_group("XPENDING", self._stream, GROUP, *span, parse_detail=True):
            entry = pending["message_id"]
            if not await self._client.execute_command("XRANGE", self._stream, entry, entry):
                await self._in_group("XACK", self._stream, GROUP, entry)

    async def _in_group(self, *command: Any, **options: Any) -> Any:
        try:
            return await self._client.execute_command(*command, **options)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        try:
            # From the beginning: what was settled before anybody moved it counts too.
            await self._client.execute_command("XGROUP CREATE", self._stream, GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        return await self._client.execute_command(*command, **options)


def arrivals(entries: Sequence[Any]) -> list[Arrival]:
    return [arrival(_text(entry), fields) for entry, fields in entries if fields is not None]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
