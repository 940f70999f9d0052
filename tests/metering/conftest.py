"""One server of each version for the whole run; each test begins with an empty one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from proxy.store.client import Store, connect
from tests.store.servers import BINARIES, Server, server


@pytest.fixture(scope="session", params=list(BINARIES.values()), ids=list(BINARIES))
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as started:
        yield started


@pytest.fixture
async def store(redis_server: Server) -> AsyncIterator[Store]:
    with redis_server.client as client:
        client.flushall()
    connected = await connect(redis_server.url, 1_000)
    yield connected
    await connected.close()
