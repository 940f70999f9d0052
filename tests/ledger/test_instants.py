"""A millisecond goes in and comes out, and sorts as it should."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from proxy.ledger.instants import Instant, to_datetime, to_ms

MOMENTS = st.integers(0, 7_258_118_399_999)
INSTANT = Instant()


@settings(derandomize=True, deadline=None)
@given(MOMENTS, MOMENTS)
def test_as_sqlite_keeps_it(one: int, other: int) -> None:
    """As text that sorts like the number."""
    dialect = sqlite.dialect()
    first, second = (INSTANT.process_bind_param(ms, dialect) for ms in (one, other))
    assert INSTANT.process_result_value(first, dialect) == one
    assert (first < second) == (one < other)


@settings(derandomize=True, deadline=None)
@given(MOMENTS)
def test_as_postgresql_keeps_it(ms: int) -> None:
    dialect = postgresql.dialect()
    assert INSTANT.process_result_value(INSTANT.process_bind_param(ms, dialect), dialect) == ms


def test_in_words() -> None:
    assert INSTANT.process_bind_param(1_795_000_000_007, sqlite.dialect()) == "2026-11-18 11:06:40.007"
    assert to_ms(datetime(2026, 11, 18, 11, 6, 40, tzinfo=UTC)) == 1_795_000_000_000


def test_nothing_stays_nothing() -> None:
    assert INSTANT.process_bind_param(None, sqlite.dialect()) is None
    assert INSTANT.process_result_value(None, sqlite.dialect()) is None


def test_what_no_calendar_holds() -> None:
    with pytest.raises(OverflowError):
        to_datetime(10**18)
