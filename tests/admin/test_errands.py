"""Questions about money, each answered by a process of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
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
        function.can_block_in("proxy/admin/errands.py", {"_started"})
        function.can_block_in("tests/admin/spent.py", {"filled"})
        function.can_block_in("proxy/ledger/migrate.py", {"_upgrade"})


def clerks() -> list[int]:
    """Processes under this one that answer."""
    return [pid for pid in descendants(os.getpid()) if is_alive(pid) and b"proxy.admin.clerk" in _command(pid)]


def _command(pid: int) -> bytes:
    """Empty, of one that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def errand(tmp_path: Path) -> Errand:
    now_ms = SystemClock().now_ms()
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 70)], now_ms)
    return Errand(load(written_policy(tmp_path), {}).policy, About.USAGE, {"by": "model"})


@pytest.fixture
async def errands() -> AsyncIterator[Errands]:
    made = Errands()
    yield made
    await made.close()
    assert not clerks()


async def test_an_answer_comes_back_through_pipes(errands: Errands, errand: Errand) -> None:
    status, (line,) = await errands.run(errand)
    assert (status, line["calls"], line["cost_usd"]) == (200, 1, "0.000000070")


async def test_who_asks_too_much_waits_or_is_refused(errands: Errands, errand: Errand) -> None:
    """One at a time, a few in the queue, and no more than that."""
    answers = await asyncio.gather(*(errands.run(errand) for _ in range(MAX_WAITING + 2)))
    assert sorted(status for status, _ in answers) == [200] * MAX_WAITING + [503] * 2
    assert (await errands.run(errand))[0] == 200


async def test_a_clerk_stays_for_a_while_and_leaves(errand: Errand) -> None:
    """Who looks at the dashboard asks again and again; once nobody asks any more, nothing stays."""
    errands = Errands(stay_s=1.0)
    assert (await errands.run(errand))[0] == 200
    before = clerks()
    assert (await errands.run(errand))[0] == 200
    assert (len(before), clerks()) == (1, before)
    await reached(lambda: not clerks())
    assert (await errands.run(errand))[0] == 200
    await errands.close()


async def test_a_clerk_that_was_ended_has_a_successor(errands: Errands, errand: Errand) -> None:
    assert (await errands.run(errand))[0] == 200
    os.kill(clerks()[0], signal.SIGKILL)
    await reached(lambda: not clerks())
    assert (await errands.run(errand))[0] in (200, 500)  # the parent may hear of its end as it asks
    assert (await errands.run(errand))[0] == 200


async def test_who_gives_up_leaves_no_process_behind(errands: Errands, errand: Errand) -> None:
    asking = asyncio.create_task(errands.run(errand))
    await reached(clerks)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not clerks()
    assert (await errands.run(errand))[0] == 200


async def test_a_clerk_that_fails_is_500(errands: Errands, errand: Errand) -> None:
    status, body = await errands.run(Errand(errand.policy, About.USAGE, None))  # type: ignore[arg-type]
    assert (status, "standard error" in body["error"]) == (500, True)
    assert (await errands.run(errand))[0] == 200
