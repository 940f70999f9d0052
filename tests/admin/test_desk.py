"""What ops ask of a policy's money, where commands do not show it."""

import asyncio
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from proxy.admin.desk import Unanswered, opened, store_url
from proxy.policy.compiler import load
from tests.admin.spent import a_call, filled, ledger_url, written_policy
from tests.ledger.samples import NOW_MS


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """Only processes that answer no client sit at the desk."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/admin/desk.py", {"opened"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})  # abspath, beyond a greenlet's stack's end
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})


async def test_a_fault_in_the_midst_is_told_as_one_at_the_start(tmp_path: Path) -> None:
    url = ledger_url(tmp_path)
    await asyncio.to_thread(filled, url, [a_call("r", NOW_MS, 1)], NOW_MS)
    with pytest.raises(Unanswered, match=r"the ledger \(sqlite"):
        async with opened(url) as database, database.reading() as connection:
            await connection.exec_driver_sql("SELECT * FROM nowhere")


def test_the_stores_url_is_the_policys(tmp_path: Path) -> None:
    policy = load(written_policy(tmp_path, redis='meters: "redis://gate:geheim@127.0.0.1:7"'), {}).policy
    assert str(store_url(policy)) == "standalone at 127.0.0.1:7"
