"""The thread of one process that writes into its spool, so that no request waits for a disk."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic

from proxy.spooling.spool import K, Spool

MOST_QUEUED: Final = 4_096  # files that wait for the disk
MOST_QUEUED_BYTES: Final = 32 << 20  # of those whose size is known before they are made
TRIM_S: Final = 1.0
TRIM_BYTES: Final = 8 << 20
CLOSE_S: Final = 2.0


class Writer(Generic[K]):
    """Starts with the first thing that is to be written. ``spool`` is set before that.

    ``dropped`` is told in the thread what went for want of room, ``failed`` that the disk takes nothing: once, until
    it takes something again.
    """

    def __init__(self, name: str, dropped: Callable[[K, int], None], failed: Callable[[OSError], None]) -> None:
        self.spool: Spool[K] | None = None
        self._name = name
        self._dropped = dropped
        self._failed = failed
        self._queue: queue.SimpleQueue[tuple[K, Callable[[], Sequence[bytes]], int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._trimmed_s = 0.0
        self._untrimmed_bytes = 0
        self._queued_bytes = 0  # ever; written by the loop alone
        self._written_bytes = 0  # ever; written by the thread alone

    def put(self, kind: K, envelopes: Callable[[], Sequence[bytes]], size: int = 0) -> bool:
        """Writes envelopes, which are made in the thread; ``size``: their bytes, where they are large.

        False: the disk is too far behind.
        """
        if self._queue.qsize() >= MOST_QUEUED or self._queued_bytes - self._written_bytes > MOST_QUEUED_BYTES:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name=self._name, daemon=True)
            self._thread.start()
        self._queued_bytes += size
        self._queue.put((kind, envelopes, size))
        return True

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Writes what is queued, and waits for that."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)
            self._thread = None

    # --- in the thread ---

    def _write(self) -> None:
        failed = False
        while (item := self._queue.get()) is not None:
            kind, envelopes, size = item
            spool = self.spool
            assert spool is not None
            try:
                spool.write(kind, envelopes())
                self._untrimmed_bytes += size
                if time.monotonic() - self._trimmed_s > TRIM_S or self._untrimmed_bytes > TRIM_BYTES:
                    self._trimmed_s, self._untrimmed_bytes = time.monotonic(), 0
                    for dropped, count in spool.trim().items():
                        self._dropped(dropped, count)
                failed = False
            except OSError as error:  # a full disk must not cost more than what waits for it
                if not failed:
                    self._failed(error)
                failed = True
            finally:
                self._written_bytes += size
