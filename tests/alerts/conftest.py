"""A ledger for each test, on both databases, as the ledger's own tests have it; a session to send with."""

import ssl
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.ledger.conftest import (  # noqa: F401 - fixtures
    ledger,
    no_blocking_calls_but,
    postgres_server,
    redis_server,
    url,
)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


@pytest.fixture
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()
