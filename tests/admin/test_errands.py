"""Questions about money, each answered by a process of its own."""

import asyncio
import os
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from proxy.admin.errands import MAX_WAITING, About, Errand, Errands
from proxy.core.clock import SystemClock
from proxy.policy.compiler import load
from tests.admin.spent import a_call, filled, ledger_url, written_policy
from tests.e2e.gateway import descendants, is_alive, reached


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """Only the parent starts processes."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("proxy/admin/errands.py", {"_sent"})
        function.can_block_in("tests/admin/spent.py", {"filled"})
        function.can_block_in("proxy/ledger/migrate.py", {"_upgrade"})


def clerks() -> list[int]:
    """Processes under this one that answer."""
    here = [pid for pid in descendants(os.getpid()) if is_alive(pid)]
    return [pid for pid in here if b"proxy.admin.clerk" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def errand(tmp_path: Path) -> Errand:
    now_ms = SystemClock().now_ms()
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 70)], now_ms)
    return Errand(load(written_policy(tmp_path), {}).policy, About.USAGE, {"by": "model"})


async def test_an_answer_comes_back_through_pipes(errand: Errand) -> None:
    status, (line,) = await Errands().run(errand)
    assert (status, line["calls"], line["cost_usd"]) == (200, 1, "0.000000070")


async def test_who_asks_too_much_waits_or_is_refused(errand: Errand) -> None:
    """One at a time, a few in the queue, and no more than that."""
    errands = Errands()
    answers = await asyncio.gather(*(errands.run(errand) for _ in range(MAX_WAITING + 2)))
    assert sorted(status for status, _ in answers) == [200] * MAX_WAITING + [503] * 2
    assert (await errands.run(errand))[0] == 200


async def test_who_gives_up_leaves_no_process_behind(errand: Errand) -> None:
    errands = Errands()
    asking = asyncio.create_task(errands.run(errand))
    await reached(clerks)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not clerks()
    assert (await errands.run(errand))[0] == 200


async def test_a_clerk_that_fails_is_500(errand: Errand) -> None:
    status, body = await Errands().run(Errand(errand.policy, About.USAGE, None))  # type: ignore[arg-type]
    assert (status, "standard error" in body["error"]) == (500, True)
