"""What ops ask of a policy's money, where commands do not show it."""

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from redis.asyncio import Redis

from proxy.admin.desk import opened, standings
from proxy.admin.stores import Unanswered
from proxy.core.usage import Charge
from proxy.metering.keys import OUTBOX
from proxy.policy.compiler import load
from proxy.policy.model import MeterKind
from tests.admin.spent import a_call, filled, ledger_url, written_policy
from tests.ledger.conftest import redis_server
from tests.ledger.samples import NOW_MS, an_entry
from tests.store.servers import Server

__all__ = ["redis_server"]
COUNTER = "{m0}b:counter:1:2"


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """Only processes that answer no client sit at the desk."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/admin/desk.py", {"opened", "standings"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})  # abspath, beyond a greenlet's stack's end
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})
        function.can_block_in("redis/utils.py", {"get_lib_version"})  # once a connection


async def test_a_fault_in_the_midst_is_told_as_one_at_the_start(tmp_path: Path) -> None:
    url = ledger_url(tmp_path)
    await asyncio.to_thread(filled, url, [a_call("r", NOW_MS, 1)], NOW_MS)
    with pytest.raises(Unanswered, match=r"the ledger \(sqlite"):
        async with opened(url) as database, database.reading() as connection:
            await connection.exec_driver_sql("SELECT * FROM nowhere")


async def test_what_is_on_its_way_to_the_ledger_stands_already(tmp_path: Path, redis_server: Server) -> None:
    """The counter is live, and whose it is says the record that the mover has not moved yet."""
    url = ledger_url(tmp_path)
    await asyncio.to_thread(filled, url, [], NOW_MS)
    record = a_call("r", NOW_MS, 7, Charge("tenant", "tenant:acme", "2026-11", COUNTER, NOW_MS + 1))
    client: Any
    async with Redis.from_url(redis_server.url, protocol=2) as client:
        await client.flushall()
        await client.execute_command("XADD", OUTBOX, "*", *(word for pair in an_entry(record).items() for word in pair))
        await client.set(COUNTER, struct.pack("<Bdd", MeterKind.HOLD, 7, 2))
    policy = load(written_policy(tmp_path, redis=f'meters: "{redis_server.url}"'), {}).policy
    found, why = await standings(policy, "tenant:acme", NOW_MS)
    assert why is None
    assert [(one.settled, one.held, one.amount) for one in found if one.charge.counter == COUNTER] == [
        (7, 2, 5_000 * 10**9),
    ]  # fmt: skip
    assert len(found) == 1
