"""Months of the ledger's partitions, in UTC. Pure.

A partition is named for its month, ``ai_usage_2026_11``, and holds the instants from that month's start until the
next one's.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from proxy.ledger.instants import to_datetime, to_ms

_NAME: Final = re.compile(r"ai_usage_(\d{4})_(\d{2})")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    year: int
    number: int  # 1 to 12

    @property
    def partition(self) -> str:
        return f"ai_usage_{self.year:04d}_{self.number:02d}"

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def start_ms(self) -> int:
        return to_ms(self.start)

    @property
    def next(self) -> "Month":
        return Month(self.year + 1, 1) if self.number == 12 else Month(self.year, self.number + 1)


def month_of(ms: int) -> Month:
    moment = to_datetime(ms)
    return Month(moment.year, moment.month)


def month_of_partition(name: str) -> Month | None:
    """None for a table of another name: it is somebody's own, and stays."""
    found = _NAME.fullmatch(name)
    return Month(int(found[1]), int(found[2])) if found else None


def expired(names: list[str], before_ms: int) -> list[str]:
    """The partitions that hold nothing at or after ``before_ms``, oldest first."""
    months = {name: month for name in names if (month := month_of_partition(name)) is not None}
    return sorted((name for name, month in months.items() if month.next.start_ms <= before_ms), key=months.__getitem__)
