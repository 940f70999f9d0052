"""What one policy says of what was spent, to the nano-dollar, and the same whenever it is asked."""

from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from proxy.alerts.alert import REFUSED, Cause, Firing
from proxy.alerts.watch import Watch
from proxy.core.usage import Charge, Spender
from proxy.policy.model import Period, Scope, ScopeKind
from proxy.policy.spending import Level
from tests.alerts.samples import (
    CHARGE,
    DAY_MS,
    DOLLAR,
    GLOBAL,
    MAIL,
    MIDNIGHT_MS,
    NOW_MS,
    OPS,
    SPENDER,
    TENANT,
    TOMORROW_MS,
    UNUSUAL,
    alerts,
    spent,
)

WATCH = Watch((TENANT, GLOBAL), alerts())
EVERYBODY = Charge("global", "global", "2026-11-18", "{m0}b:global", TOMORROW_MS)


def thresholds(firings: list[Firing]) -> list[int]:
    return [firing.threshold for firing in firings]


def test_one_call_may_cross_two_levels() -> None:
    warning, critical = WATCH.judge(spent(195 * DOLLAR), {}, NOW_MS)
    assert (warning.threshold, warning.alert.level) == (80, Level.WARNING)
    assert (critical.threshold, critical.alert.level) == (95, Level.CRITICAL)
    assert (critical.meter, critical.period, critical.capacity) == ("tenant tenant:acme", "2026-11-18", 200 * DOLLAR)
    assert (critical.alert.current, critical.alert.tenant, critical.alert.user) == (195 * DOLLAR, "acme", "u-1")
    assert critical.posts == (("ops", ""),)
    assert "$195.00 of $200.00" in critical.alert.message


def test_a_level_is_exact_to_the_nano_dollar() -> None:
    assert thresholds(WATCH.judge(spent(160 * DOLLAR - 1), {}, NOW_MS)) == []
    assert thresholds(WATCH.judge(spent(160 * DOLLAR), {}, NOW_MS)) == [80]


def test_asking_again_finds_the_same() -> None:
    first, again = (
        WATCH.judge(spent(nanousd), {}, NOW_MS + n) for n, nanousd in enumerate((161 * DOLLAR, 170 * DOLLAR))
    )
    assert [one.id for one in first] == [one.id for one in again]


def test_a_tier_has_its_own_amount_and_so_has_an_exception() -> None:
    trial = replace(SPENDER, tier="trial")
    assert thresholds(WATCH.judge(spent(16 * DOLLAR, spender=trial), {}, NOW_MS)) == [80]
    watch = Watch([replace(TENANT, tenants={"acme": (1000 * DOLLAR, NOW_MS + 5)})], alerts())
    assert watch.judge(spent(200 * DOLLAR), {}, NOW_MS) == []
    assert thresholds(watch.judge(spent(200 * DOLLAR), {}, NOW_MS + 5)) == [80, 95, 100]


def test_a_grant_makes_room_for_its_scope_and_an_alert_of_its_own() -> None:
    """What fired of the smaller budget has fired; of the larger one it is another."""
    granted = {("tenant", "tenant:acme"): 50 * DOLLAR, ("tenant", "tenant:other"): 999 * DOLLAR}
    assert WATCH.judge(spent(199 * DOLLAR), granted, NOW_MS) == []
    (larger,) = WATCH.judge(spent(200 * DOLLAR), granted, NOW_MS)
    assert (larger.threshold, larger.capacity) == (80, 250 * DOLLAR)
    assert larger.id != WATCH.judge(spent(200 * DOLLAR), {}, NOW_MS)[0].id


def test_a_grant_that_takes_all_away_leaves_nothing_to_spend() -> None:
    taken = {("tenant", "tenant:acme"): -300 * DOLLAR}
    assert {firing.capacity for firing in WATCH.judge(spent(1), taken, NOW_MS)} == {0}
    assert WATCH.judge(spent(0), taken, NOW_MS) == []


@pytest.mark.parametrize("charge", [
    replace(CHARGE, budget="gone"), replace(CHARGE, period="2026-11"), replace(CHARGE, period="2026-W47"),
    replace(CHARGE, period="2026-11-18 Europe/Berlin"), replace(CHARGE, period="soon"), replace(CHARGE, period=""),
])  # fmt: skip
def test_what_the_policy_does_not_know_is_silent(charge: Charge) -> None:
    assert WATCH.judge(spent(10**15, charge), {}, NOW_MS) == []


def test_a_tier_that_is_gone_is_silent() -> None:
    """As is an adjustment that nobody's call has moved before."""
    assert WATCH.judge(spent(10**15, spender=Spender()), {}, NOW_MS) == []


