"""How the node that owns the meters is found: at a known place, as sentinels name it, or as a cluster's nodes do.

Several places are asked at once, since the one on a lost host would never answer, and more than half of them are heard
where they speak, since one may not know yet what the others do: a sentinel that was cut off names the primary of
yesterday. What is found is not remembered here; who uses it opens a connection, and finds anew when that fails.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.maint_notifications import MaintNotificationsConfig

from proxy.core.storeurl import StoreUrl, Topology
from proxy.store.errors import Away, StoreAway

SLOT: Final = key_slot(b"m0")
OTHERS_S: Final = 0.1  # once one has answered, for more than half of them to do so
MOST_ASKED: Final = 7  # nodes of a cluster, of which there may be hundreds

_QUIET: Final[dict[str, Any]] = {
    "protocol": 2,
    "socket_timeout": None,  # the call's own deadline bounds everything
    "socket_connect_timeout": None,
    "health_check_interval": 0,
    "driver_info": None,  # spares two CLIENT SETINFO, which Redis below 7.2 refuses
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}

Address = tuple[str, int]
Answer = TypeVar("Answer")


def pack(*parts: bytes) -> bytes:
    """One command in RESP: an array of bulk strings."""
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])


async def exchange(connection: Connection, packed: bytes) -> Any:
    """A packed command's reply on an open connection. Raises: RedisError, OSError, asyncio.IncompleteReadError."""
    await connection.send_packed_command(packed, check_health=False)
    return await connection.read_response(disable_decoding=True, timeout=math.inf)


def connection_to(url: StoreUrl, address: Address) -> Connection:
    """One that is not yet open, to a node of this store."""
    login = {**_QUIET, "db": url.db, "username": url.username, "password": url.password}
    if url.topology is Topology.UNIX:
        local: Connection = UnixDomainSocketConnection(path=address[0], **login)  # type: ignore[assignment]
        return local
    kind = SSLConnection if url.tls else Connection
    remote: Connection = kind(host=address[0], port=address[1], socket_keepalive=True, **login)
    return remote


class Finder(Protocol):
    """Finds the node that owns the meters now."""

    follows: bool
    """Whether it has to be asked again now and then, as the node itself does not tell when it is replaced."""

    async def find(self) -> Address:
        """Raises: StoreAway, RedisError, OSError, asyncio.IncompleteReadError."""


class _Fixed:
    """A server at a known place."""

    follows = False

    def __init__(self, url: StoreUrl) -> None:
        self._address = url.hosts[0] if url.hosts else (url.path, 0)

    async def find(self) -> Address:
        return self._address


class _Named(NamedTuple):
    epoch: int  # of the failover that made it the primary
    address: Address


class _BySentinel:
    """The primary that the sentinels name; if they disagree, by the latest failover that any of them knows of."""

    follows = True  # after SENTINEL FAILOVER the old primary takes writes for ten seconds more, and then loses them

    def __init__(self, url: StoreUrl) -> None:
        self._url = url
        self._name = url.master.encode()

    async def find(self) -> Address:
        named = await heard(self._url.hosts, self._ask)
        return max(named).address

    async def _ask(self, place: Address) -> _Named:
        host, port = place
        url = self._url
        connection = Connection(
            host=host, port=port, username=url.sentinel_username, password=url.sentinel_password, **_QUIET
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            address = await exchange(connection, pack(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._name))
            if address is None:
                raise StoreAway(Away.REFUSED, f"the sentinel at {host}:{port} knows no set {url.master!r}")
            fields = await exchange(connection, pack(b"SENTINEL", b"MASTER", self._name))
            epoch = int(dict(zip(fields[::2], fields[1::2], strict=True)).get(b"config-epoch", 0))
        finally:
            await connection.disconnect(nowait=True)
        return _Named(epoch, (address[0].decode(), int(address[1])))


class _ByCluster:
    """The owner of the meters' slot, as most of the nodes asked have it. A node seen is a place to ask next time."""

    follows = False  # a node that no longer owns the slot says MOVED

    def __init__(self, url: StoreUrl) -> None:
        self._url = url
        self._places: deque[Address] = deque(url.hosts)

    async def find(self) -> Address:
        places = list(self._places)[:MOST_ASKED]
        self._places.rotate(-MOST_ASKED)
        answers = await heard(places, self._ask)
        seen = dict.fromkeys([*self._url.hosts, *(node for _, nodes in answers for node in nodes)])
        if seen.keys() != set(self._places):
            self._places = deque(seen)
        return Counter(owner for owner, _ in answers).most_common(1)[0][0]

    async def _ask(self, place: Address) -> tuple[Address, tuple[Address, ...]]:
        """The slot's owner and all nodes, as this one has it."""
        connection = connection_to(self._url, place)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            ranges = await exchange(connection, pack(b"CLUSTER", b"SLOTS"))
        finally:
            await connection.disconnect(nowait=True)

        def address(node: Sequence[Any]) -> Address:
            return (node[0].decode() if node[0] else place[0], int(node[1]))  # no host: the one that was asked

        nodes = tuple(address(node) for _, _, *nodes in ranges for node in nodes)
        for first, last, owner, *_ in ranges:
            if first <= SLOT <= last:
                return address(owner), nodes
        raise StoreAway(Away.REFUSED, "the cluster has no owner for the meters' slot")


async def heard(places: Sequence[Address], ask: Callable[[Address], Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Answers of more than half of the places; of fewer where the others fail, or are silent for OTHERS_S longer.

    Unbounded while no place answers: the caller's deadline ends it. Raises: the first place's failure, where all fail.
    """
    tasks = [asyncio.create_task(ask(place)) for place in places]
    waiting = set(tasks)
    answers: list[Answer] = []
    deadline_s = math.inf
    loop = asyncio.get_running_loop()
    try:
        while waiting and len(answers) <= len(places) // 2:
            left_s = None if deadline_s == math.inf else deadline_s - loop.time()
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            answers += [task.result() for task in done if task.exception() is None]
            if answers:
                deadline_s = min(deadline_s, loop.time() + OTHERS_S)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    if not answers:
        failure = outcomes[0]
        assert isinstance(failure, BaseException)
        raise failure
    return answers


_FINDERS: Final[dict[Topology, Callable[[StoreUrl], Finder]]] = {
    Topology.STANDALONE: _Fixed,
    Topology.UNIX: _Fixed,
    Topology.SENTINEL: _BySentinel,
    Topology.CLUSTER: _ByCluster,
}


def finder_of(url: StoreUrl) -> Finder:
    return _FINDERS[url.topology](url)
