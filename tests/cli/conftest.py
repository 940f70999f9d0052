"""A ledger's address for each test of a command that has one, on a file and on a server."""

import pytest
from blockbuster import BlockBuster

from tests.ledger.conftest import postgres_server, postgres_url, redis_server, url

__all__ = ["postgres_server", "postgres_url", "redis_server", "url"]


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """A command's loop is its own, and has one thing to do."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/cli/books.py", {"answer"})
        function.can_block_in("tests/admin/spent.py", {"filled"})
        function.can_block_in("proxy/ledger/migrate.py", {"_upgrade"})  # beyond a greenlet's stack ends
