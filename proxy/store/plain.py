"""redis-py's own client for a store's URL: for streams and look-ups beside the hot path, where its comfort is worth
its cost."""

from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from proxy.core.storeurl import StoreUrl, Topology

CONNECT_S: Final = 5.0


class PlainClient:
    """``client`` answers ``execute_command``; ``close`` it, and what it found its primary with."""

    def __init__(self, url: StoreUrl, timeout_s: float, *, retries: int | None = None) -> None:
        """``timeout_s`` for one answer, so more than any block. Connects when first used.

        ``retries``: how often a call is sent again, at once; None: as redis-py does by itself, which may take seconds.
        """
        self._finders: list[Any] = []
        options: dict[str, Any] = {
            "username": url.username,
            "password": url.password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": CONNECT_S,
            "protocol": 2,  # the shapes of answers that older servers have, too
            "ssl": url.tls,
            "driver_info": None,  # which is read from a file, and sent in two commands that Redis below 7.2 refuses
        }
        if retries is not None:
            options["retry"] = Retry(NoBackoff(), retries)
        self.client: Any
        match url.topology:
            case Topology.UNIX:
                options.pop("ssl")
                self.client = Redis(unix_socket_path=url.path, db=url.db, **options)
            case Topology.STANDALONE:
                (host, port), *_ = url.hosts
                self.client = Redis(host=host, port=port, db=url.db, **options)
            case Topology.CLUSTER:
                nodes = [ClusterNode(host, port) for host, port in url.hosts]
                self.client = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
            case Topology.SENTINEL:
                theirs = {"username": url.sentinel_username, "password": url.sentinel_password}
                wait = {"socket_timeout": CONNECT_S, "socket_connect_timeout": CONNECT_S, "driver_info": None}
                make: Any = Sentinel  # which is not typed
                finder = make(list(url.hosts), sentinel_kwargs={**theirs, **wait}, **options)
                self._finders = list(finder.sentinels)
                self.client = finder.master_for(url.master, db=url.db)

    async def close(self) -> None:
        await self.client.aclose()
        for finder in self._finders:
            await finder.aclose()
