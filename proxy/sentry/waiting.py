"""What waits for Sentry in ``data_dir``, by kind: traces and browsers never take an error's room. Data."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from proxy.spooling.spool import Spool

FOLDER: Final = "sentry"


class Kind(StrEnum):
    ERROR = "error"
    BROWSER = "browser"
    TRACE = "trace"


# Files and bytes that may wait, in the order in which they are sent.
BOUNDS: Final[dict[Kind, tuple[int, int]]] = {
    Kind.ERROR: (10_000, 32 << 20),
    Kind.BROWSER: (2_000, 64 << 20),
    Kind.TRACE: (2_000, 32 << 20),
}


def spool_in(data_dir: str) -> Spool[Kind]:
    """Seen from one process."""
    return Spool(Path(data_dir) / FOLDER, BOUNDS)
