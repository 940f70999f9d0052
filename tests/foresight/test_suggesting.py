"""Limits by real use, and whether what they refuse is what was predicted."""

from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Replay
from proxy.foresight.rewriting import plain_policy, with_rates
from proxy.foresight.suggesting import (
    Demand,
    Few,
    open_policy,
    rates_text,
    round_up,
    suggested_rates,
)
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from tests.foresight.lines import entry
from tests.foresight.policies import compiled
from tests.foresight.traffic import TIERS

TEXT = plain_policy(TIERS, "1m").replace("[per-ip, per-user, per-tenant]", "[per-user]")


TIERS_FEW = (("trial", 0), ("growth", 1), ("enterprise", 2))


def policy(text: str = TEXT) -> Policy:
    return compile_text(text, "policy.yaml", {"HOME": "/nowhere"}).policy


def suggested(demand: Demand, percentile: float, holdout: int = 0) -> Policy:
    rates = suggested_rates(demand.policy, demand.fitted(percentile, holdout))
    return policy(with_rates(TEXT, {name: rates_text(by_tier) for name, by_tier in rates.items()}))


def demand_of(entries: "list[Entry]") -> Demand:
    demand = Demand(policy(), judges_issuers=False)
    for one in entries:
        demand.add(one)
    return demand


def test_a_limit_is_the_use_that_so_many_requests_met() -> None:
    """Ten requests at once meet the uses 1 to 10; the next minute, one meets 1."""
    burst = [entry(0, tier="trial") for _ in range(10)] + [entry(100, tier="trial")]
    demand = demand_of(burst)
    assert [demand.fitted(percentile, 0)["per-user", "trial"] for percentile in (10, 50, 90, 100)] == [1, 5, 9, 10]


def test_each_tier_has_its_own_and_one_that_nobody_came_in_keeps_its() -> None:
    demand = demand_of([entry(0, tier="trial"), *(entry(0, tier="growth", user="b") for _ in range(3))])
    rates = suggested_rates(demand.policy, demand.fitted(100, 0))["per-user"]
    assert {tier: rate.count for tier, rate in rates.items()} == {
        "enterprise": 600,
        "growth": 3,
        "trial": 1,
        "anonymous": 600,
    }


def test_what_a_few_did_says_nothing_of_a_tier() -> None:
    """A hundred requests of three callers are the least; what later days have does not count."""
    one, two, three = ([entry(n, tier=tier, user=f"u{n % 3}") for n in range(99 + more)] for tier, more in TIERS_FEW)
    alone = [entry(n, tier="anonymous", user=None, tenant=None, ip=f"192.0.2.{n % 2}") for n in range(200)]
    later = [entry(86_400 + n, tier="trial", user=f"u{n % 3}") for n in range(50)]
    demand = demand_of(sorted([*one, *two, *three, *alone, *later], key=lambda each: each.start_ms))
    assert demand.few(1) == {("per-user", "trial"): Few(99, 3), ("per-user", "anonymous"): Few(200, 2)}
    assert demand.few(0) == {("per-user", "anonymous"): Few(200, 2)}


def test_nothing_is_refused_while_use_is_measured() -> None:
    """Nor are budgets held, nor what exceptions let some tenants do taken for their tier's use."""
    opened = Replay(open_policy(compiled()))
    for _ in range(300):
        assert opened.add(entry()).admitted
    demand = Demand(compiled())
    for _ in range(9):
        demand.add(entry(tenant="acme"))
    assert demand.fitted(100, 0).get(("per-user", "trial")) is None
    assert demand.fitted(100, 0)["per-ip", "trial"] == 9


def test_what_is_under_way_is_measured_too() -> None:
    demand = Demand(compiled())
    for n in range(4):
        demand.add(entry(10, ms=5000, path="/api/upload", method="POST", id=f"r{n}"))
    assert demand.fitted(100, 0)["in-flight", "trial"] == 4


def test_numbers_are_rounded_up_to_two_digits() -> None:
    assert [round_up(use) for use in (0, 7, 12, 121, 4601)] == [1, 7, 12, 130, 4700]


def test_the_last_days_are_not_looked_at() -> None:
    days = [entry(n * 86_400, tier="trial") for n in range(3)] + [entry(3 * 86_400, tier="trial") for _ in range(9)]
    demand = demand_of(days)
    assert demand.fitted(100, 1)["per-user", "trial"] == 1
    assert demand.fitted(100, 0)["per-user", "trial"] == 9
