"""One worker process, its parent's side of the channel in the test's hands."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from proxy.gateway.control import STACKS_SIGNAL, Applied, Apply, Channel, Drain, Ping, Pong, Ready, Start
from proxy.gateway.sockets import bind
from proxy.telemetry.sheet import SheetFiles, SheetReader
from tests.e2e.gateway import reached
from tests.gateway.lives import OTHER, POLICY

REQUEST = b"GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n"


@dataclass
class Life:
    process: asyncio.subprocess.Process
    channel: Channel
    sock: socket.socket
    counts: SheetReader

    async def answer_status(self) -> int:
        host, port = self.sock.getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(REQUEST)
        status = int((await reader.readline()).split()[1])
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return status

    def counted(self, name: str, *labels: str) -> float:
        return dict(self.counts.series()).get((name, labels), 0)

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def worker(stderr: int = asyncio.subprocess.DEVNULL) -> AsyncIterator[Life]:
    (sock,) = bind(POLICY.listen.address, 1)
    ours, theirs = socket.socketpair()
    files = SheetFiles.make()
    fds = (theirs.fileno(), files.names_fd, files.values_fd, sock.fileno())
    command = [sys.executable, "-m", "proxy.gateway.worker", *map(str, fds)]
    process = await asyncio.create_subprocess_exec(
        *command, pass_fds=fds, stdout=asyncio.subprocess.DEVNULL, stderr=stderr
    )
    theirs.close()
    life = Life(process, await Channel.over(ours), sock, SheetReader(files))
    try:
        yield life
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        life.channel.close()
        life.counts.close()
        sock.close()


def start() -> Start:
    return Start(0, 1, POLICY.redis.meters, "gate", POLICY)


async def test_it_says_when_it_is_ready_and_answers_from_then_on() -> None:
    """The upstream of this policy does not exist, nor does its Redis: 502 is its word."""
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        assert await life.answer_status() == 502
        await reached(lambda: life.counted("sluicegate_requests", "app", "anonymous", "502", "failed") == 1)
        assert life.counted("sluicegate_upstream_failures", "app", "upstream_refused") == 1
        assert life.counted("sluicegate_redis_breaker_open") == 1


async def test_a_policy_is_applied_and_confirmed() -> None:
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        await life.channel.send(Apply(OTHER))
        assert await life.channel.receive() == Applied(OTHER.version)
        await life.answer_status()
        await reached(lambda: life.counted("sluicegate_requests", "other", "anonymous", "502", "failed") == 1)


async def test_a_policy_whose_files_have_gone_leaves_the_old_one_in_force_and_is_not_confirmed() -> None:
    """It was there when the parent looked. The worker lives: its successor would find no file either."""
    upstream = replace(
        POLICY.upstreams["app"],
        primary=(replace(POLICY.upstreams["app"].primary[0], scheme="https"),),
        ca_file="/nowhere/ca.pem",
    )
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        await life.channel.send(Apply(replace(OTHER, upstreams={"app": upstream})))
        await life.channel.send(Apply(replace(OTHER, version="the next one")))
        assert await life.channel.receive() == Applied("the next one")
        assert await life.answer_status() == 502


async def test_asked_whether_its_loop_turns_it_says_so() -> None:
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        for _ in range(3):
            await life.channel.send(Ping())
            assert await life.channel.receive() == Pong()


async def test_told_to_it_writes_where_it_is_and_goes_on() -> None:
    async with worker(stderr=asyncio.subprocess.PIPE) as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        life.process.send_signal(STACKS_SIGNAL)
        assert life.process.stderr is not None
        async with asyncio.timeout(5):
            while b"proxy/gateway/worker.py" not in (line := await life.process.stderr.readline()):
                assert line
        await life.channel.send(Ping())
        assert await life.channel.receive() == Pong()


async def test_a_parent_that_dies_while_it_is_answered_is_no_reason_to_drop_requests() -> None:
    """It drains, as it does whenever its parent has gone."""
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        for _ in range(100):
            await life.channel.send(Ping())
        life.channel.close()
        assert await life.ended() == 0


async def test_told_to_drain_it_ends() -> None:
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        await life.channel.send(Drain(1000))
        assert await life.ended() == 0


async def test_told_to_drain_before_it_is_ready_it_ends_all_the_same() -> None:
    async with worker() as life:
        await life.channel.send(start())
        await life.channel.send(Drain(1000))
        assert await life.ended() == 0


async def test_without_its_parent_it_drains_and_ends() -> None:
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        life.channel.close()
        assert await life.ended() == 0


async def test_a_parent_that_is_gone_before_the_first_word_ends_it_too() -> None:
    async with worker() as life:
        life.channel.close()
        assert await life.ended() == 0


async def test_the_terminals_and_the_orchestrators_signals_are_for_the_parent() -> None:
    async with worker() as life:
        await life.channel.send(start())
        assert await life.channel.receive() == Ready()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(life.process.pid, number)
        assert await life.answer_status() == 502
