"""For every test: a call that blocks the event loop fails the test that made it."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from tests.fuzz import FUZZ

# Before any test module: their own settings take from it what they do not say.
settings.load_profile("fuzz" if FUZZ else "quick")

# Of the parent and the command line alone, which answer no client.
NOT_IN_A_WORKER = [
    "proxy.cli",
    "proxy.gateway.cores",
    "proxy.gateway.meterstore",
    "proxy.gateway.policyfiles",
    "proxy.gateway.supervisor",
    "proxy.gateway.workers",
    "proxy.policy.compiler",
    "proxy.policy.includes",
    "proxy.policy.regularfile",
    "proxy.store.embedded",
    "proxy.store.plain",
]
# Where a call is meant that might block: (module's file, function).
MEANT = {
    # Libraries that import a part of themselves at its first use (redis-py its parser, at the first connection).
    "os.stat": (
        ("<frozen importlib._bootstrap_external>", {"_path_stat"}),
        ("proxy/store/scripts.py", {"load"}),
        ("proxy/metering/calendar.py", {"period_edges"}),  # a time zone, once a process
    ),
    "os.listdir": (("<frozen importlib._bootstrap_external>", {"_fill_cache"}),),
    "io.BufferedReader.read": (
        ("proxy/identity/keyfetch.py", {"read_file"}),  # a local file, once a policy
        ("proxy/metering/journal.py", {"_read"}),  # once a worker, at its start
        ("proxy/store/scripts.py", {"load"}),  # once a process
        ("proxy/metering/calendar.py", {"period_edges"}),  # likewise
    ),
    "os.replace": (("proxy/metering/journal.py", {"_rewrite"}),),  # when most of a megabyte is dead
    "os.write": (
        ("proxy/metering/journal.py", {"_flush", "_rewrite"}),  # a regular file, never synced: a microsecond or two
        ("proxy/telemetry/log.py", {"_write_all"}),  # a regular file takes it at once; others have a thread
        ("proxy/telemetry/sheet.py", {"slot"}),  # anonymous memory, once a series
    ),
}


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """A worker must not block its loop; what tests themselves do is their own business."""
    with blockbuster_ctx("proxy", excluded_modules=NOT_IN_A_WORKER) as guard:
        for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
            guard.functions[name].deactivate()  # threads' starts and executors' queues take it for an instant
        for name, places in MEANT.items():
            for file, functions in places:
                guard.functions[name].can_block_in(file, functions)
        yield guard