@pytest.mark.parametrize(("period", "zone", "name"), [
    (Period.HOUR, "UTC", "2026-11-18T12"), (Period.DAY, "Europe/Berlin", "2026-11-18 Europe/Berlin"),
    (Period.WEEK, "UTC", "2026-W47"), (Period.MONTH, "UTC", "2026-11"),
])  # fmt: skip
def test_every_period_is_known_by_its_name(period: Period, zone: str, name: str) -> None:
    watch = Watch([replace(TENANT, period=period, time_zone=zone)], alerts())
    assert thresholds(watch.judge(spent(160 * DOLLAR, replace(CHARGE, period=name)), {}, NOW_MS)) == [80]


def test_what_nobody_hears_does_not_fire() -> None:
    """Else it would be spent when somebody wants to hear it."""
    deaf = Watch([TENANT], alerts([replace(OPS, scopes=frozenset({ScopeKind.USER}))]))
    assert deaf.judge(spent(200 * DOLLAR), {}, NOW_MS) == []


# --- refusals


def test_a_refusal_does_not_use_up_the_hundredth_percent() -> None:
    """At 97% nothing may fit any more; that all is spent is another alert, and still to come."""
    (refused,) = WATCH.judge_refused(spent(194 * DOLLAR), {}, NOW_MS)
    assert (refused.threshold, refused.alert.cause, refused.alert.current) == (REFUSED, Cause.REFUSED, 194 * DOLLAR)
    assert "refuses calls" in refused.alert.message
    assert refused.id not in {one.id for one in WATCH.judge(spent(200 * DOLLAR), {}, NOW_MS)}


def test_a_refusal_when_all_is_spent_is_the_hundredth_percent() -> None:
    """One alert, whichever is seen first."""
    (refused,) = WATCH.judge_refused(spent(200 * DOLLAR), {}, NOW_MS)
    level = WATCH.judge(spent(200 * DOLLAR), {}, NOW_MS)[-1]
    assert (refused.id, refused.alert.cause, refused.alert.message) == (level.id, Cause.THRESHOLD, level.alert.message)


def test_a_tier_that_may_not_use_all_is_told_of_its_share() -> None:
    trial = replace(SPENDER, tier="trial")
    (refused,) = WATCH.judge_refused(spent(700 * DOLLAR, EVERYBODY, trial), {}, NOW_MS)
    assert (refused.capacity, refused.alert.limit) == (700 * DOLLAR, 700 * DOLLAR)
    assert "refuses calls of tier trial" in refused.alert.message
    (whole,) = WATCH.judge_refused(spent(990 * DOLLAR, EVERYBODY), {}, NOW_MS)
    assert whole.capacity == 1000 * DOLLAR


def test_a_tier_that_may_spend_nothing_is_refused_without_news() -> None:
    free = Watch(
        [replace(TENANT, amounts={"enterprise": 0}), replace(GLOBAL, usable={"enterprise": Fraction(0)})], alerts()
    )
    assert free.judge_refused(spent(0), {}, NOW_MS) == []
    assert free.judge_refused(spent(5 * DOLLAR, EVERYBODY), {}, NOW_MS) == []


def test_a_policy_without_the_hundredth_percent_hears_of_no_spent() -> None:
    watch = Watch([TENANT], replace(alerts(), at=((80, Level.WARNING),)))
    assert watch.judge_refused(spent(194 * DOLLAR), {}, NOW_MS) == []
    assert WATCH.judge_refused(spent(1, replace(CHARGE, budget="gone")), {}, NOW_MS) == []


# --- forecasts


def test_a_forecast_comes_once_a_period_and_only_if_asked_for() -> None:
    watch = Watch([TENANT], alerts(forecast=True))
    (found,) = watch.judge(spent(150 * DOLLAR), {}, NOW_MS)
    assert (found.alert.cause, found.alert.level, found.threshold) == (Cause.FORECAST, Level.WARNING, 0)
    assert found.alert.expected_ms == MIDNIGHT_MS + DAY_MS * 2 // 3
    assert "gone by 16:00 (UTC)" in found.alert.message
    later = watch.judge(spent(159 * DOLLAR), {}, NOW_MS + 60_000)
    assert [one.id for one in later] == [found.id]
    assert WATCH.judge(spent(150 * DOLLAR), {}, NOW_MS) == []


def test_a_charge_that_does_not_know_its_end_has_no_forecast() -> None:
    watch = Watch([TENANT], alerts(forecast=True))
    assert watch.judge(spent(150 * DOLLAR, replace(CHARGE, ends_ms=0)), {}, NOW_MS) == []


