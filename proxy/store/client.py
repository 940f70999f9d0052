"""Runs scripts on the one node that owns the meters' slot, over redis-py's connections.

All meters share a slot, so a cluster, a Sentinel set and a lone server differ only in how that node is found; from
there on it is one connection at a time, a packed command, a reply. redis-py's clients above its ``Connection`` are left
away: they cost 46 µs a call, retry on their own (a script would run twice) and have had NOSCRIPT bugs on clusters. Here
nothing is retried but what is safe: EVAL where the node did not know the script, a redirection, and what a replica
refused to write: none of these has run.

A failover is followed. Each new connection is asked for its role, since a replica answers all but what counts. When one
call learns that the node is another, the connections of all others go too.

Each call is bounded as a whole, connecting included; there are no other timeouts. What is given up may still run:
admit.lua's deadlines and sequences make that harmless.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Connection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from proxy.core.storeurl import StoreUrl, parse_store_url
from proxy.store.errors import Away, StoreAway
from proxy.store.nodes import Address, connection_to, exchange, finder_of, pack
from proxy.store.scripts import Script

REDIRECTIONS: Final = 3
IDLE: Final = 4  # connections kept: admissions and leases each use one at a time
FOLLOW_S: Final = 1.0  # how often it is asked whether the node was replaced, where the node itself does not tell

_LOST: Final = (RedisConnectionError, OSError, asyncio.IncompleteReadError)
_ROLE: Final = pack(b"ROLE")
_ASKING: Final = pack(b"ASKING")


class Store:
    """The meters' Redis. Made by ``connect``; of one event loop."""

    def __init__(self, url: StoreUrl, timeout_ms: int) -> None:
        self.url = url
        self.timeout_ms = timeout_ms
        self.connects = 0  # how often a connection was begun: behind a new one may be another node
        self._finder = finder_of(url)
        self._idle: list[Connection] = []
        self._opened: dict[Connection, int] = {}  # and at which turn
        self._turn = 0  # how often the node had to be found anew
        self._following: asyncio.Task[None] | None = None

    async def run(self, script: Script, keys: Sequence[bytes], *args: bytes, timeout_ms: float | None = None) -> Any:
        """The script's reply. Keys must all be in the slot of ``{m0}``. Raises: StoreAway."""
        call = (script.sha1, b"%d" % len(keys), *keys, *args)
        return await self._bounded(pack(b"EVALSHA", *call), timeout_ms, lambda: pack(b"EVAL", script.source, *call[1:]))

    async def command(self, *parts: bytes, timeout_ms: float | None = None) -> Any:
        """The reply to a plain command at the meters' node. Raises: StoreAway."""
        return await self._bounded(pack(*parts), timeout_ms)

    async def ping(self, timeout_ms: float | None = None) -> None:
        """Raises: StoreAway."""
        await self.command(b"PING", timeout_ms=timeout_ms)

    async def close(self) -> None:
        """Closes every connection; what is under way fails with StoreAway."""
        if self._following is not None:
            self._following.cancel()
        self._idle.clear()
        for connection in list(self._opened):
            await self._drop(connection)

    async def forget(self) -> None:
        """Closes idle connections, and those in use after their call: the next call finds the node anew."""
        self._turn += 1
        while self._idle:
            await self._drop(self._idle.pop())

    async def _bounded(self, packed: bytes, timeout_ms: float | None, whole: Callable[[], bytes] | None = None) -> Any:
        try:
            async with asyncio.timeout((self.timeout_ms if timeout_ms is None else timeout_ms) / 1000):
                try:
                    return await self._redirected(packed)
                except NoScriptError:
                    if whole is None:
                        raise
                    # The connection kept is to the owner of the slot, so on a cluster too this is the same node.
                    return await self._redirected(whole())
        except (TimeoutError, RedisTimeoutError) as error:
            raise StoreAway(Away.TIMEOUT, f"no answer from {self.url}") from error
        except (AuthenticationError, NoPermissionError) as error:
            raise StoreAway(Away.REFUSED, f"{self.url} does not accept the credentials") from error
        except ResponseError as error:
            raise StoreAway(Away.REFUSED, f"{self.url}: {_told(error)}") from error
        except (RedisError, OSError, asyncio.IncompleteReadError) as error:
            raise StoreAway(Away.UNREACHABLE, f"no connection to {self.url}") from error

    async def _redirected(self, packed: bytes) -> Any:
        connection = await self._open()
        for left in range(REDIRECTIONS, -1, -1):
            try:
                return await self._exchange(connection, packed)
            except ResponseError as error:
                if not left or not _ran_elsewhere(error):
                    raise
                await self.forget()
                connection = await self._open((error.host, error.port) if isinstance(error, AskError) else None)
                if type(error) is AskError:  # MovedError is one too
                    await self._exchange(connection, _ASKING, keep=False)
        raise AssertionError

    async def _open(self, address: Address | None = None) -> Connection:
        """A connection to the meters' node, or to the one that it named."""
        if address is None:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_connected:
                    return connection
                await self._drop(connection)
            address = await self._finder.find()
        fresh = connection_to(self.url, address)
        self.connects += 1
        self._opened[fresh] = self._turn
        try:
            await fresh.connect()  # type: ignore[no-untyped-call]
            await self._check_role(fresh)
        except BaseException:
            await self._drop(fresh)
            raise
        if self._finder.follows and (self._following is None or self._following.done()):
            self._following = asyncio.create_task(self._follow(address), name="store follows")
        return fresh

    async def _check_role(self, fresh: Connection) -> None:
        try:
            role = await exchange(fresh, _ROLE)
        except ResponseError:
            return  # not permitted, or not known to what stands between: then the first write tells
        except AuthenticationError:  # one of _LOST to redis-py
            raise
        except _LOST as error:
            raise StoreAway(Away.RESET, f"{self.url} closed the connection") from error
        if role[0] == b"slave":
            raise StoreAway(Away.REFUSED, f"{self.url}: the node found is a replica")

    async def _follow(self, address: Address) -> None:
        """For as long as there are connections to it: asks whether this node is still the one."""
        while self._opened:
            await asyncio.sleep(FOLLOW_S)
            try:
                async with asyncio.timeout(FOLLOW_S):
                    named = await self._finder.find()
            except (StoreAway, RedisError, OSError, asyncio.IncompleteReadError):
                continue  # nobody who would know: the node itself may well be there
            if named != address:
                await self.forget()
                return  # the next connection is followed anew

    async def _exchange(self, connection: Connection, packed: bytes, *, keep: bool = True) -> Any:
        try:
            reply = await exchange(connection, packed)
        except NoScriptError:
            await self._keep(connection)
            raise
        except _LOST as error:
            await self._drop(connection)
            raise StoreAway(Away.RESET, f"{self.url} closed the connection") from error
        except BaseException:
            # Given up or refused: a reply that comes late must never be read as another call's, and a node that
            # redirects, loads or is read only must be looked for anew.
            await self._drop(connection)
            raise
        if keep:
            await self._keep(connection)
        return reply

    async def _keep(self, connection: Connection) -> None:
        if len(self._idle) < IDLE and self._opened.get(connection) == self._turn:
            self._idle.append(connection)
        else:
            await self._drop(connection)

    async def _drop(self, connection: Connection) -> None:
        self._opened.pop(connection, None)
        await connection.disconnect(nowait=True)


def _told(error: ResponseError) -> str:
    """Redis' own words but for what it repeats of a command that it does not know: AUTH's are secret."""
    return str(error).partition(", with args")[0][:200]


def _ran_elsewhere(error: ResponseError) -> bool:
    """Whether the node ran nothing, and another will: it redirects, or has become a replica.

    Redis 6 wraps what a script met in an error of its own.
    """
    return isinstance(error, (AskError, ReadOnlyError, MasterDownError)) or " -READONLY " in str(error)


async def connect(url: str, timeout_ms: int, *, within_ms: int = 5_000) -> Store:
    """A store that has answered once, within ``within_ms``. Raises: StoreAway, StoreUrlError."""
    store = Store(parse_store_url(url), timeout_ms)
    try:
        await store.ping(timeout_ms=within_ms)
    except BaseException:
        await store.close()
        raise
    return store
