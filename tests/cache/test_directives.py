"""Cache-Control's syntax, and what is taken for what (RFC 9111 §1.2.2, §4.2.1, §5.2)."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.directives import field_names, lifetime_ms, parse, seconds_ms, window_ms
from proxy.cache.entry import FOREVER_MS


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b"max-age=60"], {b"max-age": b"60"}),
        ([b"Max-AGE=60, No-Store"], {b"max-age": b"60", b"no-store": None}),
        ([b"max-age=60", b"public"], {b"max-age": b"60", b"public": None}),
        ([b" ,, max-age=60\t, ,"], {b"max-age": b"60"}),
        ([b'max-age="60"'], {b"max-age": b"60"}),
        ([b'other="max-age=60, no-store", public'], {b"other": b"max-age=60, no-store", b"public": None}),
        ([rb'other="a\"b, c\\", public'], {b"other": rb'a"b, c' + b"\\", b"public": None}),
        ([b'no-cache="a, b"'], {b"no-cache": b"a, b"}),
        ([b"max-age=1, max-age=60"], {b"max-age": b"1"}),
        ([b"max-age=60", b"max-age=1"], {b"max-age": b"60"}),
        ([b'no-cache="a", no-cache'], {b"no-cache": None}),
        ([b'private="a"', b"private"], {b"private": None}),
        ([b""], {}),
        ([b"=5, ;, \xff"], {}),
    ],
)
def test_directives(lines: Any, found: Any) -> None:
    """Names in any case, lists over several lines, quoted arguments; said twice, the first counts, or the wider."""
    assert parse(lines) == found


@pytest.mark.parametrize(
    "written",
    [
        b"max-age =60",
        b"max-age= 60",
        b"max-age='60'",
        b"max-age=60.0",
        b"max-age=60.5",
        b"max-age=a60",
        b"max-age=60a",
        b"max-age=-60",
        b"max-age=+60",
        b"max-age=",
        b"max-age",
        b'max-age=""',
        b'max-age="60',
        b"max-age=60;x",
        b"max-age=\xb2",
        b"max-age=6 0",
        b'max-age="60"x',
        b"max-age=0x10",
        b"max-age==60",
    ],
)
def test_an_age_that_is_no_number_is_none(written: Any) -> None:
    """Stale is better than guessed (§4.2.1)."""
    assert lifetime_ms(parse([written]), b"max-age") == 0


@pytest.mark.parametrize(
    "written", [b"no-store; max-age=60", b'a="b, no-store', b"no-store =1", b"a\\,no-store", b'a="b\\, no-store']
)
def test_what_is_written_wrongly_is_read_as_the_stricter_thing(written: Any) -> None:
    """A rubbish-trailed name is that name; a quote that is never closed hides nothing."""
    assert b"no-store" in parse([written])


@pytest.mark.parametrize(
    ("digits", "length_ms"),
    [
        (b"0", 0),
        (b"003600", 3_600_000),
        (b"2147483647", 2_147_483_647_000),
        (b"2147483648", FOREVER_MS),
        (b"2147483649", FOREVER_MS),
        (b"99999999999", FOREVER_MS),
        (b"9" * 5000, FOREVER_MS),
        (b"0" * 5000 + b"1", 1000),
        (b"-1", None),
        (b"", None),
        (None, None),
    ],
)
def test_seconds(digits: Any, length_ms: Any) -> None:
    """delta-seconds: what is too large to hold is 2^31 (§1.2.2)."""
    assert seconds_ms(digits) == length_ms


def test_what_is_absent() -> None:
    """A lifetime is then unknown; a window is none."""
    assert lifetime_ms({}, b"max-age") is None
    assert window_ms({}, b"stale-if-error") == 0
    assert window_ms({b"stale-if-error": b"x"}, b"stale-if-error") == 0


def test_names_of_fields() -> None:
    """As no-cache and private list them."""
    assert field_names(b" Set-Cookie,, X ") == {b"set-cookie", b"x"}


@given(st.lists(st.binary(max_size=60) | st.text('"\\,= =a', max_size=60).map(str.encode), max_size=3))
def test_any_bytes_are_read(lines: Any) -> None:
    """Nothing raises; names are in lower case, numbers within bounds."""
    for name, argument in parse(lines).items():
        assert name == name.lower()
        assert 0 <= (seconds_ms(argument) or 0) <= FOREVER_MS


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b",", b'a="', b"\\"])
def test_a_hostile_field_costs_no_more_than_its_length(piece: Any) -> None:
    """Quotes that never close are not tried again from each of them."""
    started = time.process_time()
    parse([piece * 30_000])
    assert time.process_time() - started < 1
