"""Parts: asked for, held, combined (RFC 9110 §14, §15.3.7; RFC 9111 §3.3, §3.4)."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.entry import Stored
from proxy.cache.ranges import Range, combine, completion, content_range, held, parse_range, resolve, within
from proxy.core.headers import get_all
from proxy.policy.caching import Profile
from tests.cache.standard import S, fields, stored

WHOLE = bytes(range(48, 68))
IF_RANGE = (b"If-Range", b'"a"')


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("bytes=0-1", Range(0, 1)),
        ("bytes=5-", Range(5, -1)),
        ("bytes=-5", Range(-1, 5)),
        ("BYTES = 0-1 ", Range(0, 1)),
        ("bytes=-0", Range(-1, 0)),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1,", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-\u0661", None),
        ("bytes=" + "9" * 40 + "-", None),
        ("", None),
    ],
)
def test_range(value: Any, found: Any) -> None:
    """One range of bytes; anything else is ignored (§14.2)."""
    assert parse_range(value) == found


@pytest.mark.parametrize(
    ("asked", "length", "found"),
    [
        (Range(0, 1), 10, (0, 1)),
        (Range(5, 99), 10, (5, 9)),
        (Range(5, -1), 10, (5, 9)),
        (Range(-1, 3), 10, (7, 9)),
        (Range(-1, 30), 10, (0, 9)),
        (Range(10, -1), 10, None),
        (Range(10, 12), 10, None),
        (Range(-1, 0), 10, None),
        (Range(0, -1), 0, None),
        (Range(-1, 5), 0, None),
    ],
)
def test_resolution(asked: Any, length: Any, found: Any) -> None:
    """§14.1.2."""
    assert resolve(asked, length) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("bytes 4-9/10", (4, 9, 10)),
        ("bytes 4-9/*", (4, 9, -1)),
        ("bytes */10", None),
        ("bytes 4-10/10", None),
        ("bytes 9-4/10", None),
        ("bytes=4-9/10", None),
        ("lines 4-9/10", None),
        ("", None),
    ],
)
def test_content_range(line: Any, found: Any) -> None:
    """§14.4."""
    assert content_range(fields(f"Content-Range: {line}")) == found
    assert content_range(fields(f"Content-Range: {line}", f"Content-Range: {line}")) is None
    assert content_range(fields("X: y")) is None


@pytest.mark.parametrize(
    ("line", "size", "by_letter", "safe"),
    [
        ("bytes 4-9/10", 6, (4, 9, 10), (4, 9, 10)),
        ("bytes 4-9/*", 6, (4, 9, -1), (4, 9, -1)),
        ("bytes 4-9/10", 5, (4, 8, 9), None),  # it says to reach the end: then its end is the end
        ("bytes 4-8/10", 4, None, None),
        ("bytes 4-9/*", 5, None, None),
        ("bytes 4-9/10", 7, None, None),
        ("bytes 4-9/10", 0, None, None),
    ],
)
def test_words_and_body_must_agree(line: Any, size: Any, by_letter: Any, safe: Any) -> None:
    """Else it is not known what is held."""
    assert held(fields(f"Content-Range: {line}"), size, Profile.RFC) == by_letter
    assert held(fields(f"Content-Range: {line}"), size, Profile.SAFE) == safe


@pytest.mark.parametrize(
    ("part", "asked", "found"),
    [
        ((4, 8, 9), Range(-1, 5), (4, 8)),
        ((4, 8, 9), Range(6, 8), (6, 8)),
        ((4, 8, 9), Range(6, -1), (6, 8)),
        ((4, 8, 9), Range(-1, 1), (8, 8)),
        ((4, 8, 9), Range(3, 5), None),
        ((4, 8, 20), Range(6, -1), None),
        ((4, 8, 20), Range(6, 9), None),
        ((4, 8, -1), Range(4, 8), (4, 8)),
        ((4, 8, -1), Range(6, -1), None),
        ((4, 8, -1), Range(-1, 1), None),
        ((4, 8, 9), None, None),
    ],
)
def test_what_a_part_holds(part: Any, asked: Any, found: Any) -> None:
    """All of what is asked for, or nothing."""
    assert within(part, asked) == found


def part(
    first: int,
    last: int,
    *,
    of: bytes = WHOLE,
    length: int | None = None,
    etag: str = '"a"',
    lines: Sequence[str] = (),
) -> Stored:
    size = len(of) if length is None else length
    total = "*" if size == -1 else str(size)
    headers = fields(
        "Cache-Control: max-age=60", f"Content-Range: bytes {first}-{last}/{total}",
        f"Content-Length: {last - first + 1}",
        *lines, *([f"ETag: {etag}"] if etag else []),
    )  # fmt: skip
    return stored(headers, of[first : last + 1], status=206)


@pytest.mark.parametrize(
    ("first", "last", "etag", "by_letter", "safe"),
    [
        (0, 4, "", [(b"Range", b"bytes=5-")], None),
        (0, 4, 'W/"a"', [(b"Range", b"bytes=5-")], None),
        (0, 4, '"a"', [(b"Range", b"bytes=5-"), IF_RANGE], [(b"Range", b"bytes=5-"), IF_RANGE]),
        (5, 19, '"a"', [(b"Range", b"bytes=0-4"), IF_RANGE], [(b"Range", b"bytes=0-4"), IF_RANGE]),
        (5, 9, '"a"', None, None),
    ],
)  # fmt: skip
def test_what_is_asked_to_complete_a_part(first: Any, last: Any, etag: Any, by_letter: Any, safe: Any) -> None:
    """The rest, on condition that it is of the same representation (RFC 9111 §3.3)."""
    assert completion(part(first, last, etag=etag), Profile.RFC) == by_letter
    assert completion(part(first, last, etag=etag), Profile.SAFE) == safe
    assert completion(stored(fields("Cache-Control: max-age=60")), Profile.RFC) is None


@pytest.mark.parametrize(
    ("ours", "theirs"), [("", ""), ('"a"', '"b"'), ('W/"a"', 'W/"a"'), ('W/"a"', '"a"'), ('"a"', ""), ("", '"a"')]
)
def test_parts_of_what_may_differ_are_not_combined(ours: Any, theirs: Any) -> None:
    """They must share a strong validator (RFC 9110 §15.3.7.3)."""
    assert combine(part(0, 9, etag=ours), part(10, 19, etag=theirs)) is None


def test_parts_that_leave_a_gap_or_disagree_are_not_combined() -> None:
    """Nor with what is no part, nor of another length."""
    assert combine(part(0, 3), part(5, 9)) is None
    assert combine(part(5, 9), part(0, 3)) is None
    assert combine(part(0, 3), part(4, 9, length=21)) is None
    whole = stored(fields("Cache-Control: max-age=60", 'ETag: "a"'), WHOLE)
    assert combine(part(0, 3), whole) is None
    assert combine(whole, part(0, 3, length=21)) is None


def test_the_newer_fields_count() -> None:
    """But for Content-Range and the length, which are the whole's (RFC 9111 §3.4); tags and the older seen stay."""
    older = part(0, 9, lines=["A: 1", "B: 2"])
    newer = part(10, 19, lines=["A: 3"])
    older.tags, older.seen, newer.tags, newer.seen = (1, 2), 7, (2, 3), 5
    found = combine(older, newer)
    assert found is not None
    assert (found.status, found.reason, found.range, found.body) == (200, b"OK", None, WHOLE)
    assert get_all(found.headers, b"a") == [b"3"]
    assert get_all(found.headers, b"b") == [b"2"]
    assert get_all(found.headers, b"content-range") == []
    assert get_all(found.headers, b"content-length") == [b"20"]
    assert found.tags == (1, 2, 3)
    assert found.seen == 5
    assert found.terms is newer.terms


