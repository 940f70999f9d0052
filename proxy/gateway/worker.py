"""A worker process: one socket, one loop, nothing but requests. The parent runs it as ``-m proxy.gateway.worker``."""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys

import uvloop

from proxy.core.clock import SystemClock
from proxy.gateway.connection import ConnectionServer
from proxy.gateway.control import (
    STACKS_SIGNAL,
    Applied,
    Apply,
    Channel,
    Drain,
    Granted,
    LedgerHas,
    Message,
    Ping,
    Pong,
    Ready,
    Start,
)
from proxy.gateway.handler import Handler
from proxy.gateway.looplag import tell_lag
from proxy.gateway.sockets import stop_listening
from proxy.sentry.witness import Witness
from proxy.telemetry.log import LineWriter, configure
from proxy.telemetry.metrics import CONNECTIONS, CONNECTIONS_REFUSED, LOG_DROPPED, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles

log = logging.getLogger("sluicegate.worker")

GC_GENERATION_0 = 20_000  # requests make few cycles; the default of 700 costs 3% of the time


class Worker:
    """Everything one worker process owns."""

    def __init__(self, channel: Channel, sock: socket.socket, metrics: Metrics) -> None:
        self._channel = channel
        self._sock = sock
        self._metrics = metrics
        self.witness = Witness("worker", metrics)

    async def run(self) -> None:
        start = await self._channel.receive()
        if not isinstance(start, Start):
            return  # the parent has gone
        self.witness.follow(start.policy)
        loop = asyncio.get_running_loop()
        metrics = self._metrics
        lines = LineWriter(sys.stdout.fileno(), loop, lambda count: metrics.inc(LOG_DROPPED, by=count))
        handler = Handler(start, metrics, lines, SystemClock(), self.witness)
        handler.calls.link.open(self._say)
        handler.failures.open(self._say)
        await handler.open(start.policy)
        lag = asyncio.create_task(tell_lag(metrics), name="loop lag")
        open_slot = metrics.slot(CONNECTIONS)

        def count(connections: int, refused: bool) -> None:
            metrics.values[open_slot] = connections
            if refused:
                metrics.inc(CONNECTIONS_REFUSED)

        connections = ConnectionServer(
            loop, lambda: handler.runtime.policy.listen, handler, handler.refuse_connection, count
        )
        connections.recall = handler.recall
        server = await loop.create_server(connections, sock=self._sock.dup(), backlog=1024)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_GENERATION_0, 20, 50)
        await self._channel.send(Ready())
        drain_ms = await self._obey(handler)
        deadline_s = loop.time() + drain_ms / 1000
        server.close()
        connections.draining = True
        for queued in stop_listening(self._sock):
            await loop.connect_accepted_socket(connections, queued)
        if cut := await self._drain(connections, deadline_s):
            log.warning("connections cut at the drain's deadline", extra={"fields": {"connections": cut}})
        lag.cancel()
        await handler.close()
        lines.close()

    async def _drain(self, connections: ConnectionServer, deadline_s: float) -> int:
        """How many connections had to be cut at the deadline, or at an earlier one that the parent names meanwhile."""
        draining = asyncio.create_task(connections.drain(deadline_s))
        hurried = asyncio.create_task(self._hurried())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done() and (deadline_ms := await hurried) is not None:
            draining.cancel()
            return await connections.drain(asyncio.get_running_loop().time() + deadline_ms / 1000)
        hurried.cancel()
        return await draining

    async def _hurried(self) -> int | None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Drain):
                return message.deadline_ms
        return None

    async def _obey(self, handler: Handler) -> int:
        """Until the parent says to drain, or is gone; returns how long the drain may take, in milliseconds."""
        while True:
            match await self._channel.receive():
                case Apply(policy):
                    try:
                        await handler.apply(policy)
                    except OSError as exc:  # a file that was there when the parent looked; it hears of no confirmation
                        log.error("policy not applied, the old one stays", extra={"fields": {"error": str(exc)}})
                        continue
                    await self._say(Applied(policy.version))
                case Ping():
                    await self._say(Pong())
                case Granted(granted):
                    handler.grant(granted)
                case LedgerHas() as answer:
                    handler.calls.link.heard(answer)
                case Drain(deadline_ms):
                    return deadline_ms
                case None:
                    log.error("the parent has gone, draining")
                    return handler.runtime.policy.listen.drain_ms
                case _:
                    continue

    async def _say(self, message: Message) -> None:
        try:
            await self._channel.send(message)
        except ConnectionError:
            pass  # the parent has gone: the next word received says so, and this worker drains


async def _run(control_fd: int, names_fd: int, values_fd: int, listen_fd: int) -> None:
    channel = await Channel.over(socket.socket(fileno=control_fd))
    sock = socket.socket(fileno=listen_fd)
    worker = Worker(channel, sock, Metrics(Sheet(SheetFiles(names_fd, values_fd))))
    with worker.witness.witnessing():
        await worker.run()


def main() -> None:
    # The parent hears the terminal's and the orchestrator's signals and tells its workers what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Written by a C handler, so that it works where Python code gets no turn: names of files and functions, no values.
    faulthandler.register(STACKS_SIGNAL, file=sys.stderr, all_threads=True)
    configure(json_lines=os.environ.get("SLUICEGATE_LOG", "json") == "json")
    control_fd, names_fd, values_fd, listen_fd = map(int, sys.argv[1:5])
    uvloop.run(_run(control_fd, names_fd, values_fd, listen_fd))


if __name__ == "__main__":
    main()
