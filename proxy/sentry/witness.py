"""What one process saw: bounded, sealed and written to the spool, by a thread of its own.

Every process has one. It hears of what was not handled through the log (``Listener``): each place of ours where a
request or a background task ends logs its exception, and the event loop logs those that nobody asked for. Who knows
more of it (the handler: the request) puts an ``About`` into the record.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from proxy.policy.model import Policy
from proxy.policy.sentry import Sentry
from proxy.sentry.envelope import envelope
from proxy.sentry.event import NOWHERE, About, Event, fingerprint, of_exception, of_message, of_upstream
from proxy.sentry.private import sealed
from proxy.sentry.quota import Quota
from proxy.sentry.waiting import Kind, spool_in
from proxy.spooling.writer import CLOSE_S, Made, Writer, said_of
from proxy.telemetry.metrics import SENTRY_EVENTS, SENTRY_TRACES, SENTRY_TUNNEL, Metrics
from proxy.telemetry.plain import is_ours, told_record

log = logging.getLogger("sluicegate.sentry")

ABOUT: Final = "about"  # in a record: of what request it speaks
REPORT: Final = "report"  # in a record without an exception: it is told all the same


class Witness:
    """Of one process. Without a project it sees nothing, and costs nothing."""

    def __init__(self, process: str, metrics: Metrics) -> None:
        self._process = process
        self._metrics = metrics
        self._quota = Quota()
        self._sentry: Sentry | None = None
        self._version = ""
        self._writer: Writer[Kind] = Writer("sentry", self._lost, _cannot_write)
        self._listener = Listener(self)
        self._dropped: dict[Kind, int] = {}  # slots, bound before the thread counts in them

    def follow(self, policy: Policy) -> None:
        """From now on by this policy."""
        self._sentry = policy.watching.sentry
        self._version = policy.version
        self._writer.spool = spool_in(policy.data_dir)
        root = logging.getLogger()
        root.removeHandler(self._listener)
        if self._sentry is not None:
            root.addHandler(self._listener)
            families = {Kind.ERROR: SENTRY_EVENTS, Kind.TRACE: SENTRY_TRACES, Kind.BROWSER: SENTRY_TUNNEL}
            self._dropped = {kind: self._metrics.slot(family, "dropped") for kind, family in families.items()}

    @property
    def sentry(self) -> Sentry | None:
        return self._sentry

    # --- what it is told ---

    def exception(self, error: BaseException, message: str, about: About = NOWHERE, level: str = "error") -> None:
        """``message``: constant words of ours; "": the process ends by it."""
        if self._sentry is not None:
            self._tell(of_exception(error, message, _now_ms(), about, level))

    def message(self, text: str, words: str, logger: str, level: int, about: About = NOWHERE) -> None:
        if self._sentry is not None:
            self._tell(of_message(text, words, logger, _now_ms(), level, about))

    def upstream(self, reason: str, upstream: str, status: int, about: About) -> None:
        if self._sentry is not None:
            self._tell(of_upstream(reason, upstream, status, _now_ms(), about))

    @contextlib.contextmanager
    def witnessing(self) -> Iterator[None]:
        """Around all that a process does: what it ends by is written down before it ends."""
        try:
            yield
        except Exception as error:
            self.exception(error, "", level="fatal")
            raise
        finally:
            self.close()

    def put(self, kind: Kind, envelopes: Sequence[Made], size: int = 0) -> bool:
        """Writes envelopes, each of which is made in the thread; ``size``: their bytes, where they are large.

        False: the disk is too far behind.
        """
        return self._writer.put(kind, envelopes, size)

    def _tell(self, event: Event) -> None:
        untold = self._quota.take(fingerprint(event), _now_ms())
        if untold is None:
            self._metrics.inc(SENTRY_EVENTS, "repeated")
            return
        written = envelope("event", self._finished(event, untold))
        taken = self.put(Kind.ERROR, (lambda: written,))
        self._metrics.inc(SENTRY_EVENTS, "captured" if taken else "dropped")

    def _finished(self, event: Event, untold: int) -> dict[str, Any]:
        assert self._sentry is not None
        if untold:
            event["extra"] = {"repeated": untold}
        event["environment"], event["release"] = self._sentry.environment, self._sentry.release
        event["tags"] = {"process": self._process, "policy": self._version, **event["tags"]}
        return sealed(event)

    def _lost(self, kind: Kind, count: int) -> None:
        self._metrics.values[self._dropped[kind]] += count

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Writes what is queued, and waits for that."""
        logging.getLogger().removeHandler(self._listener)
        self._writer.close(timeout_s)


def _cannot_write(error: Exception) -> None:
    log.error("what Sentry should hear cannot be kept", extra={"fields": {"error": said_of(error)}})


class Listener(logging.Handler):
    """Hears what is logged with an exception, and what asks to be reported."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(logging.ERROR)
        self._witness = witness

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == log.name:
            return
        about: About = getattr(record, ABOUT, NOWHERE)
        if about is NOWHERE and (request_id := getattr(record, "fields", {}).get("id")):
            about = About({"request_id": str(request_id)})
        ours = is_ours(record)
        words = str(record.msg).partition("\n")[0] if ours else told_record(record)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            level = "fatal" if record.levelno >= logging.CRITICAL else "error"
            self._witness.exception(error, words, about, level)
        elif getattr(record, REPORT, False) or record.levelno >= logging.CRITICAL:
            self._witness.message(record.getMessage() if ours else words, words, record.name, record.levelno, about)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
