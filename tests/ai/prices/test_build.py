"""The table in the package is the one that the installed library makes, and what it cannot state is an error."""

from datetime import time, timedelta, timezone

import orjson
import pytest
from genai_prices import types

from proxy.ai.prices import build


def test_the_table_in_the_package_is_of_the_installed_library() -> None:
    """Else: ``python -m proxy.ai.prices.build``."""
    assert build.TABLE.read_bytes() == build.text_of(build.table())


def test_the_text_is_the_table() -> None:
    made = build.table()
    assert orjson.loads(build.text_of(made)) == made


def test_a_model_is_a_line() -> None:
    lines = build.TABLE.read_bytes().splitlines()
    assert sum(line.startswith(b'{"id":"gpt-5",') for line in lines) >= 1


def test_what_the_table_cannot_state_is_an_error() -> None:
    with pytest.raises(ValueError, match="rule"):
        build._rule(object())
    with pytest.raises(ValueError, match="condition"):
        build._when(object())


def test_times_of_day_are_of_the_utc_day() -> None:
    east = timezone(timedelta(hours=8))
    assert build._when(types.TimeOfDateConstraint(time(4, 30), time(0, 30, tzinfo=east))) == ["daily", 16200, 59400]
