"""These tests look at a gateway from outside: what they block is their own loop."""

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """To look into a ledger and a Redis is what a command does, in a process of its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/e2e/books.py", {"compare"})
