"""Whether what a suggested policy refuses later is what was predicted, and how sure that can be."""

import math
from collections.abc import Iterator

import pytest

from proxy.foresight.backtest import Backtest, Found, later_from, prediction
from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Replay
from proxy.foresight.rewriting import plain_policy, with_rates
from proxy.foresight.suggesting import DAY_MS, Demand, rates_text, suggested_rates
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from tests.foresight.lines import NOON_MS
from tests.foresight.traffic import TIERS, moments_of

TEXT = plain_policy(TIERS, "1m").replace("[per-ip, per-user, per-tenant]", "[per-user]")
WEEKEND = frozenset({5, 6})


def policy(text: str = TEXT) -> Policy:
    return compile_text(text, "policy.yaml", {"HOME": "/nowhere"}).policy


def found(days: dict[int, tuple[int, int]], later_requests: int = 0, later_refused: int = 0) -> Found:
    """``days``: requests and refusals of each fitted one."""
    one = Found(later_requests=later_requests, later_refused=later_refused)
    for day, (requests, refused) in days.items():
        for n in range(requests):
            one.add(day, refused=n < refused, later=False)
    return one


def test_the_prediction_is_by_share_of_requests() -> None:
    assert found({0: (100, 5)}, 40, 3).predicted == 2.0
    assert Found().predicted == 0


def test_a_total_is_the_sum_of_what_tiers_predict() -> None:
    """One that is refused more often and comes more often later would make any share of all too small."""
    busy, calm = found({0: (100, 50)}, later_requests=1000), found({0: (900, 0)}, later_requests=0)
    assert prediction([busy, calm]).predicted == 500


def test_a_margin_follows_from_the_counts() -> None:
    """Of as many later requests as earlier ones: of 100 refusals both are 10 off, so 1.96 times 14."""
    alike = dict.fromkeys(range(4), (1000, 25))
    assert prediction([found(alike, 4000)]).margin == pytest.approx(1.96 * math.sqrt(2 * 101))
    assert prediction([found({0: (4000, 100)}, 4000)]).margin == pytest.approx(1.96 * math.sqrt(2 * 101))
    none = prediction([found({0: (1000, 0)}, 1000)])
    assert (none.predicted, round(none.margin, 1)) == (0, 2.8)


def test_days_that_differ_widen_it() -> None:
    """Refusals come in clusters: half of the days have them all."""
    uneven = {day: (1000, 50 * (day % 2)) for day in range(4)}
    by_days = 3.18 * math.sqrt(25**2 * 4 / 3 * (4 + 4))
    assert prediction([found(uneven, 4000)]).margin == pytest.approx(by_days)


def test_a_miss_is_a_share_of_what_was_found() -> None:
    one = prediction([found({0: (1000, 100)}, 1000, 80)])
    assert one.error == 0.25
    assert one.is_within(0.25)
    assert not one.is_within(0.2)
    assert one.is_chance
    assert not prediction([found({0: (1000, 100)}, 1000, 50)]).is_chance


def test_what_was_predicted_and_never_came_is_a_miss() -> None:
    never = prediction([found({0: (1000, 300)}, 1000, 0)])
    assert never.error == math.inf
    assert not never.is_within(0.05)
    assert not never.is_chance


def test_one_refusal_is_no_miss() -> None:
    assert prediction([found({0: (1000, 1)}, 600, 0)]).is_within(0)
    assert prediction([found({0: (1000, 1)}, 600, 0)]).error == 0


def test_errors_of_two_tiers_do_not_cancel() -> None:
    """130 predicted and 99 found, 46 and 60: 11% together."""
    backtest = Backtest(Replay(policy()), 0)
    backtest.by = {
        ("per-user", "growth"): found({0: (1000, 130)}, 1000, 99),
        ("per-user", "trial"): found({0: (1000, 46)}, 1000, 60),
        ("per-user", "enterprise"): found({0: (1000, 340)}, 1000, 341),
    }
    assert backtest.total().is_within(0.05)
    assert [key for key, _ in backtest.missed(0.05)] == [("per-user", "growth"), ("per-user", "trial")]
    assert [key for key, _ in backtest.missed(0.001)][-1] is None


def test_the_later_days_begin_at_midnight() -> None:
    days = dict.fromkeys(range(20_000, 20_005))
    assert later_from(days, 1) == 20_004 * DAY_MS
    assert later_from(days, 0) == 20_005 * DAY_MS


# --- a suggested policy on days that it has not seen ---------------------------------------------------------------


def traffic(seed: int, users: int, quiet: frozenset[int]) -> Iterator[Entry]:
    for at_s, user, tier in moments_of(10, users=users, sessions=4, seed=seed, quiet=quiet):
        one = Entry(NOON_MS + int(at_s * 1000), 0, "GET", "/api/x", "app.example.com", "192.0.2.1")
        one.knows_callers, one.tenant, one.user, one.tier = True, "acme", f"u{user}", tier
        yield one


def backtested(seed: int, percentile: float, *, users: int, quiet: frozenset[int] = frozenset()) -> Backtest:
    """Seven days are fitted, three judged."""
    demand = Demand(policy(), judges_issuers=False)
    for one in traffic(seed, users, quiet):
        demand.add(one)
    rates = suggested_rates(demand.policy, demand.fitted(percentile, holdout=3))
    text = with_rates(TEXT, {name: rates_text(by_tier) for name, by_tier in rates.items()})
    backtest = Backtest(Replay(policy(text), judges_issuers=False), later_from(demand.days, 3))
    for one in traffic(seed, users, quiet):
        backtest.add(one)
    return backtest


@pytest.mark.full
@pytest.mark.parametrize(("seed", "quiet"), [(0, frozenset()), (1, WEEKEND)])
def test_of_thousands_of_refusals_each_tiers_are_predicted_within_5_percent(seed: int, quiet: frozenset[int]) -> None:
    """And their total, also where two days of the week have a third of the users."""
    backtest = backtested(seed, 80, users=200, quiet=quiet)
    assert all(one.later_refused > 1500 for one in backtest.by.values())
    assert list(backtest.missed(0.05)) == []


@pytest.mark.full
@pytest.mark.parametrize(("percentile", "quiet"), [(80, frozenset({6})), (99.9, frozenset())])
def test_what_is_found_lies_within_the_margin(percentile: float, quiet: frozenset[int]) -> None:
    """In some 95 of 100 cases, whether thousands are refused or five; 30 cases and 10 totals are looked at."""
    backtests = [backtested(seed, percentile, users=30, quiet=quiet) for seed in range(100, 110)]
    tiers = [prediction([one]).is_chance for backtest in backtests for one in backtest.by.values()]
    totals = [backtest.total().is_chance for backtest in backtests]
    assert sum(tiers) >= 0.85 * len(tiers)
    assert sum(totals) >= 8
