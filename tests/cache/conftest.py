"""One server of each version for the whole run; each test begins with an empty one."""

from collections.abc import Iterator

import pytest

from tests.store.servers import BINARIES, Server, server


@pytest.fixture(scope="session", params=list(BINARIES.values()), ids=list(BINARIES))
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as started:
        yield started


@pytest.fixture
def empty_redis(redis_server: Server) -> Server:
    with redis_server.client as client:
        client.flushall()
    return redis_server
