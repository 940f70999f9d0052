"""Rates, shares and moments in words."""

import pytest

from proxy.foresight.wording import burst_rate_text, moment_text, rate_text, share_text, usd_text, written_rate
from proxy.policy.model import Period, Rate
from proxy.policy.words import read_rate


@pytest.mark.parametrize("text", ["600/1m", "100_000/day", "5/90s"])
def test_a_rate_is_written_as_a_policy_reads_it(text: str) -> None:
    assert rate_text(read_rate(text)) == text


def test_a_compiled_rate_is_written_as_it_was() -> None:
    assert rate_text(written_rate(Rate(5000))) == "5"
    assert rate_text(written_rate(Rate(5000, period=Period.DAY))) == "5/day"
    assert burst_rate_text(Rate(60_000, 60_000, burst=3000)) == "60/1m, 3 at once"
    assert burst_rate_text(Rate(5000)) == "5"


def test_shares_have_the_digits_that_say_something() -> None:
    assert [share_text(*pair) for pair in ((0, 5), (1, 8), (1, 2500), (1, 10**8))] == [
        "0%",
        "12.5%",
        "0.04%",
        "<0.0001%",
    ]


def test_moments_are_in_utc() -> None:
    assert moment_text(1_795_435_200_500) == "2026-11-23 12:00:00"


def test_money_is_rounded_for_people() -> None:
    assert [usd_text(nanousd) for nanousd in (0, 1_234_567_891_234, 1_500_000)] == ["$0.00", "$1,234.57", "$0.0015"]
