"""One server of each version for the whole run; each test begins with an empty one."""

from collections.abc import Iterator

import pytest
import redis

from tests.store.servers import BINARIES, Server, server


@pytest.fixture(scope="session", params=list(BINARIES.values()), ids=list(BINARIES))
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as started:
        yield started


@pytest.fixture
def client(redis_server: Server) -> Iterator[redis.Redis]:
    with redis_server.client as connected:
        connected.flushall()
        yield connected
