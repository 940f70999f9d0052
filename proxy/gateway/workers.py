"""Child processes as the parent sees them: started, told, watched, started again when they die or hang.

The workers are one set, each with a socket; the background process is another, of one, without.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.gateway.control import STACKS_SIGNAL, Applied, Apply, Channel, Drain, Message, Ping, Pong, Ready, Start
from proxy.gateway.watchdog import PING_S, START_S, Watchdog
from proxy.policy.model import Policy
from proxy.sentry.event import About
from proxy.sentry.witness import ABOUT, REPORT
from proxy.store.waiting import until
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.sheet import SheetFiles, SheetReader

log = logging.getLogger("sluicegate.workers")

TELL_S: Final = 1.0
GRACE_S: Final = 2.0  # beyond the drain's deadline: to give leases back and write the last lines
APPLIED_S: Final = 5.0
FIRST_BACKOFF_S: Final = 0.05
LAST_BACKOFF_S: Final = 5.0
STABLE_S: Final = 10.0  # a worker that lived this long starts again without a pause
STACKS_S: Final = 0.5  # for one that hangs to write where it does, before it is ended


class Restart(StrEnum):
    """Why a worker had to be started again: the metric's label and the word in the log."""

    DIED = "died"
    HUNG = "hung"


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process, from its start to its end."""

    index: int
    key: int  # of its sheet
    process: asyncio.subprocess.Process
    channel: Channel
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    applied: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    hung: bool = False


class Workers:
    """All workers of one gateway."""

    def __init__(
        self,
        sockets: Sequence[socket.socket | None],
        start: Callable[[int], Start],
        exposition: Exposition,
        on_restart: Callable[[Restart], None],
        *,
        module: str = "proxy.gateway.worker",
        on_message: Callable[[Message], None] = lambda _: None,
    ) -> None:
        """``on_message`` gets what a child says to other processes than the parent."""
        self._sockets = sockets
        self._module = module
        self._on_message = on_message
        self._start = start
        self._exposition = exposition
        self._on_restart = on_restart
        self._live: dict[int, Worker] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    @property
    def ready_count(self) -> int:
        return sum(worker.ready.is_set() for worker in self._live.values())

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._live.values()]

    def begin(self) -> None:
        """Starts them, if that was not done before, and waits for nothing."""
        if not self._keepers and not self._stopping.is_set():
            self._keepers = [
                asyncio.create_task(self._keep(index), name=f"{self._module}-{index}")
                for index in range(len(self._sockets))
            ]
            for keeper in self._keepers:
                keeper.add_done_callback(_say_if_it_failed)

    async def start(self) -> None:
        """Returns once all answer. Raises: TimeoutError."""
        self.begin()
        async with asyncio.timeout(START_S):
            while self.ready_count < len(self._sockets):
                for keeper in self._keepers:
                    if keeper.done():
                        keeper.result()
                await asyncio.sleep(0.01)

    async def _keep(self, index: int) -> None:
        """One worker after the other on one socket, for as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        backoff_s = 0.0
        while not self._stopping.is_set():
            started = loop.time()
            try:
                worker = await self._spawn(index)
            except OSError as exc:  # no process or descriptor to be had: the others go on, and it is tried again
                log.error("cannot start a worker", extra={"fields": {"worker": index, "error": exc.strerror}})
            else:
                watchdog = Watchdog(loop.time())
                watching = asyncio.create_task(self._watch(worker, watchdog), name=f"watchdog-{index}")
                await self._listen_to(worker, watchdog)
                status = await worker.process.wait()
                watching.cancel()
                self._end(worker)
                if self._stopping.is_set():
                    return
                reason = Restart.HUNG if worker.hung else Restart.DIED
                self._on_restart(reason)
                fields = {"worker": index, "reason": reason.value, "status": status}
                told = {"fields": fields, REPORT: True, ABOUT: self._about(reason, status)}
                log.error("worker died, starting another", extra=told)
            short_lived = loop.time() - started < STABLE_S
            backoff_s = min(max(backoff_s * 2, FIRST_BACKOFF_S), LAST_BACKOFF_S) if short_lived else 0.0
            await until(self._stopping, backoff_s)

    def _about(self, reason: Restart, status: int) -> About:
        return About({"reason": reason.value, "status": str(status), "died": self._module.rpartition(".")[2]})

    def _end(self, worker: Worker) -> None:
        del self._live[worker.index]
        worker.channel.close()
        self._exposition.retire(worker.key)
        worker.ended = True
        worker.changed.set()

    async def _spawn(self, index: int) -> Worker:
        ours, theirs = socket.socketpair()
        files = SheetFiles.make()
        sock = self._sockets[index]
        listen_fd = () if sock is None else (sock.fileno(),)
        fds = (theirs.fileno(), files.names_fd, files.values_fd, *listen_fd)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *map(str, fds),
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C is for the parent, which drains: no worker may hear it first
            )
        except BaseException:
            ours.close()
            files.close()
            raise
        finally:
            theirs.close()
        key = self._exposition.attach(SheetReader(files))
        worker = Worker(index, key, process, await Channel.over(ours))
        start = self._start(index)
        await self._tell([worker], start)
        self._live[index] = worker
        if (newest := self._start(index).policy) is not start.policy:  # a reload meanwhile passed this worker by
            await self._tell([worker], Apply(newest))
        if self._stopping.is_set():  # so did the drain
            await self._tell([worker], Drain(0))
        return worker

    async def _listen_to(self, worker: Worker, watchdog: Watchdog) -> None:
        clock = asyncio.get_running_loop().time
        while (message := await worker.channel.receive()) is not None:
            match message:
                case Pong():
                    watchdog.heard(clock())
                case Ready():
                    watchdog.ready(clock())
                    worker.ready.set()
                case Applied(version):
                    worker.applied = version
                    worker.changed.set()
                case _:
                    self._on_message(message)

    async def _watch(self, worker: Worker, watchdog: Watchdog) -> None:
        """Ends it when it hangs. One that drains has a deadline instead, which ``stop`` keeps."""
        loop = asyncio.get_running_loop()
        while True:
            await until(self._stopping, PING_S)
            if self._stopping.is_set():
                return
            if watchdog.tick(loop.time()):
                break
            if worker.ready.is_set():
                await self._tell([worker], Ping())
        worker.hung = True
        fields = {"worker": worker.index, "pid": worker.process.pid}
        log.error("worker hangs, ending it; its stacks follow if it can still write them", extra={"fields": fields})
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            worker.process.send_signal(STACKS_SIGNAL)
            await asyncio.sleep(STACKS_S)
            worker.process.kill()

    async def apply(self, policy: Policy) -> list[int]:
        """Gives every worker the policy; returns the indexes of those that did not confirm in time.

        A worker that is just starting is told too, and not waited for.
        """
        await self._tell(list(self._live.values()), Apply(policy))
        workers = [worker for worker in self._live.values() if worker.ready.is_set()]
        late: list[int] = []
        deadline = asyncio.get_running_loop().time() + APPLIED_S
        for worker in workers:
            try:
                async with asyncio.timeout_at(deadline):
                    while worker.applied != policy.version and not worker.ended:  # its successor starts with it
                        worker.changed.clear()
                        await worker.changed.wait()
            except TimeoutError:
                late.append(worker.index)
        return late

    async def tell(self, message: Message, index: int | None = None) -> None:
        """To one of them, or to all; one that is just starting gets it too."""
        await self._tell([worker for worker in self._live.values() if index in (None, worker.index)], message)

    async def stop(self, drain_ms: int) -> None:
        """Lets workers finish what is under way, and ends those that don't by the deadline."""
        self._stopping.set()
        await self._tell(list(self._live.values()), Drain(drain_ms))
        if not self._keepers:
            return
        _, late = await asyncio.wait(self._keepers, timeout=drain_ms / 1000 + GRACE_S)
        if late:
            for worker in self._live.values():
                if worker.process.returncode is None:
                    worker.process.kill()
            await asyncio.wait(late)

    async def _tell(self, workers: list[Worker], message: Message) -> None:
        for worker in workers:
            try:
                async with asyncio.timeout(TELL_S):
                    await worker.channel.send(message)
            except ConnectionError:
                continue  # it died: its successor starts with what is in force then
            except TimeoutError:
                continue  # it hangs and its buffer is full: that must not hold up the others, nor the end


def _say_if_it_failed(keeper: asyncio.Task[None]) -> None:
    """Nobody awaits a keeper before the gateway ends: without this a mistake of ours would cost a process unseen."""
    if not keeper.cancelled() and (error := keeper.exception()) is not None:
        log.critical("a process is not kept any more", exc_info=error, extra={"fields": {"keeper": keeper.get_name()}})
