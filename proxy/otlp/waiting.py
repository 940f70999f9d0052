"""What waits for a collector in ``data_dir``: traces. Metrics do not wait, as the newest say all of the older. Data."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from proxy.spooling.spool import Spool

FOLDER: Final = "otlp"


class Kind(StrEnum):
    TRACE = "trace"


BOUNDS: Final[dict[Kind, tuple[int, int]]] = {Kind.TRACE: (2_000, 32 << 20)}  # files and bytes


def spool_in(data_dir: str) -> Spool[Kind]:
    """Seen from one process."""
    return Spool(Path(data_dir) / FOLDER, BOUNDS)
