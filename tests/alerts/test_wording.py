"""Messages in plain words: who, how much of what, and when it begins anew."""

from proxy.alerts.wording import (
    forecast_message,
    level_message,
    refused_message,
    reserve_message,
    unusual_message,
    violation_message,
)
from tests.alerts.samples import CHARGE, DAY_MS, DOLLAR, NOW_MS, TOMORROW_MS

RESETS = " It resets at 2026-11-19 00:00 UTC."


def test_a_level_says_how_much_of_what() -> None:
    assert level_message(CHARGE, 160 * DOLLAR, 200 * DOLLAR, NOW_MS) == (
        "Budget tenant of tenant acme for 2026-11-18 is 80% used: $160.00 of $200.00 spent." + RESETS
    )
    assert level_message(CHARGE, 200 * DOLLAR, 200 * DOLLAR, TOMORROW_MS) == (
        "Budget tenant of tenant acme for 2026-11-18 is used up: $200.00 of $200.00 spent."
        " It was reset at 2026-11-19 00:00 UTC."
    )


def test_nobody_reads_that_more_was_spent_than_was() -> None:
    assert "is 99.9% used: $199.99 of $200.00 spent" in level_message(CHARGE, 200 * DOLLAR - 1, 200 * DOLLAR, NOW_MS)
    assert "$0.000999999 of $0.001 spent" in level_message(CHARGE, 999_999, 10**6, NOW_MS)


def test_a_refusal_says_why_less_than_all_is_spent() -> None:
    assert refused_message(CHARGE, 194 * DOLLAR, 200 * DOLLAR, NOW_MS) == (
        "Budget tenant of tenant acme for 2026-11-18 refuses calls: $194.00 of $200.00 spent,"
        " and what is left does not cover what calls may cost." + RESETS
    )


def test_a_reserve_says_whose_it_is_not() -> None:
    assert reserve_message(CHARGE, 140 * DOLLAR, 140 * DOLLAR, "trial", NOW_MS) == (
        "Budget tenant of tenant acme for 2026-11-18 refuses calls of tier trial:"
        " what tier trial may use of it is used up: $140.00 of $140.00 spent." + RESETS
    )
    held = reserve_message(CHARGE, 130 * DOLLAR, 140 * DOLLAR, "trial", NOW_MS)
    assert "what tier trial may use of it does not cover what calls may cost: $130.00 of $140.00 spent." in held


def test_a_forecast_says_when_in_the_budgets_own_time() -> None:
    gone = forecast_message(CHARGE, 120 * DOLLAR, 200 * DOLLAR, NOW_MS + 3 * 3_600_000, NOW_MS, "Europe/Berlin")
    assert gone == (
        "At this rate budget tenant of tenant acme for 2026-11-18 is gone by 16:00 (Europe/Berlin):"
        " $120.00 of $200.00 spent so far."
    )
    later = forecast_message(CHARGE, 120 * DOLLAR, 200 * DOLLAR, NOW_MS + 3 * DAY_MS, NOW_MS, "UTC")
    assert "is gone by 2026-11-21 at 12:00 (UTC)" in later


def test_an_unusual_hour_says_beside_what() -> None:
    assert unusual_message("acme", 50 * DOLLAR, 5 * DOLLAR) == (
        "Tenant acme spent $50.00 within an hour, against $5.00 in the dearest hour of the week before."
    )
    assert unusual_message(None, 50 * DOLLAR, 0) == (
        "Callers without a tenant spent $50.00 within an hour, against nothing in the week before."
    )


def test_a_violation_says_whose_answer_it_should_have_been() -> None:
    assert violation_message("reports", "ac\nme") == (
        "Route reports had an answer for tenant ac\ufffdme that named another tenant. It was refused;"
        " so is each like it."
    )
