"""Months and their partitions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ledger.months import Month, expired, month_of, month_of_partition


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 7_258_118_399_999))
def test_an_instant_lies_in_its_month_and_in_no_other(ms: int) -> None:
    month = month_of(ms)
    assert month.start_ms <= ms < month.next.start_ms
    assert month_of(month.next.start_ms - 1) == month
    assert month_of_partition(month.partition) == month


@pytest.mark.parametrize("name", ["ai_usage_2026", "ai_usage_2026_11_old", "ai_usage_default"])
def test_somebody_elses_table_is_no_month(name: str) -> None:
    assert month_of_partition(name) is None


def test_what_ended_has_expired() -> None:
    names = ["ai_usage_2026_02", "ai_usage_2025_12", "ai_usage_2026_01", "ai_usage_default"]
    assert expired(names, Month(2026, 2).start_ms) == ["ai_usage_2025_12", "ai_usage_2026_01"]
    assert expired(names, Month(2026, 2).start_ms - 1) == ["ai_usage_2025_12"]
