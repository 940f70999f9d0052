"""Leaves of a policy: the same from YAML's kinds and from text, refused in the same words."""

from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.units import format_duration
from proxy.policy.spelling import choice, count, duration, flag, one_or_many, single, size, text, word_for

quick = settings(derandomize=True, deadline=None, max_examples=200)


class Switch(StrEnum):
    OFF = "off"
    SLOW = "slow"


@quick
@given(st.integers(0, 10_000))
def test_a_number_is_the_same_as_text(number):
    """A variable always gives text."""
    spelling = count(0, 10_000)
    assert spelling.parse(number) == spelling.parse(str(number)) == spelling.parse(f"{number:_}") == number


@pytest.mark.parametrize("raw", [-1, 11, 1.0, True, None, "", "x", "1.0", "-1", [1]])
def test_what_is_no_number_in_range_is_refused(raw):
    """A bool is no number, neither is a float."""
    with pytest.raises(ValueError):
        count(0, 10).parse(raw)


@quick
@given(st.integers(1_000, 60_000))
def test_a_duration_within_its_bounds_is_exact(ms):
    """As it would be shown."""
    assert duration("1s", "1m").parse(format_duration(ms)) == ms


@pytest.mark.parametrize("raw", ["999ms", "61s", 10, None, True, "1 fortnight"])
def test_a_duration_out_of_bounds_is_refused(raw):
    """Also one without a unit: nobody guesses which."""
    with pytest.raises(ValueError):
        duration("1s", "1m").parse(raw)


def test_a_size_is_in_bytes():
    """1024s and 1000s."""
    spelling = size("0B", "1GiB")
    assert [spelling.parse(raw) for raw in ("0B", "1KB", "1KiB", "1.5MiB")] == [0, 1_000, 1_024, 1_572_864]
    with pytest.raises(ValueError, match="is not a size from 0B to 1GiB"):
        spelling.parse("2GiB")


def test_off_is_a_word_again():
    """YAML reads it as false."""
    spelling = choice(Switch)
    assert spelling.parse(False) is spelling.parse("off") is Switch.OFF
    assert spelling.parse("slow") is Switch.SLOW
    for raw in (True, "slwo", 7, None):
        with pytest.raises(ValueError):
            spelling.parse(raw)


def test_a_flag_is_true_or_false():
    """In every spelling that YAML has for them."""
    spelling = flag()
    assert all(spelling.parse(raw) is True for raw in (True, "true", "Yes", "on"))
    assert all(spelling.parse(raw) is False for raw in (False, "false", "No", "off"))
    for raw in (1, 0, "1", "", None):
        with pytest.raises(ValueError):
            spelling.parse(raw)


def test_text_is_not_empty_and_holds_no_control_character():
    """And numbers are put in quotes, not guessed."""
    assert text().parse("a b") == "a b"
    for raw in ("", "a\n", "a\x00", 7, None):
        with pytest.raises(ValueError):
            text().parse(raw)


def test_shorthands_leave_the_long_form_alone():
    """A list is a list, a map a map."""
    assert one_or_many().expand("a") == ["a"]
    assert one_or_many().expand(["a"]) == ["a"]
    assert single("k", "").expand("a") == {"k": "a"}
    assert single("k", "").expand({"x": 1}) == {"x": 1}
    assert word_for("any", ["*"]).expand("any") == ["*"]
    assert word_for("any", ["*"]).expand(["any"]) == ["any"]
