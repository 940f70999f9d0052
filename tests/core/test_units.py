"""Durations, sizes and counts: exact, or refused with what would be right."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.units import (
    DURATIONS_MS,
    MAX_DURATION_MS,
    SIZES,
    UnitError,
    dollars,
    format_duration,
    parse_count,
    parse_duration_ms,
    parse_size,
)

quick = settings(derandomize=True, deadline=None, max_examples=300)


@quick
@given(st.integers(0, MAX_DURATION_MS))
def test_a_duration_survives_being_written_and_read(ms):
    """Exactly, whatever unit is the shortest."""
    assert parse_duration_ms(format_duration(ms)) == ms


@quick
@given(st.integers(0, 10_000), st.sampled_from(sorted(DURATIONS_MS)))
def test_a_duration_is_its_number_times_its_unit(number, unit):
    """White space and underscores don't count."""
    wanted = number * DURATIONS_MS[unit]
    if wanted <= MAX_DURATION_MS:
        assert parse_duration_ms(f"{number}{unit}") == parse_duration_ms(f" {number:_} {unit} ") == wanted
    else:
        with pytest.raises(UnitError, match="longer than 366 days"):
            parse_duration_ms(f"{number}{unit}")


@quick
@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(["s", "m", "h"]))
def test_fractions_are_exact_or_refused(whole, thousandths, unit):
    """Never rounded: thousandths of a second and more are whole milliseconds."""
    wanted = whole * DURATIONS_MS[unit] + thousandths * DURATIONS_MS[unit] // 1000
    if wanted <= MAX_DURATION_MS:
        assert parse_duration_ms(f"{whole}.{thousandths:03d}{unit}") == wanted


@quick
@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZES)))
def test_a_size_is_its_number_times_its_unit(number, unit):
    """KB is 1000, KiB 1024."""
    assert parse_size(f"{number}{unit}") == number * SIZES[unit]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "'10': a unit is missing; one of ms, s, m, h, d"),
        ("10x", "'10x': unknown unit 'x'; one of ms, s, m, h, d"),
        ("10S", "'10S': unknown unit 'S'; one of ms, s, m, h, d"),
        ("", "'' is not a duration; write a number and one of ms, s, m, h, d"),
        ("-1s", "'-1s' is not a duration; write a number and one of ms, s, m, h, d"),
        ("1e3s", "'1e3s' is not a duration; write a number and one of ms, s, m, h, d"),
        (".5s", "'.5s' is not a duration; write a number and one of ms, s, m, h, d"),
        ("0.5ms", "'0.5ms' is not a whole number of ms"),
        ("1m30s", "'1m30s' is not a duration; write a number and one of ms, s, m, h, d"),
        ("367d", "'367d' is longer than 366 days"),
        ("\u0661s", "'\u0661s' is not a duration; write a number and one of ms, s, m, h, d"),
    ],
)
def test_what_is_no_duration_is_told(text, message):
    """With the units that there are."""
    with pytest.raises(UnitError) as error:
        parse_duration_ms(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["1", "1kb", "1 MIB", "0.5B", "1TiB", "MiB"])
def test_what_is_no_size_is_refused(text):
    """Units are case-sensitive: a kilobit is no kilobyte."""
    with pytest.raises(UnitError):
        parse_size(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("2_000_000", 2_000_000), (" 7 ", 7)])
def test_counts(text, value):
    """Whole numbers with underscores."""
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["", "_1", "-1", "1.0", "1e3", "0x10", "\u0661"])
def test_what_is_no_count_is_refused(text):
    """ASCII digits alone."""
    with pytest.raises(UnitError):
        parse_count(text)


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0s"), (1, "1ms"), (90_000, "90s"), (60_000, "1m"), (86_400_000, "1d"), (1_500, "1500ms")]
)
def test_the_shortest_exact_spelling(ms, text):
    """In the largest unit that divides it."""
    assert format_duration(ms) == text


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (30_000, "0.00003"),
        (500_000_000, "0.50"),
        (1_500_000_000, "1.50"),
        (1_234_567_890_000_000, "1234567.89"),
        (-2_000_000_000, "-2.00"),
    ],
)
def test_dollars_are_exact_and_read_as_money(nanousd: int, text: str) -> None:
    assert dollars(nanousd) == text
    assert dollars(nanousd, grouped=True).replace(",", "") == text
