"""Log lines: one a request, and what happens to the gateway itself; JSON, one object a line.

Never a token, a key, a cookie, a body or a query: callers give only what is listed in ``gateway.report``, and of an
exception there are its frames, its type and those of its words that stand in the code (``telemetry.plain``).
Requests' lines are gathered for a moment; a reader who is slow stalls no request, and when it is too slow, lines are
dropped and counted.
"""

import asyncio
import logging
import os
import queue
import select
import stat
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import orjson

from proxy.telemetry.causes import Told, causes
from proxy.telemetry.plain import MOST_FRAMES, told, told_record

log = logging.getLogger("sluicegate")

FLUSH_S: Final = 0.05
MAX_PENDING: Final = 8 * 2**20  # bytes that wait for the reader
PIPE_BUF: Final = select.PIPE_BUF  # writes up to this size never mingle with another worker's


class LineWriter:
    """Writes lines to a file descriptor, a few times a second.

    A regular file takes them at once, on the loop. Any other reader may be slow, so a thread waits for it.
    """

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, dropped: Callable[[int], None]) -> None:
        self._fd = fd
        self._loop = loop
        self._dropped = dropped
        self._lines: list[bytes] = []
        self._flush_handle: asyncio.TimerHandle | None = None
        self._queued = 0  # bytes; written by the loop alone
        self._written = 0  # bytes; written by the thread alone
        self._queue: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._thread = threading.Thread(target=self._drain, name="log", daemon=True)
            self._thread.start()

    def write(self, line: bytes) -> None:
        """``line`` ends with a newline."""
        self._lines.append(line)
        if self._flush_handle is None:
            self._flush_handle = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        lines, self._lines = self._lines, []
        if self._thread is None:
            self._write_all(b"".join(lines))
        elif self._queued - self._written > MAX_PENDING:
            self._dropped(len(lines))
        elif lines:
            self._queued += sum(map(len, lines))
            self._queue.put(lines)

    def _drain(self) -> None:
        while (lines := self._queue.get()) is not None:
            chunk: list[bytes] = []
            size = 0
            for line in lines:
                if size + len(line) > PIPE_BUF and chunk:
                    self._write_all(b"".join(chunk))
                    chunk, size = [], 0
                chunk.append(line)
                size += len(line)
            self._write_all(b"".join(chunk))
            self._written += sum(map(len, lines))

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:  # the reader is gone: nothing is left to tell it
                return

    def close(self, timeout_s: float = 2) -> None:
        """Writes what is gathered, and waits for the reader for a moment."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        self._flush()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)


class JsonFormatter(logging.Formatter):
    """The gateway's own events: ``logger.warning("redis away", extra={"fields": {...}})``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "msg": told_record(record),
            "logger": record.name,
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if error := _error_of(record):
            line["exception"] = told_trace(error)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """For a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={value}" for key, value in getattr(record, "fields", {}).items())
        text = f"{record.levelname.lower()}: {told_record(record)}{fields}"
        error = _error_of(record)
        return f"{text}\n{told_trace(error)}" if error else text


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def told_trace(error: BaseException) -> str:
    """An exception and its causes as the interpreter prints them, the first cause first, but with sealed messages."""
    return "\n".join(_told_one(one) for one in reversed(causes(error)))


def _told_one(one: Told) -> str:
    error, said = one.error, told(one.error)
    frames = "".join(traceback.format_tb(error.__traceback__, -MOST_FRAMES))
    ended = f"{type(error).__qualname__}: {said}" if said else type(error).__qualname__
    return f"Traceback (most recent call last):\n{frames}{ended}" + (
        f"  ({one.source} of a later one)" * bool(one.source)
    )


def configure(*, json_lines: bool, level: int = logging.INFO) -> None:
    """Events go to standard error; requests' lines go to standard output. What nobody catches is an event as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    sys.excepthook = _process_ended
    sys.unraisablehook = _not_raised
    threading.excepthook = _thread_ended


# The interpreter itself would print what an exception says.


def _process_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("the process ends by an exception", exc_info=(kind, error, trace))


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        log.critical("a thread ended by an exception", exc_info=args.exc_value)


def _not_raised(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        log.error("an exception had nobody to be raised to", exc_info=args.exc_value)
