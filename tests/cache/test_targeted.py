"""CDN-Cache-Control before Cache-Control (RFC 9213)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.targeted import governing
from tests.cache.standard import fields


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        ("max-age=60", {b"max-age": b"60"}),
        ("max-age=99999999999", {b"max-age": b"99999999999"}),
        ("foobar, max-age=60;a=1", {b"foobar": None, b"max-age": b"60"}),
        ("no-store", {b"no-store": None}),
        ("private, no-cache", {b"private": None, b"no-cache": None}),
        ('no-cache="a, b"', {b"no-cache": b"a, b"}),
        ('private=("a" b)', {b"private": b"a,b"}),
        ("x=1.5, y=:YQ==:", {b"x": b"", b"y": b""}),
        ("max-age=1, max-age=60", {b"max-age": b"60"}),  # a dictionary's last wins (RFC 9651 §4.2.2)
        ("max-age=60, s-maxage=x, no-store=?0", {b"max-age": b"60"}),
        ("max-age=60, must-revalidate=1, private=?0, no-cache=7", {b"max-age": b"60"}),
    ],
)
def test_its_directives(value: Any, directives: Any) -> None:
    """Each by its type; one of a wrong type is not there (§2.1)."""
    word = governing(fields(f"CDN-Cache-Control: {value}", "Cache-Control: no-store, max-age=1"))
    assert word.targeted
    assert word.directives == directives


@pytest.mark.parametrize(
    "value",
    [
        "",
        "max-age =60",
        "max-age= 60",
        "Max-Age=60",
        "max-age=60, &&&",
        "max-age=60,",
        'max-age="60"',
        "max-age=-1",
        "max-age=60.0",
        'a="',
        "\xff",
        "max-age=?1",
    ],
)
def test_what_is_no_structured_field_or_says_nothing_is_ignored(value: Any) -> None:
    """Then Cache-Control counts (§2.1)."""
    word = governing(fields(f"CDN-Cache-Control: {value}", "Cache-Control: max-age=5"))
    assert not word.targeted
    assert word.directives == {b"max-age": b"5"}


def test_several_lines_are_one_dictionary() -> None:
    """RFC 9651 §4.2."""
    word = governing(fields("CDN-Cache-Control: max-age=60", "cdn-cache-control: must-revalidate"))
    assert word.directives == {b"max-age": b"60", b"must-revalidate": None}


@given(
    st.binary(max_size=60)
    | st.from_regex(r'[a-z]{1,3}=[("?:0-9a-z);, ]{0,20}').map(lambda s: s.encode("latin-1", "replace"))
)
def test_any_bytes_are_read(value: Any) -> None:
    """Nothing raises."""
    governing([(b"CDN-Cache-Control", value)])
