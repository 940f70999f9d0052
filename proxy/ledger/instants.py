"""Points in time: epoch milliseconds in the program, timestamps in the tables, so that SQL by hand reads well.

PostgreSQL has ``timestamptz``; SQLite gets UTC text that sorts and that its own date functions understand.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Dialect, String
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def to_datetime(ms: int) -> datetime:
    """Raises: OverflowError for what no calendar holds."""
    return EPOCH + timedelta(milliseconds=ms)


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


class Instant(TypeDecorator[int]):
    """Integer epoch milliseconds. Raises OverflowError when bound to what no calendar holds."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True, precision=3))
        return dialect.type_descriptor(String())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        moment = to_datetime(value)
        if dialect.name == "postgresql":
            return moment
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{value % 1000:03d}"

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if isinstance(value, str):
            value = datetime.fromisoformat(value).replace(tzinfo=UTC)
        return to_ms(value)
