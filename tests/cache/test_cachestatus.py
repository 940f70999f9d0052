"""Cache-Status (RFC 9211)."""

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.cachestatus import BECAUSE, Forwarded, forwarded, hit
from proxy.cache.reuse import Use


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (hit(59_999), b"sluicegate; hit; ttl=59"),
        (hit(-1), b"sluicegate; hit; ttl=-1"),
        (hit(0, "stale-if-error"), b"sluicegate; hit; ttl=0; detail=stale-if-error"),
        (forwarded(Forwarded.URI_MISS, stored=True, collapsed=True), b"sluicegate; fwd=uri-miss; stored; collapsed"),
        (forwarded(Forwarded.STALE, status=304, left_ms=60_000), b"sluicegate; fwd=stale; fwd-status=304; ttl=60"),
        (forwarded(Forwarded.BYPASS, detail="a route's"), b'sluicegate; fwd=bypass; detail="a route\'s"'),
        (hit(0, 'a"\\b'), rb'sluicegate; hit; ttl=0; detail="a\"\\b"'),
    ],
)
def test_values(value: Any, written: Any) -> None:
    """Negative time left for what is stale (§2.5)."""
    assert value == written


def test_each_reason_to_ask_upstream_has_a_word() -> None:
    """§2.2."""
    assert set(BECAUSE) == {use for use in Use if not use.serves}


@given(st.text(max_size=20), st.sampled_from(Forwarded))
def test_it_is_a_structured_field(detail: Any, why: Any) -> None:
    """Whatever the detail holds (§2)."""
    for value in (hit(5, detail), forwarded(why, detail=detail, left_ms=-5)):
        parsed = http_sf.parse(value, tltype="list")
        assert str(parsed[0][0]) == "sluicegate"  # type: ignore[index]
