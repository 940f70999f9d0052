"""For every test: a call that blocks the event loop fails the test that made it."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

# Where a blocking call is meant: (module's file, function). Each says why.
ALLOWED = {
    "os.write": (
        ("proxy/telemetry/log.py", {"_write_all"}),  # a regular file takes it at once; others have a thread
        ("proxy/telemetry/sheet.py", {"slot"}),  # anonymous memory, once a series
    ),
    "os.stat": (("proxy/gateway/supervisor.py", {"_fingerprint"}),),  # the parent answers no client
}


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Our code must not block the loop; what tests themselves do is their own business."""
    with blockbuster_ctx("proxy") as guard:
        for name, places in ALLOWED.items():
            for file, functions in places:
                guard.functions[name].can_block_in(file, functions)
        yield guard
