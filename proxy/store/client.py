"""Runs scripts on the one node that owns the meters' slot, over redis-py's connections.

All meters share a slot, so a cluster, a Sentinel set and a lone server differ only in how that node is found; from
there on it is one connection at a time, a packed command, a reply. redis-py's clients above its ``Connection`` are left
away: they cost 46 µs a call, retry on their own (a script would run twice) and have had NOSCRIPT bugs on clusters. Here
nothing is retried but what is safe: EVAL where the node did not know the script (it ran nothing), and a redirection
(the node that redirected ran nothing).

Each call is bounded as a whole, connecting included; there are no other timeouts. What is given up may still run:
admit.lua's deadlines and sequences make that harmless.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from redis.asyncio import Connection, RedisCluster, Sentinel, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from proxy.store.errors import Away, StoreAway
from proxy.store.scripts import Script
from proxy.store.url import StoreUrl, Topology, parse_store_url

SLOT: Final = key_slot(b"m0")
REDIRECTIONS: Final = 3
IDLE: Final = 4  # connections kept: admissions and leases each use one at a time

_NO_RETRY: Final = Retry(NoBackoff(), 0)
_QUIET: Final[dict[str, Any]] = {
    "protocol": 2,
    "socket_timeout": None,  # the call's own deadline bounds everything
    "socket_connect_timeout": None,
    "health_check_interval": 0,
    "driver_info": None,  # spares two CLIENT SETINFO, which Redis below 7.2 refuses
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}
_LOST: Final = (RedisConnectionError, OSError, asyncio.IncompleteReadError)


class Finder(Protocol):
    """Finds the node that owns the meters now, and makes a connection to it that is not yet open."""

    async def connection(self) -> Connection: ...


class _Fixed:
    """A server at a known place."""

    def __init__(self, url: StoreUrl) -> None:
        self._url = url

    async def connection(self) -> Connection:
        if self._url.topology is Topology.UNIX:
            socket: Connection = UnixDomainSocketConnection(path=self._url.path, **_login(self._url))  # type: ignore[assignment]
            return socket
        return _to(self._url, *self._url.hosts[0])


class _BySentinel:
    """The primary that the sentinels name, asked anew for each connection: that is how a failover is followed."""

    def __init__(self, url: StoreUrl) -> None:
        self._url = url

    async def connection(self) -> Connection:
        options = {**_QUIET, "retry": _NO_RETRY, "single_connection_client": False}
        login = {"username": self._url.sentinel_username, "password": self._url.sentinel_password}
        sentinel = Sentinel(self._url.hosts, sentinel_kwargs={**options, **login})  # type: ignore[no-untyped-call]
        try:
            host, port = await sentinel.discover_master(self._url.master)
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        return _to(self._url, host, port)


class _ByCluster:
    """The owner of the meters' slot. Every node seen becomes a place to ask next time."""

    def __init__(self, url: StoreUrl) -> None:
        self._url = url
        self._known: dict[tuple[str, int], None] = dict.fromkeys(url.hosts)

    async def connection(self) -> Connection:
        quiet = {name: value for name, value in _QUIET.items() if name != "driver_info"}
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._known],
            retry=_NO_RETRY,
            username=self._url.username,
            password=self._url.password,
            ssl=self._url.tls,
            dynamic_startup_nodes=False,
            driver_info=None,
            **quiet,
        )
        try:
            await cluster.initialize()
            owner = cluster.nodes_manager.get_node_from_slot(SLOT)
            self._known = dict.fromkeys(
                [*self._known, *((str(node.host), int(node.port)) for node in cluster.get_nodes())]
            )
        finally:
            await cluster.aclose()
        return _to(self._url, str(owner.host), int(owner.port))


_FINDERS: Final[dict[Topology, Any]] = {
    Topology.STANDALONE: _Fixed,
    Topology.UNIX: _Fixed,
    Topology.SENTINEL: _BySentinel,
    Topology.CLUSTER: _ByCluster,
}


def _login(url: StoreUrl) -> dict[str, Any]:
    return {**_QUIET, "db": url.db, "username": url.username, "password": url.password}


def _to(url: StoreUrl, host: str, port: int) -> Connection:
    kind = SSLConnection if url.tls else Connection
    made: Connection = kind(host=host, port=port, socket_keepalive=True, **_login(url))
    return made


def pack(*parts: bytes) -> bytes:
    """One command in RESP: an array of bulk strings."""
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])


class Store:
    """The meters' Redis. Made by ``connect``; of one event loop."""

    def __init__(self, url: StoreUrl, timeout_ms: int) -> None:
        self.url = url
        self.timeout_ms = timeout_ms
        self._finder: Finder = _FINDERS[url.topology](url)
        self._idle: list[Connection] = []
        self._opened: set[Connection] = set()

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

    async def time_ms(self, timeout_ms: float | None = None) -> int:
        """The store's own clock, epoch milliseconds. Raises: StoreAway."""
        seconds, micros = await self.command(b"TIME", timeout_ms=timeout_ms)
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        """Closes every connection; what is under way fails with StoreAway."""
        self._idle.clear()
        for connection in list(self._opened):
            await self._drop(connection)

    async def forget(self) -> None:
        """Closes idle connections: the next call finds the node anew."""
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
            raise StoreAway(Away.REFUSED, f"{self.url}: {str(error)[:200]}") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise StoreAway(Away.UNREACHABLE, f"no connection to {self.url}") from error

    async def _redirected(self, packed: bytes) -> Any:
        connection = await self._open()
        for left in range(REDIRECTIONS, -1, -1):
            try:
                return await self._exchange(connection, packed)
            except (MovedError, AskError) as error:
                if not left:
                    raise
                await self.forget()
                connection = await self._open(_to(self.url, error.host, error.port))
                if type(error) is AskError:  # MovedError is one too
                    await self._exchange(connection, pack(b"ASKING"), keep=False)
        raise AssertionError

    async def _open(self, fresh: Connection | None = None) -> Connection:
        if fresh is None:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_connected:
                    return connection
                await self._drop(connection)
            fresh = await self._finder.connection()
        self._opened.add(fresh)
        try:
            await fresh.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self._drop(fresh)
            raise
        return fresh

    async def _exchange(self, connection: Connection, packed: bytes, *, keep: bool = True) -> Any:
        try:
            await connection.send_packed_command(packed, check_health=False)
            reply = await connection.read_response(disable_decoding=True, timeout=math.inf)
        except NoScriptError:
            self._idle.append(connection)
            raise
        except _LOST as error:
            await self._drop(connection)
            raise StoreAway(Away.RESET, f"{self.url} closed the connection") from error
        except BaseException:
            # Given up or refused: a reply that comes late must never be read as another call's, and a node that
            # redirects, loads or is read only must be looked for anew.
            await self._drop(connection)
            raise
        if keep and len(self._idle) < IDLE:
            self._idle.append(connection)
        elif keep:
            await self._drop(connection)
        return reply

    async def _drop(self, connection: Connection) -> None:
        self._opened.discard(connection)
        await connection.disconnect(nowait=True)


async def connect(url: str, timeout_ms: int, *, within_ms: int = 5_000) -> Store:
    """A store that has answered once, within ``within_ms``. Raises: StoreAway, StoreUrlError."""
    store = Store(parse_store_url(url), timeout_ms)
    try:
        await store.ping(timeout_ms=within_ms)
    except BaseException:
        await store.close()
        raise
    return store
