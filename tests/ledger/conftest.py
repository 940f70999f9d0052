"""A ledger of its own for each test, on SQLite and on PostgreSQL; one server a run, a schema a test."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from proxy.ledger.database import Database, connect
from proxy.ledger.migrate import migrate
from tests.ledger.postgres import Postgres, postgres
from tests.store.servers import BINARIES, Server, server

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """The ledger lives in a process that answers no client; its loop is kept free as well, but for these."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_arguments"})  # .pgpass, once a connection
        function.can_block_in("redis/utils.py", {"get_lib_version"})  # once a connection
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})  # abspath
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})  # once a process


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    with server(next(iter(BINARIES.values()))) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("postgres_server").url(f"ledger_{next(_numbers)}")


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    return postgres_server.url(f"ledger_{next(_numbers)}")


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Database]:
    """Migrated."""
    await migrate(url)
    database = connect(url)
    yield database
    await database.close()


@pytest.fixture
async def postgres_ledger(postgres_url: str) -> AsyncIterator[Database]:
    """Migrated, where only PostgreSQL will do."""
    await migrate(postgres_url)
    database = connect(postgres_url)
    yield database
    await database.close()
