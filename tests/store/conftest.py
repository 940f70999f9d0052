"""Servers of each version at hand, shared by a whole run; a test that harms its server starts its own."""

from collections.abc import Iterator

import pytest

from tests.store.servers import BINARIES, Server, server

each_binary = pytest.mark.parametrize("binary", list(BINARIES.values()), ids=list(BINARIES))


@pytest.fixture(scope="session", params=list(BINARIES.values()), ids=list(BINARIES))
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param) as started:
        yield started