def test_a_part_freshens_a_whole() -> None:
    """Its body stays whole."""
    whole = stored(fields("Cache-Control: max-age=2", 'ETag: "a"', "A: 1"), WHOLE)
    found = combine(whole, part(3, 5))
    assert found is not None
    assert (found.status, found.body, found.range) == (200, WHOLE, None)
    assert found.terms.lifetime_ms == 60 * S
    assert get_all(found.headers, b"a") == [b"1"]


_PARTS = st.tuples(st.integers(0, 19), st.integers(0, 19)).map(sorted)


@given(st.lists(st.tuples(_PARTS, st.booleans()), min_size=1, max_size=8))
def test_parts_in_any_order(parts: Any) -> None:
    """Whatever is combined holds the representation's own bytes, and never fewer than before."""
    held_now = None
    for (first, last), knows_length in parts:
        new = part(first, last, length=None if knows_length else -1)
        found = combine(held_now, new) if held_now is not None else new
        if found is None:
            assert held_now is not None
            assert held_now.range is not None
            assert first > held_now.range[1] + 1 or last < held_now.range[0] - 1
            continue
        start, end, length = found.range or (0, len(WHOLE) - 1, len(WHOLE))
        assert found.body == WHOLE[start : end + 1]
        assert start <= first
        assert last <= end
        assert length in (-1, len(WHOLE))
        assert (found.status == 200) == (found.range is None)
        if held_now is not None:
            assert len(found.body) >= len(held_now.body)
        held_now = found


@given(st.text(max_size=40), st.binary(max_size=40))
def test_anything_is_read(text: Any, line: Any) -> None:
    """Nothing raises."""
    asked = parse_range(text)
    content_range([(b"Content-Range", line)])
    if asked is not None:
        resolve(asked, 10)
        within((2, 5, 10), asked)
