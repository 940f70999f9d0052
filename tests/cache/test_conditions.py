"""Preconditions and validators (RFC 9110 §8.8, §13; RFC 9111 §4.3)."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.conditions import is_strong, not_modified, range_applies, same_opaque, validators
from tests.cache.standard import NOW_MS, at, fields, request, stored

FRESH = "Cache-Control: max-age=60"


@pytest.mark.parametrize(
    ("etag", "lines", "same"),
    [
        ('"a"', ['"a"'], True),
        ('"a"', ['"b"'], False),
        ('"a"', ['W/"a"'], True),
        ('W/"a"', ['"a"'], True),
        ('W/"a"', ['W/"a"'], True),
        ('"a"', ['"a", "b", "c"'], True),
        ('"a"', ['"b", "a", "c"'], True),
        ('"a"', ['"b","c" ,W/"a"'], True),
        ('"a"', ['"b"', '"a"'], True),
        ('"a"', ['"b", "c"'], False),
        ('"a, b"', ['"x", "a, b"'], True),
        ('"b"', ['"a, b"'], False),
        ('"a"', ["*"], True),
        ("", ["*"], True),
        ("", ['"a"'], False),
        ("", [""], False),
        ('"a"', ["a"], True),
        ("a", ["a"], True),
        ("a", ['"a"'], True),
        ('w/"a"', ['w/"a"'], True),
        ('W\\"a"', ['W\\"a"'], True),
        ('W"a"', ['W"a"'], True),
        ('"A"', ['"a"'], False),
        ('"a\xfc"', ['"a\udcfc"'], True),  # obs-text, as the server has it and as the client's is decoded
    ],
)
def test_if_none_match(etag: Any, lines: Any, same: Any) -> None:
    """Weak comparison with each tag of each line (§13.1.2); missing quotes are forgiven on both sides."""
    response = stored(fields(FRESH, f"ETag: {etag}") if etag else fields(FRESH))
    headers = request(*(("If-None-Match", line) for line in lines))
    assert not_modified(response, headers, NOW_MS) is same


@pytest.mark.parametrize(
    ("modified", "since", "same"),
    [
        (-3000, at(-3000), True),
        (-3000, at(-2000), True),
        (-3000, at(-3001), False),
        (None, at(0), True),  # without Last-Modified the Date counts (RFC 9111 §4.3.2)
        (None, at(-3000), False),
        (-3000, "x", False),
        (-3000, "0", False),
    ],
)
def test_if_modified_since(modified: Any, since: Any, same: Any) -> None:
    """RFC 9111 §4.3.2."""
    response = stored(fields(FRESH, *([f"Last-Modified: {at(modified)}"] if modified else [])))
    assert not_modified(response, request(("If-Modified-Since", since)), NOW_MS) is same


def test_a_date_of_another_form() -> None:
    """RFC 850's means the same moment."""
    response = stored(fields(FRESH, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"))
    assert not_modified(response, request(("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")), NOW_MS)


def test_if_none_match_goes_first() -> None:
    """If-Modified-Since is then not looked at (§13.2.2)."""
    response = stored(fields(FRESH, 'ETag: "a"', f"Last-Modified: {at(-3000)}"))
    since = ("If-Modified-Since", at(-1))
    assert not not_modified(response, request(("If-None-Match", '"b"'), since), NOW_MS)
    assert not_modified(response, request(("If-None-Match", '"a"'), ("If-Modified-Since", at(-9000))), NOW_MS)


def test_only_what_succeeded_is_not_modified() -> None:
    """§13.2.1: a stored 404 answers a condition with itself."""
    assert not not_modified(stored(fields(FRESH, 'ETag: "a"'), status=404), request(("If-None-Match", '"a"')), NOW_MS)


def test_dates_that_are_doubled() -> None:
    """A field that may be sent once says nothing then."""
    response = stored(fields(FRESH, f"Last-Modified: {at(-3000)}"))
    headers = request(("If-Modified-Since", at(0)), ("If-Modified-Since", at(0)))
    assert not not_modified(response, headers, NOW_MS)


@pytest.mark.parametrize(
    ("etag", "modified", "if_range", "applies"),
    [
        ('"a"', "", "", True),
        ('"a"', "", '"a"', True),
        ('"a"', "", '"b"', False),
        ('W/"a"', "", 'W/"a"', False),
        ('"a"', "", 'W/"a"', False),
        ("", "", '"a"', False),
        ("", at(-3000), at(-3000), True),
        ("", at(-3000), at(-2999), False),
        ("", at(0), at(0), False),  # within its Date's own second: not strong
        ("", at(-3000), "x", False),
    ],
)
def test_if_range(etag: Any, modified: Any, if_range: Any, applies: Any) -> None:
    """By a strong validator that is the same to the byte (§13.1.5)."""
    lines = [FRESH] + [f"ETag: {etag}"] * bool(etag) + [f"Last-Modified: {modified}"] * bool(modified)
    assert range_applies(stored(fields(*lines)), if_range, NOW_MS) is applies


def test_what_the_upstream_is_asked_by() -> None:
    """The entity tag first; a date beside it for those who know no tags (RFC 9111 §4.3.1)."""
    both = stored(fields(FRESH, 'ETag: W/"a"', f"Last-Modified: {at(-3000)}"))
    assert validators(both) == [(b"If-None-Match", b'W/"a"'), (b"If-Modified-Since", at(-3000).encode())]
    assert validators(stored(fields(FRESH))) == []


@pytest.mark.parametrize(
    ("etag", "strong"), [(b'"a"', True), (b'""', True), (b'W/"a"', False), (b"a", False), (b'"', False), (b"", False)]
)
def test_strong_tags(etag: Any, strong: Any) -> None:
    """§8.8.3."""
    assert is_strong(etag) is strong


def test_no_tag_equals_none() -> None:
    """Two absences are no match."""
    assert not same_opaque(b"", b"")
    assert same_opaque(b'"a"', b'W/"a"')


@pytest.mark.parametrize("piece", [",", " ", '"', 'W/"', '"a"', "W/", ', "'])
def test_a_hostile_condition_costs_no_more_than_its_length(piece: str) -> None:
    """Clients write it."""
    response = stored(fields(FRESH, 'ETag: "b"'))
    started = time.process_time()
    not_modified(response, request(("If-None-Match", piece * 20_000)), NOW_MS)
    assert time.process_time() - started < 1


@given(st.text(max_size=60), st.binary(max_size=20))
def test_any_condition_is_read(text: Any, etag: Any) -> None:
    """Nothing raises."""
    response = stored(fields(FRESH), etag=etag, modified=etag)
    for name in ("If-None-Match", "If-Modified-Since"):
        not_modified(response, request((name, text)), NOW_MS)
    range_applies(response, text, NOW_MS)
