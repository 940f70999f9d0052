"""One server of each version, and a cluster, for the whole run; each test begins with an empty one."""

from collections.abc import Iterator

import pytest
import redis
from redis.crc import key_slot

from tests.store.servers import BINARIES, Server, cluster, server

CLUSTER = "cluster of three"


@pytest.fixture(scope="session", params=[*BINARIES, CLUSTER])
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A lone server, or the node of a cluster that owns the meters' slot: a key of another slot is an error there."""
    if request.param == CLUSTER:
        with cluster(list(BINARIES.values())[-1]) as nodes:
            yield nodes.nodes[key_slot(b"m0") * 3 // 16_384]
    else:
        with server(BINARIES[request.param]) as started:
            yield started


@pytest.fixture
def client(redis_server: Server) -> Iterator[redis.Redis]:
    with redis_server.client as connected:
        connected.flushall()
        yield connected
