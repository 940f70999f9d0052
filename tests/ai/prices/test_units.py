"""Cost is exact, rounded up once, and counts each token once."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ai.prices.table import bundled
from proxy.ai.prices.units import ALWAYS, Amount, Step, When, cost_nanousd, day_ms, rates_of

UNITS = bundled().units
DOLLARS = st.decimals(0, 200, places=6, allow_nan=False)
COUNTS = st.integers(0, 10**9)


def priced(**dollars: str) -> object:
    return rates_of({unit: Amount(Decimal(price)) for unit, price in dollars.items()}, UNITS)


@settings(derandomize=True, deadline=None)
@given(DOLLARS, DOLLARS, COUNTS, COUNTS, st.fractions(0, 3))
def test_cost_is_exact_and_rounded_up_once(dear: Decimal, cheap: Decimal, a: int, b: int, factor: Fraction) -> None:
    rates = rates_of({"input_tokens": Amount(dear), "output_tokens": Amount(cheap)}, UNITS)
    exact = (Fraction(dear) * a + Fraction(cheap) * b) * 1000 * factor
    assert cost_nanousd(rates, {"input_tokens": a, "output_tokens": b}, factor) == ceil(exact)


def test_a_token_is_billed_once_at_its_narrowest_price() -> None:
    rates = priced(
        input_tokens="10",
        cache_read_tokens="1",
        cache_write_tokens="12.5",
        cache_write_1h_tokens="20",
        output_tokens="30",
    )
    counts = {
        "input_tokens": 100,
        "cache_read_tokens": 30,
        "cache_write_tokens": 40,
        "cache_write_1h_tokens": 15,
        "output_tokens": 7,
    }
    assert cost_nanousd(rates, counts) == (30 * 10_000 + 30 * 1000 + 25 * 12_500 + 15 * 20_000 + 7 * 30_000)


def test_a_part_without_a_price_is_billed_as_its_whole() -> None:
    counts = {"input_tokens": 100, "cache_read_tokens": 30, "output_tokens": 7, "output_reasoning_tokens": 7}
    assert cost_nanousd(priced(input_tokens="1", output_tokens="2"), counts) == 100 * 1000 + 7 * 2000


def test_parts_that_exceed_their_whole_are_charged() -> None:
    rates = priced(input_tokens="1", cache_read_tokens="1", output_tokens="1")
    assert cost_nanousd(rates, {"input_tokens": 5, "cache_read_tokens": 9}) == 9000


def test_above_a_step_the_whole_request_has_its_price() -> None:
    amount = Amount(Decimal(1), (Step(100, Decimal(2)), Step(200, Decimal(3))))
    rates = rates_of({"input_tokens": amount, "output_tokens": amount}, UNITS)
    for tokens, each in ((100, 1000), (101, 2000), (200, 2000), (201, 3000)):
        assert cost_nanousd(rates, {"input_tokens": tokens, "output_tokens": 10}) == (tokens + 10) * each
    assert rates.rates[0].most(150) == rates.rates[0].at(150)


def test_the_dearest_step_is_found_also_below_a_cheaper_one() -> None:
    rates = rates_of({"input_tokens": Amount(Decimal(5), (Step(10, Decimal(1)),))}, UNITS)
    assert rates.rates[0].most(100) == rates.rates[0].at(5)


def test_a_price_for_each_request_counts_once() -> None:
    assert cost_nanousd(priced(requests="5"), {}) == 5_000_000


@pytest.mark.parametrize(
    ("when", "at_ms", "active"),
    [
        (ALWAYS, 0, True),
        (When(from_ms=day_ms("2026-10-12")), day_ms("2026-10-12"), True),
        (When(from_ms=day_ms("2026-10-12")), day_ms("2026-10-12") - 1, False),
        (When(daily=(3600, 7200)), day_ms("2026-01-01") + 3_600_000, True),
        (When(daily=(3600, 7200)), day_ms("2026-01-01") + 7_200_000, False),
        (When(daily=(7200, 3600)), day_ms("2026-01-01") + 7_200_000, True),
        (When(daily=(7200, 3600)), day_ms("2026-01-01"), True),
        (When(daily=(7200, 3600)), day_ms("2026-01-01") + 3_600_000, False),
    ],
)
def test_when_a_price_is_in_force(when: When, at_ms: int, active: bool) -> None:
    assert when.active(at_ms) is active
