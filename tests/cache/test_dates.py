"""HTTP-date and Age (RFC 9110 §5.6.7, RFC 9111 §4.2, §5.1)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.dates import format_date, initial_age_ms, parse_age_ms, parse_date
from proxy.cache.entry import FOREVER_MS
from tests.cache.standard import NOW_MS

MOMENT = int(datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp()) * 1000
IN_2050 = int(datetime(2050, 8, 18, 2, 1, 18, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("written", "epoch_ms"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", MOMENT),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", MOMENT),
        (b"Sun Nov  6 08:49:37 1994", MOMENT),
        (b"SUN, 06 nOV 1994 08:49:37 gmt", MOMENT),
        (b" Sun, 06 Nov 1994 08:49:37 GMT ", MOMENT),
        (b"Mon, 06 Nov 1994 08:49:37 GMT", MOMENT),  # the day's name is not checked against the date
        (b"Thursday, 18-Aug-50 02:01:18 GMT", IN_2050),
        (b"Sun, 06 Nov 1994 08:49:60 GMT", MOMENT + 22_000),  # a leap second
    ],
)
def test_dates(written: Any, epoch_ms: Any) -> None:
    """Three forms, in any case."""
    assert parse_date(written, NOW_MS) == epoch_ms


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"0",
        b"-1",
        b"now",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06  Nov  1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08.49.37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 AEST",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Xxx, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, x",
        b"Sun Nov 6 08:49:37 1994",
    ],
)
def test_what_is_no_date(written: Any) -> None:
    """A zone other than GMT too (RFC 9111 §4.2)."""
    assert parse_date(written, NOW_MS) is None


@pytest.mark.parametrize(("two_digits", "year"), [(25, 2025), (75, 2075), (76, 1976), (99, 1999), (0, 2000)])
def test_two_digits_of_a_year(two_digits: Any, year: Any) -> None:
    """More than 50 years ahead is in the past. Now is 2025."""
    written = b"Sunday, 06-Nov-%02d 08:49:37 GMT" % two_digits
    expected = datetime(year, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp() * 1000
    assert parse_date(written, NOW_MS) == expected


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], 0),
        ([b"30"], 30),
        ([b"abc"], 0),
        ([b"-7"], 0),
        ([b"7.0"], 0),
        ([b"7;a=b"], 0),
        ([b"7, 0"], 7),
        ([b"0, 7"], 0),
        ([b"7", b"0"], 7),
        ([b"0", b"7"], 0),
        ([b"x", b"7"], 0),
        ([b"2147483648"], FOREVER_MS // 1000),
        ([b"99999999999999999999"], FOREVER_MS // 1000),
    ],
)
def test_age(lines: Any, seconds: Any) -> None:
    """The first value counts; what is no number is ignored (RFC 9111 §5.1)."""
    assert parse_age_ms(lines) == seconds * 1000


@pytest.mark.parametrize(
    ("age_ms", "date_ms", "requested_ms", "received_ms", "initial_ms"),
    [
        (0, 1000, 1000, 1000, 0),
        (0, 1000, 6000, 9000, 8000),  # apparent age
        (30_000, 9000, 6000, 9000, 33_000),  # Age and the delay
        (0, 99_000, 6000, 9000, 3000),  # a clock that is ahead
        (0, 9000, 9000, 6000, 0),  # ours stepped back
    ],
)
def test_corrected_initial_age(age_ms: Any, date_ms: Any, requested_ms: Any, received_ms: Any, initial_ms: Any) -> None:
    """§4.2.3."""
    assert initial_age_ms(age_ms, date_ms, requested_ms, received_ms) == initial_ms


@given(st.integers(0, 253_402_300_799))
def test_what_is_written_is_read(epoch_s: Any) -> None:
    """format_date and parse_date are each other's inverse, up to the year 9999."""
    assert parse_date(format_date(epoch_s * 1000), NOW_MS) == epoch_s * 1000


@given(st.binary(max_size=50))
def test_any_bytes_are_read(value: Any) -> None:
    """Nothing raises."""
    parse_date(value, NOW_MS)
    assert 0 <= parse_age_ms([value]) <= FOREVER_MS
