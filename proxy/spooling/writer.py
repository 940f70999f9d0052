"""The thread of one process that writes into its spool, so that no request waits for a disk."""

import contextlib
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

Made = Callable[[], bytes]


class Writer(Generic[K]):
    """Starts with the first thing that is to be written. ``spool`` is set before that.

    ``dropped`` is told, mostly in the thread, what will never be sent: for want of room, as the disk took none of it,
    or as it could not be made. ``failed`` is told why nothing more could be done for it: once, until all goes well
    again.
    """

    def __init__(self, name: str, dropped: Callable[[K, int], None], failed: Callable[[Exception], None]) -> None:
        self.spool: Spool[K] | None = None
        self._name = name
        self._dropped = dropped
        self._failed = failed
        self._queue: queue.SimpleQueue[tuple[K, Sequence[Made], int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._told = False
        self._trimmed_s = 0.0
        self._untrimmed_bytes = 0
        self._queued_bytes = 0  # ever; written by the loop alone
        self._written_bytes = 0  # ever; written by the thread alone

    def put(self, kind: K, envelopes: Sequence[Made], size: int = 0) -> bool:
        """Writes envelopes, each of which is made in the thread; ``size``: their bytes, where they are large.

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
        """Writes what is queued, and waits for that. What a disk that hangs has not taken by then is dropped."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._drop_queued()
                self._queue.put(None)
            self._thread = None

    def _drop_queued(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (item := self._queue.get_nowait()) is not None:
                    self._dropped(item[0], len(item[1]))

    # --- in the thread ---

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            kind, envelopes, size = item
            kept = 0
            try:
                kept = self._keep(kind, envelopes)
                self._trim(size)
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be written any more
                self._tell(error)
            else:
                self._told = self._told and kept < len(envelopes)
            finally:
                if kept < len(envelopes):
                    self._dropped(kind, len(envelopes) - kept)
                self._written_bytes += size

    def _keep(self, kind: K, envelopes: Sequence[Made]) -> int:
        """How many are on the disk now. Raises: OSError."""
        assert self.spool is not None
        made = []
        for make in envelopes:
            try:
                made.append(make())
            except Exception as error:  # noqa: BLE001 - what one of them holds must not cost the others
                self._tell(error)
        if made:
            self.spool.write(kind, made)
        return len(made)

    def _trim(self, size: int) -> None:
        assert self.spool is not None
        self._untrimmed_bytes += size
        if time.monotonic() - self._trimmed_s > TRIM_S or self._untrimmed_bytes > TRIM_BYTES:
            self._trimmed_s, self._untrimmed_bytes = time.monotonic(), 0
            for kind, count in self.spool.trim().items():
                self._dropped(kind, count)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._failed(error)
        self._told = True


def said_of(error: Exception) -> str:
    """For a log line: what the disk says; of all else only its type, as it may quote what was to be written."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
