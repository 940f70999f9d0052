"""All workers as the parent sees them; real processes, without a Redis."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from proxy.gateway.control import Start
from proxy.gateway.sockets import bind
from proxy.gateway.workers import Restart, Workers
from proxy.policy.model import Policy
from proxy.telemetry.exposition import Exposition
from tests.e2e.gateway import is_alive
from tests.gateway.lives import OTHER, POLICY


class Parent:
    """What the supervisor gives its workers."""

    def __init__(self, count: int) -> None:
        self.policy: Policy = POLICY
        self.restarts: list[Restart] = []
        self.exposition = Exposition()
        self.sockets = bind(POLICY.listen.address, count)
        self.workers = Workers(self.sockets, self._start, self.exposition, self._restarted)

    def _start(self, index: int) -> Start:
        return Start(index, len(self.sockets), POLICY.redis.meters, "gate", self.policy)

    def _restarted(self, reason: Restart) -> None:
        self.restarts.append(reason)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():  # noqa: ASYNC110 - what is waited for is a process
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def parent(count: int = 2) -> AsyncIterator[Parent]:
    made = Parent(count)
    try:
        yield made
    finally:
        pids = made.workers.pids
        await made.workers.stop(0)
        assert not any(is_alive(pid) for pid in pids)
        for sock in made.sockets:
            sock.close()


async def test_all_are_ready_when_start_returns() -> None:
    async with parent() as gateway:
        await gateway.workers.start()
        assert gateway.workers.ready_count == 2
        assert len(set(gateway.workers.pids)) == 2


async def test_a_policy_is_in_force_in_all_when_apply_returns() -> None:
    async with parent() as gateway:
        await gateway.workers.start()
        assert await gateway.workers.apply(OTHER) == []


async def test_a_dead_worker_is_replaced_by_one_with_the_newest_policy() -> None:
    async with parent() as gateway:
        await gateway.workers.start()
        killed, kept = gateway.workers.pids
        os.kill(killed, signal.SIGKILL)
        gateway.policy = OTHER
        await gateway.until(lambda: gateway.restarts == [Restart.DIED] and gateway.workers.ready_count == 2)
        assert kept in gateway.workers.pids
        assert killed not in gateway.workers.pids


async def test_apply_does_not_wait_for_a_worker_that_dies_meanwhile() -> None:
    """It waited five seconds for the dead one's word, and then said that it was late."""
    async with parent() as gateway:
        await gateway.workers.start()
        stopped = gateway.workers.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        applying = asyncio.create_task(gateway.workers.apply(OTHER))
        await asyncio.sleep(0.05)
        assert not applying.done()
        os.kill(stopped, signal.SIGKILL)
        async with asyncio.timeout(2):
            assert await applying == []


async def test_a_worker_that_hangs_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.workers.APPLIED_S", 0.2)
    async with parent() as gateway:
        await gateway.workers.start()
        hanging = gateway.workers.pids[1]
        os.kill(hanging, signal.SIGSTOP)
        assert await gateway.workers.apply(OTHER) == [1]
        os.kill(hanging, signal.SIGCONT)


def quick_watchdog(monkeypatch: pytest.MonkeyPatch, silence_s: float) -> None:
    monkeypatch.setattr("proxy.gateway.watchdog.SILENCE_S", silence_s)
    monkeypatch.setattr("proxy.gateway.workers.PING_S", 0.05)
    monkeypatch.setattr("proxy.gateway.workers.STACKS_S", 0.05)


async def test_a_worker_whose_loop_hangs_is_ended_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives and answers nobody: connections in its queue would wait for ever."""
    quick_watchdog(monkeypatch, 0.5)
    async with parent() as gateway:
        await gateway.workers.start()
        hanging, well = gateway.workers.pids
        os.kill(hanging, signal.SIGSTOP)
        await gateway.until(lambda: gateway.restarts == [Restart.HUNG] and gateway.workers.ready_count == 2)
        assert well in gateway.workers.pids
        assert not is_alive(hanging)


async def test_one_that_hangs_while_it_starts_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_watchdog(monkeypatch, 10.0)
    async with parent(1) as gateway:
        await gateway.workers.start()
        monkeypatch.setattr("proxy.gateway.watchdog.START_S", 0.0)
        os.kill(gateway.workers.pids[0], signal.SIGKILL)
        await gateway.until(lambda: gateway.restarts[:2] == [Restart.DIED, Restart.HUNG])
        monkeypatch.undo()
        await gateway.until(lambda: gateway.workers.ready_count == 1)


async def test_workers_that_answer_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_watchdog(monkeypatch, 0.5)
    async with parent() as gateway:
        await gateway.workers.start()
        pids = gateway.workers.pids
        await asyncio.sleep(1.5)  # three times as long as one may be silent
        assert gateway.workers.pids == pids
        assert gateway.restarts == []


async def test_a_worker_that_drains_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain has a deadline of its own: silent for longer than the watchdog allows, it is left to it."""
    quick_watchdog(monkeypatch, 0.1)
    async with parent(1) as gateway:
        await gateway.workers.start()
        slow = gateway.workers.pids[0]
        os.kill(slow, signal.SIGSTOP)
        stopping = asyncio.create_task(gateway.workers.stop(10_000))
        await asyncio.sleep(0.6)
        assert is_alive(slow)
        os.kill(slow, signal.SIGCONT)
        await stopping
        assert gateway.restarts == []


async def test_a_worker_that_reads_nothing_holds_up_neither_others_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its buffer full of policies, the parent waited for it with every further word, also with the last."""
    for name in ("APPLIED_S", "TELL_S", "GRACE_S"):
        monkeypatch.setattr(f"proxy.gateway.workers.{name}", 0.1)
    async with parent() as gateway:
        await gateway.workers.start()
        os.kill(gateway.workers.pids[0], signal.SIGSTOP)
        large = replace(OTHER, version="x" * 1_000_000)
        async with asyncio.timeout(10):
            for number in range(3):
                policy = replace(large, version=f"{number}{large.version}")
                assert await gateway.workers.apply(policy) == [0]
            await gateway.workers.stop(0)


async def test_a_worker_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.workers.GRACE_S", 0.2)
    async with parent() as gateway:
        await gateway.workers.start()
        hanging = gateway.workers.pids[0]
        os.kill(hanging, signal.SIGSTOP)
        started = time.monotonic()
        await gateway.workers.stop(100)
        assert time.monotonic() - started < 3
        assert not is_alive(hanging)


async def test_stopping_while_workers_start_ends_them() -> None:
    """One that was being made when the others were told to drain was never told, and kept the parent for good."""
    async with parent(3) as gateway:
        starting = asyncio.create_task(gateway.workers.start())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await gateway.workers.stop(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert gateway.workers.pids == []


async def test_stopping_does_not_wait_for_a_pause_between_two_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.workers.FIRST_BACKOFF_S", 30.0)
    monkeypatch.setattr("proxy.gateway.workers.LAST_BACKOFF_S", 30.0)
    async with parent(1) as gateway:
        await gateway.workers.start()
        os.kill(gateway.workers.pids[0], signal.SIGKILL)
        await gateway.until(lambda: len(gateway.restarts) == 1)
        async with asyncio.timeout(2):
            await gateway.workers.stop(0)
