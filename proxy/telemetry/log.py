"""Log lines: one a request, and what happens to the gateway itself; JSON, one object a line.

Never a token, a key, a cookie, a body or a query: callers give only what is listed in ``gateway.report``.
Requests' lines are gathered for a moment; a reader who is slow stalls no request, and when it is too slow, lines are
dropped and counted.
"""

import asyncio
import logging
import os
import queue
import select
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

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
            "msg": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """For a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={value}" for key, value in getattr(record, "fields", {}).items())
        text = f"{record.levelname.lower()}: {record.getMessage()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(*, json_lines: bool, level: int = logging.INFO) -> None:
    """Events go to standard error; requests' lines go to standard output."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
