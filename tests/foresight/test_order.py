"""Requests in the order in which they came."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from proxy.foresight.loglines import Entry
from proxy.foresight.order import Ordered
from tests.foresight.lines import NOON_MS, entry


def test_a_long_request_is_told_where_it_began() -> None:
    told = [entry(1, id="short"), entry(30, ms=29_500, id="long"), entry(90, id="last")]
    assert [one.request_id for one in Ordered().entries(told)] == ["long", "short", "last"]


def test_what_comes_too_late_is_taken_as_of_now_and_counted() -> None:
    order = Ordered(window_ms=10_000)
    told = [entry(0), entry(5, id="told"), entry(20), entry(1, id="late"), entry(40)]
    found = list(order.entries(told))
    assert [one.request_id for one in found] == ["r1", "told", "late", "r1", "r1"]
    assert order.late == 1
    assert found[2].start_ms == NOON_MS + 5000
    assert found[2].end_ms == NOON_MS + 5000


@given(st.lists(st.integers(0, 100_000), max_size=60), st.integers(1, 20))
def test_order_is_kept_whatever_comes(moments: list[int], most: int) -> None:
    """Nothing is lost, and no more is held back than may be."""
    fed = 0

    order = Ordered(window_ms=30_000, most=most)
    entries = [entry(ms / 1000) for ms in moments]

    def counted() -> Iterator[Entry]:
        nonlocal fed
        for one in entries:
            fed += 1
            yield one

    found = []
    for one in order.entries(counted()):
        found.append(one.start_ms)
        assert fed - len(found) <= most
    assert len(found) == len(moments)
    assert found == sorted(found)
    if len(moments) <= most and max(moments, default=0) - min(moments, default=0) < 30_000:
        assert found == sorted(NOON_MS + ms for ms in moments)
