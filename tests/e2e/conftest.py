"""These tests look at a gateway from outside: what they block is their own loop."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster

from tests.e2e.origin import Origin, running_origin


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Each test has its own, but where one gateway serves a whole file or room: these say so themselves."""
    with running_origin() as origin:
        yield origin


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """To look into a ledger and a Redis is what a command does, in a process of its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/e2e/books.py", {"compare"})