# --- unusual hours


@dataclass(frozen=True)
class AnHour:
    tenant: str | None
    last: int
    dearest: int


def unusual(last: int, dearest: int, tenant: str | None = "acme", now_ms: int = NOW_MS) -> list[Firing]:
    return Watch([TENANT], alerts(unusual=UNUSUAL)).judge_hours([AnHour(tenant, last, dearest)], now_ms)


def test_an_hour_is_unusual_above_the_factor_and_from_the_least_on() -> None:
    assert unusual(30 * DOLLAR, 10 * DOLLAR) == []
    (found,) = unusual(30 * DOLLAR + 1, 10 * DOLLAR)
    assert (found.alert.cause, found.alert.current, found.alert.limit) == (Cause.UNUSUAL, 30 * DOLLAR + 1, 30 * DOLLAR)
    assert unusual(10 * DOLLAR - 1, 0) == []
    assert unusual(10 * DOLLAR, 0)[0].alert.limit == 10 * DOLLAR


def test_a_factor_may_be_a_fraction() -> None:
    watch = Watch([TENANT], alerts(unusual=replace(UNUSUAL, factor=Fraction(3, 2))))
    assert watch.judge_hours([AnHour("acme", 15 * DOLLAR, 10 * DOLLAR)], NOW_MS) == []
    assert len(watch.judge_hours([AnHour("acme", 15 * DOLLAR + 1, 10 * DOLLAR)], NOW_MS)) == 1


def test_an_unusual_hour_is_told_once_an_hour_and_tenant() -> None:
    (first,), (again,) = unusual(40 * DOLLAR, 1), unusual(50 * DOLLAR, 1, now_ms=NOW_MS + 3_599_999)
    (next_hour,), (other,) = unusual(40 * DOLLAR, 1, now_ms=NOW_MS + 3_600_000), unusual(40 * DOLLAR, 1, "other")
    (nobody,) = unusual(40 * DOLLAR, 1, None)
    assert first.id == again.id
    assert len({one.id for one in (first, next_hour, other, nobody)}) == 4


def test_nobody_who_did_not_ask_hears_of_hours() -> None:
    assert WATCH.judge_hours([AnHour("acme", 10**15, 0)], NOW_MS) == []
    tenants = Watch([TENANT], alerts([replace(OPS, scopes=frozenset({ScopeKind.TENANT}))], unusual=UNUSUAL))
    assert len(tenants.judge_hours([AnHour("acme", 10**15, 0)], NOW_MS)) == 1
    assert tenants.judge_hours([AnHour(None, 10**15, 0)], NOW_MS) == []


def test_no_budgets_forecast_is_an_hours_mark() -> None:
    """A budget may be called as a tenant is."""
    budget = replace(TENANT, name="acme", scopes=(Scope(ScopeKind.GLOBAL),), period=Period.HOUR)
    watch = Watch([budget], alerts(forecast=True, unusual=UNUSUAL))
    charge = Charge("acme", "global", "2026-11-18T12", "k", NOW_MS + 1_800_000)
    marks = {one.id for one in watch.judge(spent(150 * DOLLAR, charge), {}, NOW_MS)}
    assert len(marks) == 1
    assert marks.isdisjoint(one.id for one in watch.judge_hours([AnHour("acme", 10**15, 0)], NOW_MS))


def test_a_violation_is_told_once_an_hour_route_and_tenant_to_who_hears_of_everything() -> None:
    """Never to the tenant's own contacts or to whoever called."""
    theirs = replace(OPS, name="theirs", scopes=frozenset({ScopeKind.TENANT}))
    ours = replace(OPS, name="ours", scopes=frozenset({ScopeKind.GLOBAL}))
    contacts = replace(MAIL, to=("claim:email", "tenant", "ops@example.com"))
    watch = Watch([], alerts([OPS, theirs, ours, contacts], contacts={"acme": ("boss@acme.example",)}))
    violated = [("reports", "acme"), ("reports", "other")]
    one, other = watch.judge_violations(violated, NOW_MS)
    assert one.posts == (("ops", ""), ("ours", ""), ("mail", "ops@example.com"))
    assert (one.alert.level, one.alert.cause, one.alert.tenant) == (Level.CRITICAL, Cause.ISOLATION, "acme")
    assert one.id != other.id
    hour_ms = DAY_MS // 24
    assert watch.judge_violations(violated, NOW_MS + hour_ms - 1)[0].id == one.id
    assert watch.judge_violations(violated, NOW_MS + hour_ms)[0].id != one.id
    assert not Watch([], alerts([theirs])).judge_violations(violated, NOW_MS)
