"""The parent: owns sockets, the embedded Redis and the summed metrics; starts, reloads and drains the workers.

It answers no client. Signals: SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reloads.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final, Protocol

from proxy import __version__
from proxy.alerts.shelf import Shelf
from proxy.core.clock import Clock, SystemClock
from proxy.gateway.certificates import watch_certificates
from proxy.gateway.control import (
    Apply,
    AskLedger,
    BudgetRefused,
    Failed,
    Granted,
    IsolationViolated,
    LedgerHas,
    Message,
    Opened,
    Start,
)
from proxy.gateway.cores import cores
from proxy.gateway.failures import RecentFailures
from proxy.gateway.meterstore import meters_redis, warn_of_settings
from proxy.gateway.policyfiles import PolicyFiles
from proxy.gateway.redismemory import stores_of, watch_memory
from proxy.gateway.servicealerts import ServiceAlerts
from proxy.gateway.sockets import bind
from proxy.gateway.workers import Workers
from proxy.metering.budgets import Grants
from proxy.otlp.courier import Courier as OtlpCourier
from proxy.policy.compiler import Loaded
from proxy.policy.model import Maintenance, Policy
from proxy.policy.problems import PolicyError
from proxy.sentry.courier import Courier
from proxy.sentry.witness import Witness
from proxy.store.waiting import until
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import (
    BACKGROUND_RESTARTS,
    BUILD_INFO,
    RELOAD_OK,
    RELOADS,
    WORKER_RESTARTS,
    WORKERS,
    Metrics,
)
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader

log = logging.getLogger("sluicegate")

WATCH_S: Final = 1.0
BACKGROUND_START_S: Final = 3.0
BACKGROUND_DRAIN_MS: Final = 3_000  # to move what the workers settled last

# What a running gateway cannot change: (what ops call it, how to read it).
_FIXED: Final[tuple[tuple[str, Callable[[Policy], object]], ...]] = (
    ("listen.address", lambda policy: policy.listen.address),
    ("listen.workers", lambda policy: policy.listen.workers),
    ("metrics.address", lambda policy: policy.metrics),
    ("admin", lambda policy: policy.admin),
    ("redis.meters", lambda policy: policy.redis.meters),
    ("data_dir", lambda policy: policy.data_dir),
)


class PolicySource(Protocol):
    """Where the policy comes from; ``load`` reads it anew. Raises: PolicyError, OSError."""

    def load(self) -> Loaded: ...


class Supervisor:
    """One gateway."""

    def __init__(self, source: PolicySource, loaded: Loaded, clock: Clock | None = None) -> None:
        self._source = source
        self._files = PolicyFiles(loaded.files, loaded.globs)
        self._file_policy = loaded.policy
        self._maintenance: Maintenance | None = None
        self._switches = 0  # of maintenance: each makes another version, as workers confirm by it
        self.policy = loaded.policy
        self.clock = clock or SystemClock()
        self.exposition = Exposition()
        files = SheetFiles.make()
        self.metrics = Metrics(Sheet(files))
        self.exposition.attach(SheetReader(files))
        self.metrics.set(RELOAD_OK, 1)
        self.metrics.set(BUILD_INFO, 1, __version__)
        self.failures = RecentFailures()
        self.problems: tuple[str, ...] = ()  # of the last reload; none: it is in force
        self._witness = Witness("parent", self.metrics)
        self._courier = Courier(loaded.policy.data_dir, self.metrics)
        told, began_s = self.exposition.told, self.exposition.began_s
        self._otlp = OtlpCourier(loaded.policy.data_dir, self.metrics, told, began_s)
        self._alerts = ServiceAlerts(self.exposition, self.metrics, self.clock)
        self._pseudonym = f"sluicegate-{secrets.token_hex(4)}"
        self._workers: Workers | None = None
        self._background: Workers | None = None
        self._granted: Grants = {}
        self._opened = asyncio.Event()
        self._relays: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.draining = False
        self.port = 0

    # --- life ---

    async def run(
        self,
        services: Sequence[Callable[["Supervisor"], AbstractAsyncContextManager[None]]] = (),
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Serves until stopped. ``services`` (the read-only and admin listeners) live from before ready to drained.

        Raises: CannotListen, and what the embedded Redis raises when it cannot start.
        """
        policy = self.policy
        count = policy.listen.workers or cores()
        async with contextlib.AsyncExitStack() as stack:
            self._tell_observers(policy)
            await stack.enter_async_context(self._courier.working())
            await stack.enter_async_context(self._otlp.working())
            stack.enter_context(self._witness.witnessing())
            sockets = bind(policy.listen.address, count)
            for sock in sockets:
                stack.callback(sock.close)
            self.port = sockets[0].getsockname()[1]
            gateway = f"{socket.gethostname()}:{self.port}"
            shelf = Shelf(policy.data_dir, str(self.port))
            await stack.enter_async_context(self._alerts.working(gateway, shelf))
            self._install_signals()
            for service in services:
                await stack.enter_async_context(service(self))
            redis_url = await stack.enter_async_context(meters_redis(policy))
            self._workers = Workers(
                sockets,
                lambda index: self._start(index, count, redis_url),
                self.exposition,
                lambda reason: self.metrics.inc(WORKER_RESTARTS, reason),
                on_message=self._relay,
            )
            self._background = Workers(
                [None],
                lambda index: self._start(index, count, redis_url),
                self.exposition,
                lambda reason: self.metrics.inc(BACKGROUND_RESTARTS, reason),
                module="proxy.gateway.background",
                on_message=self._relay,
            )
            try:
                await self._unless_stopped(self._begin_background())
                if await self._unless_stopped(self._workers.start()):
                    self._say_ready(count)
                    on_ready()
                    for name, looking in (
                        ("redis settings", warn_of_settings(policy, redis_url)),
                        ("redis memory", watch_memory(stores_of(policy, redis_url).items(), self.metrics, self.clock)),
                        ("certificates", watch_certificates(lambda: self.policy, self.metrics)),
                    ):
                        stack.callback(asyncio.create_task(looking, name=name).cancel)
                    await self._watch_until_stopped()
            finally:
                self.draining = True
                await self._drain(self.policy.listen.drain_ms)

    def _tell_observers(self, policy: Policy) -> None:
        self._witness.follow(policy)
        self._courier.follow(policy.watching.sentry)
        self._otlp.follow(policy.watching.otlp)
        self._alerts.follow(policy)

    def _say_ready(self, count: int) -> None:
        self._count_workers()
        fields = {
            "address": str(replace(self.policy.listen.address, port=self.port)),
            "workers": count,
            "policy": self.policy.version,
            "pid": os.getpid(),
        }
        log.info("ready", extra={"fields": fields})

    async def _unless_stopped(self, starting: Coroutine[Any, Any, None]) -> bool:
        """Whether it came to its end before somebody stopped the gateway."""
        task = asyncio.create_task(starting)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        return False

    def _start(self, index: int, count: int, redis_url: str) -> Start:
        return Start(index, count, redis_url, self._pseudonym, self.policy, self._granted)

    def _start_background(self) -> None:
        """Once there is a ledger."""
        if self._background is not None and self.policy.ledger is not None:
            self._background.begin()

    async def _begin_background(self) -> None:
        """So that the first call finds its budgets open. A ledger that is away holds nobody up for long."""
        self._start_background()
        if self._background is not None and self.policy.ledger is not None:
            try:
                async with asyncio.timeout(BACKGROUND_START_S):
                    await self._opened.wait()
            except TimeoutError:
                log.warning("the ledger is not ready: calls that are held from budgets wait for it")

    def _relay(self, message: Message) -> None:
        """What one child says to others."""
        assert self._workers is not None
        assert self._background is not None
        match message:
            case AskLedger() | BudgetRefused() | IsolationViolated():
                saying = self._background.tell(message)
            case LedgerHas(worker):
                saying = self._workers.tell(message, worker)
            case Opened():
                self._opened.set()
                return
            case Failed(failures):
                self.failures.add(failures)
                return
            case Granted(granted):
                self._granted = granted
                saying = self._workers.tell(message)
            case _:
                log.error("unexpected message", extra={"fields": {"kind": type(message).__name__}})
                return
        task = asyncio.create_task(saying)
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    def stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._reloads: set[asyncio.Task[bool]] = set()
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        task = asyncio.create_task(self.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _watch_until_stopped(self) -> None:
        while not self._stop.is_set():
            await until(self._stop, WATCH_S)
            self._count_workers()
            if self._files.changed():
                await self.reload()

    def _count_workers(self) -> None:
        self.metrics.set(WORKERS, self.ready_workers)

    async def _drain(self, drain_ms: int) -> None:
        assert self._workers is not None
        log.info("draining", extra={"fields": {"deadline_ms": drain_ms}})
        stopping = asyncio.create_task(self._workers.stop(drain_ms))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await self._workers.stop(0)
        hurry.cancel()
        await stopping
        if self._background is not None:
            await self._background.stop(0 if self._hurry.is_set() else BACKGROUND_DRAIN_MS)
        log.info("stopped")

    # --- state that the listeners show ---

    @property
    def ready_workers(self) -> int:
        return self._workers.ready_count if self._workers else 0

    @property
    def worker_pids(self) -> list[int]:
        return self._workers.pids if self._workers else []

    @property
    def ready(self) -> bool:
        return not self.draining and self.ready_workers > 0

    # --- the policy ---

    async def reload(self) -> bool:
        """Reads the policy anew and gives it to all workers: whole, or not at all. Returns whether it is in force."""
        async with self._reloading:
            self._files.look()
            try:
                loaded = await asyncio.to_thread(self._source.load)
            except PolicyError as exc:
                self._files.refused(exc.files, exc.globs)
                return self._rejected([str(problem) for problem in exc.problems])
            except OSError as exc:
                return self._rejected([f"{exc.filename}: {exc.strerror}"])
            except Exception as exc:  # a reload ends here: no file, whatever is in it, may end the gateway
                log.exception("the policy could not be read")
                return self._rejected([f"{type(exc).__name__} while it was read"])
            self._files.accepted(loaded.files, loaded.globs)
            fixed = [name for name, read in _FIXED if read(loaded.policy) != read(self._file_policy)]
            if self._file_policy.ledger is not None and loaded.policy.ledger != self._file_policy.ledger:
                fixed.append("ledger")  # without spending there was none, and one may come
            if fixed:
                return self._rejected([f"{name} can only change with a restart" for name in fixed])
            for warning in loaded.warnings:
                log.warning(str(warning))
            if loaded.policy.version != self._file_policy.version:
                self._file_policy = loaded.policy
                await self._apply()
            self.problems = ()
            self.metrics.inc(RELOADS, "applied")
            self.metrics.set(RELOAD_OK, 1)
            log.info("policy in force", extra={"fields": {"policy": self.policy.version}})
            return True

    def _rejected(self, problems: list[str]) -> bool:
        self.problems = tuple(problems)
        self.metrics.inc(RELOADS, "rejected")
        self.metrics.set(RELOAD_OK, 0)
        for problem in problems:
            log.error("policy rejected, the old one stays: %s", problem)
        return False

    async def set_maintenance(self, maintenance: Maintenance | None) -> None:
        """Switches maintenance without an edit; what the file says holds again after None."""
        async with self._reloading:
            self._maintenance = maintenance
            self._switches += 1
            await self._apply()

    async def _apply(self) -> None:
        policy = self._file_policy
        if self._maintenance is not None:
            policy = replace(policy, maintenance=self._maintenance, version=f"{policy.version}-m{self._switches}")
        self.policy = policy
        self._tell_observers(policy)
        if self._workers is not None and (late := await self._workers.apply(policy)):
            log.error("workers did not confirm the policy", extra={"fields": {"workers": late}})
        self._start_background()
        if self._background is not None:
            await self._background.tell(Apply(policy))
