"""A server that ops trust: it stops, reloads and loses workers without failing what it has accepted."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from tests.e2e.gateway import ROOT, Client, Gateway, bearer, eventually, get, is_alive, once, reached, running
from tests.e2e.origin import OK, Exchange, Origin, Script
from tests.e2e.policies import policy

ROUTES = """
limits: {open-limit: {scope: user, rate: 1000000/1m}}
routes: [{name: app, match: {path: "/**"}, upstream: app, auth: optional, limits: [open-limit]}]
"""


def taking(seconds: float) -> Script:
    """An answer that takes so long."""

    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.send(OK)

    return answer


class Load:
    """Clients that request all the time until they are told to stop or refused a connection.

    ``failed`` are requests without a whole 200 on a connection that was made before ``since`` was set; what fails on
    later connections is counted in ``late``.
    """

    def __init__(self, gateway: Gateway, *, connections: int = 8) -> None:
        self.gateway = gateway
        self.statuses: Counter[int] = Counter()
        self.failed: list[str] = []
        self.late: Counter[str] = Counter()
        self.refused_connections = 0
        self.since = float("inf")
        self._stop = False
        self._connections = connections

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        port = self.gateway.port
        tasks = [asyncio.create_task(self._client(port, keeps=n % 2 == 0)) for n in range(self._connections)]
        try:
            await self.answered(50)
            yield self
        finally:
            self._stop = True
            await asyncio.gather(*tasks)

    async def answered(self, more: int) -> None:
        """Returns after so many more answers."""
        goal = self.statuses.total() + more
        await reached(lambda: self.statuses.total() >= goal, 20)

    async def _client(self, port: int, *, keeps: bool) -> None:
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                self.refused_connections += 1
                return
            except OSError as exc:
                self.late[type(exc).__name__] += 1
                return
            made = time.monotonic()
            client = Client(reader, writer)
            async with client:
                while not self._stop:
                    try:
                        await client.send(get("/load"))
                        answer = await client.answer()
                    except (OSError, EOFError, TimeoutError) as exc:
                        self._fail(made, repr(exc))
                        break
                    self.statuses[answer.status] += 1
                    if answer.status != 200 or not answer.whole:
                        self._fail(made, f"{answer.status} {answer.body!r}")
                    if answer.get("Connection") == "close" or not keeps:
                        break

    def _fail(self, made: float, what: str) -> None:
        if made < self.since:
            self.failed.append(what)
        else:
            self.late[what] += 1


async def ended(gateway: Gateway, within_s: float = 15) -> int:
    return await asyncio.to_thread(gateway.process.wait, within_s)


async def seen(origin: Origin, path: str, times: int = 1) -> None:
    await reached(lambda: sum(path in request.request_line for request in origin.seen) >= times)


async def test_39_sigterm_under_load_fails_no_request_on_a_connection_made_before(origin: Origin) -> None:
    """Kept-alive connections and new ones, until they are refused; slow requests in flight finish; exit code 0."""
    origin.answers["/slow"] = taking(0.8)
    with running(policy(origin.port, ROUTES)) as gateway:
        children = gateway.children()
        load = Load(gateway, connections=16)
        async with load.running():
            slow = [asyncio.create_task(once(gateway, get("/slow"))) for _ in range(4)]
            await seen(origin, "/slow", 4)
            load.since = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*slow)
            assert await ended(gateway) == 0
        assert load.failed == []
        # Made between the last accept and the shutdown of the socket, microseconds later: after SIGTERM in any case.
        assert load.late.total() <= 2
        assert load.refused_connections > 0
        assert [answer.status for answer in answers] == [200] * 4
        assert all(answer.get("Connection") == "close" for answer in answers)
        assert not any(is_alive(child) for child in children)
        assert gateway.other_output == []


async def test_39_connections_that_wait_in_the_queue_at_sigterm_are_answered(origin: Origin) -> None:
    """Workers that are stopped accept nothing, so the kernel keeps these connections; then SIGTERM comes first."""
    with running(policy(origin.port, ROUTES)) as gateway:
        workers = gateway.worker_pids()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(await Client.connect(gateway)) for _ in range(20)]
            for client in clients:
                await client.send(get("/queued"))
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.event, "draining")
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            answers = [await client.answer() for client in clients]
        assert [(answer.status, answer.get("Connection")) for answer in answers] == [(200, "close")] * 20
        assert await ended(gateway) == 0


async def test_39_once_draining_new_connections_are_refused_at_once(origin: Origin) -> None:
    """Not taken by the kernel for nobody to answer: the client would wait for a reset."""
    origin.answers["/slow"] = taking(1.5)
    with running(policy(origin.port, ROUTES)) as gateway:
        port = gateway.port
        slow = asyncio.create_task(once(gateway, get("/slow")))
        await seen(origin, "/slow")
        gateway.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                return True
            return False

        await asyncio.to_thread(eventually, refused, 2)
        assert not slow.done()
        assert (await slow).status == 200


async def test_39_the_drains_deadline_cuts_what_does_not_end(origin: Origin) -> None:
    origin.answers["/endless"] = taking(60)
    with running(policy(origin.port, ROUTES, listen="drain: 500ms")) as gateway:
        async with await Client.connect(gateway) as client:
            await client.send(get("/endless"))
            await seen(origin, "/endless")
            started = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            assert await client.closed()
            assert await ended(gateway) == 0
            assert 0.4 < time.monotonic() - started < 3
        assert gateway.event("connections cut at the drain's deadline")["connections"] == 1


async def test_39_a_second_sigterm_does_not_wait(origin: Origin) -> None:
    origin.answers["/endless"] = taking(60)
    with running(policy(origin.port, ROUTES, listen="drain: 1m")) as gateway:
        async with await Client.connect(gateway) as client:
            await client.send(get("/endless"))
            await seen(origin, "/endless")
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.event, "draining")
            gateway.process.send_signal(signal.SIGTERM)
            assert await ended(gateway, 20) == 0, "long before the deadline"
        assert gateway.event("connections cut at the drain's deadline")["connections"] == 1


async def test_ctrl_c_ends_everything_cleanly(origin: Origin) -> None:
    """SIGINT to the whole process group, as a terminal sends it: exit code 0, no traceback, nothing left behind."""
    with running(policy(origin.port, ROUTES)) as gateway:
        children = gateway.children()
        assert len(children) == 3  # two workers and Redis
        assert (await once(gateway, get("/"))).status == 200
        os.killpg(gateway.process.pid, signal.SIGINT)
        assert await ended(gateway) == 0
        eventually(lambda: not any(is_alive(child) for child in children))
        assert gateway.other_output == []
        assert not any("exception" in event or event["level"] == "error" for event in gateway.events)


def test_ctrl_c_while_it_starts_is_clean_too(origin: Origin) -> None:
    """As soon as the first listener is there: workers are still being started."""
    with tempfile.TemporaryDirectory(prefix="sg-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(policy(origin.port, ROUTES))
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "run", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            process_group=0,
        )
        with process:
            assert "listening" in process.stderr.readline()
            os.killpg(process.pid, signal.SIGINT)
            rest = process.stderr.read()
        assert process.returncode == 0, rest
        assert "Traceback" not in rest


async def test_when_the_parent_is_killed_workers_finish_and_redis_ends(origin: Origin) -> None:
    """SIGKILL leaves it no time to tell anyone; what is in flight is answered all the same."""
    origin.answers["/slow"] = taking(0.5)
    with running(policy(origin.port, ROUTES)) as gateway:
        children = gateway.children()
        slow = asyncio.create_task(once(gateway, get("/slow")))
        await seen(origin, "/slow")
        gateway.process.kill()
        assert (await slow).status == 200
        await asyncio.to_thread(eventually, lambda: not any(is_alive(child) for child in children))


async def test_a_killed_worker_loses_only_what_it_held(origin: Origin) -> None:
    """Others go on, another takes its place on the same socket, and what it had counted stays counted."""
    with running(policy(origin.port, ROUTES, workers=2)) as gateway:
        load = Load(gateway, connections=8)
        async with load.running():
            first = gateway.worker_pids()
            os.kill(first[0], signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: len(set(gateway.worker_pids()) - set(first)) == 1)
            await asyncio.to_thread(eventually, lambda: gateway.metric("sluicegate_workers") == 2)
            await load.answered(200)
            assert first[1] in gateway.worker_pids()
        # At most one request on each connection that it held; all the others were answered.
        assert len(load.failed) <= 8
        assert set(load.statuses) == {200}
        await reached(lambda: gateway.metric("sluicegate_requests_in_flight") == 0)
        counted = gateway.metric(r"sluicegate_requests_total")
        assert load.statuses.total() <= counted <= load.statuses.total() + len(load.failed)
        assert gateway.metric("sluicegate_worker_restarts_total") == 1
        assert gateway.stop() == 0


async def test_a_worker_that_dies_again_and_again_does_not_take_the_gateway_along(origin: Origin) -> None:
    with running(policy(origin.port, ROUTES, workers=2)) as gateway:
        for _ in range(3):
            pids = gateway.worker_pids()
            os.kill(pids[0], signal.SIGKILL)
            eventually(lambda pids=pids: pids[0] not in gateway.worker_pids() and len(gateway.worker_pids()) == 2)
        assert (await once(gateway, get("/", bearer()))).status == 200
        assert gateway.stop() == 0
