"""Requests of some log files in the order in which they came, and whether they are something to judge by."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.foresight.logfile import LogFiles, Reading
from proxy.foresight.loglines import Entry
from proxy.foresight.order import Ordered
from proxy.foresight.replaying import is_judged
from proxy.foresight.wording import share_text

MOST_LATE: Final = 0.01  # of all requests; from here on windows hold others than those that the requests met
MOST_UNREADABLE: Final = 0.1  # of all lines that may be requests; what refuses and is refused may stand in them


@dataclass(slots=True)
class Log:
    """What was read. ``requests``: those to be judged; ``own``: those that the gateway answers by itself."""

    reading: Reading
    requests: int = 0
    late: int = 0
    own: int = 0

    @property
    def nothing(self) -> str | None:
        """Why there is nothing to tell of; None where there is something."""
        if self.requests:
            return None
        lines = self.reading.lines
        return f"none of its {lines:,} lines tells of a request that limits could count" if lines else "is empty"

    @property
    def doubt(self) -> str | None:
        """Why nothing should be concluded from this log; None where there is no such reason."""
        unreadable = self.reading.unreadable
        if unreadable > MOST_UNREADABLE * (self.requests + unreadable):
            return (
                f"{unreadable:,} lines could not be read beside {self.requests:,} requests: too many to conclude from"
            )
        if self.late > MOST_LATE * self.requests:
            share = share_text(self.late, self.requests)
            return (
                f"{self.late:,} of {self.requests:,} requests ({share}) stand in no order of time: they were judged "
                "together with others than they came with, so their refusals say nothing; sort the log by time"
            )
        return None


class AccessLog:
    """Some files, to be read once. ``log`` is complete when all requests have been taken."""

    def __init__(self, paths: Sequence[Path], progress: Callable[[float | None, int], None] | None = None) -> None:
        self._files = LogFiles(paths, progress)
        self.log = Log(self._files.reading)

    def requests(self) -> Iterator[Entry]:
        """By ``start_ms``. Raises: OSError."""
        log, order = self.log, Ordered()
        for entry in order.entries(self._files.entries()):
            if is_judged(entry):
                log.requests += 1
                yield entry
            else:
                log.own += 1
        log.late = order.late
