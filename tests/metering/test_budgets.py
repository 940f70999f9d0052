"""What a call holds from which budgets, for whom, and until when."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from proxy.core.identity import Identity
from proxy.core.usage import TokenCharge
from proxy.metering.budgets import CallPlan, CallPlanner, Granted, make_call_plan, period_name
from proxy.metering.calendar import period_edges
from proxy.policy.model import Limit, MeterKind, Period, Rate, Route, RouteMode, Scope, ScopeKind
from proxy.policy.spending import Budget, OnDisconnect, OnExceed, Spending
from tests.metering import samples

NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
MIDNIGHT = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
DOLLAR = 10**9


def budget(name: str = "tenant", scope: ScopeKind = ScopeKind.TENANT, **changes: object) -> Budget:
    values: dict[str, object] = {
        "name": name,
        "index": 0,
        "period": Period.DAY,
        "time_zone": "UTC",
        "scopes": (Scope(scope),),
        "amounts": {"pro": 5 * DOLLAR, "anonymous": DOLLAR},
        "usable": {},
        "tenants": {},
        "on_exceed": OnExceed.BLOCK,
    }
    return Budget(**values | changes)  # type: ignore[arg-type]


def tokens(name: str = "tokens") -> Limit:
    rate = Rate(100_000 * 1000, 60_000)
    scopes = (Scope(ScopeKind.TENANT),)
    rates = {"pro": rate, "anonymous": rate}
    return Limit(name, 0, MeterKind.WINDOW, scopes, rates, {}, False, "UTC", 1000, tokens=True)


def route(*budgets: Budget, limits: tuple[Limit, ...] = (), mode: RouteMode = RouteMode.ENFORCE) -> Route:
    spending = Spending("openai", budgets, limits, None, None, OnDisconnect.DRAIN, None, None, frozenset())
    return replace(samples.route(mode=mode), spending=spending)


def plan(one: Route, who: Identity | None = None, now_ms: int = NOON, model: str = "m", **granted: int) -> CallPlan:
    grants = {("tenant", scope): (Granted(amount, MIDNIGHT - 1),) for scope, amount in granted.items()}
    return make_call_plan(one, who or samples.user(), "192.0.2.1", model, now_ms, grants)


def test_budgets_take_money_and_limits_of_tokens_take_tokens() -> None:
    made = plan(route(budget(), limits=(tokens(),)))
    assert made.amounts(70, 3) == (70, 3)
    assert [meter.kind for meter in made.plan.meters] == [MeterKind.HOLD, MeterKind.WINDOW]
    assert [meter.capacity for meter in made.plan.meters] == [5 * DOLLAR, 100_000]
    assert made.token_charges(3) == (TokenCharge("tokens", "tenant:acme", 60_000, 3),)


def test_a_charge_names_budget_scope_period_and_counter() -> None:
    made = plan(route(budget()))
    (charge,) = made.charges(NOON)
    assert (charge.budget, charge.scope, charge.period) == ("tenant", "tenant:acme", "2026-11-23")
    assert charge.counter.encode() == made.plan.meters[0].key
    assert charge.ends_ms == MIDNIGHT


def test_what_the_store_took_after_midnight_is_charged_to_the_new_day() -> None:
    """The store's clock decides, and the plan was made a moment before."""
    made = plan(route(budget()), now_ms=MIDNIGHT - 1)
    (before,), (after,) = made.charges(MIDNIGHT - 1), made.charges(MIDNIGHT)
    assert (before.period, after.period) == ("2026-11-23", "2026-11-24")
    assert before.counter != after.counter
    assert after.counter.encode() == made.plan.meters[0].next_key


def test_near_midnight_the_next_days_charges_are_told_too() -> None:
    assert plan(route(budget())).charges_after(NOON) == ()
    (after,) = plan(route(budget()), now_ms=MIDNIGHT - 1).charges_after(MIDNIGHT - 1)
    assert (after.period, after.ends_ms) == ("2026-11-24", MIDNIGHT + 86_400_000)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (samples.user("ann", "acme"), samples.user("ann", "other")),
        (samples.user("ann", "a b"), samples.user("ann", "a%20b")),
        (samples.user("model:m", "acme"), samples.user("ann", "acme model:m")),
    ],
)
def test_no_two_tenants_share_a_budget_or_its_name(first: Identity, second: Identity) -> None:
    one, two = plan(route(budget()), first), plan(route(budget()), second)
    assert one.held[0].scope != two.held[0].scope
    assert one.plan.keys != two.plan.keys


def test_by_model_and_by_feature() -> None:
    by_model = route(budget(scope=ScopeKind.MODEL))
    assert plan(by_model, model="a").plan.keys != plan(by_model, model="b").plan.keys
    by_feature = route(budget(scope=ScopeKind.FEATURE))
    chat = replace(samples.user(), feature="chat")
    assert plan(by_feature, chat).held[0].scope == "feature:chat"
    assert plan(by_feature).held[0].scope == "feature:"


def test_a_grant_counts_until_it_ends() -> None:
    granted = {"tenant:acme": 2 * DOLLAR}
    made = plan(route(budget()), **granted)
    assert made.plan.meters[0].capacity == 7 * DOLLAR
    assert made.valid_until_ms == MIDNIGHT - 1
    assert plan(route(budget()), now_ms=MIDNIGHT - 1, **granted).plan.meters[0].capacity == 5 * DOLLAR
    assert plan(route(budget()), samples.user("ann", "other"), **granted).plan.meters[0].capacity == 5 * DOLLAR


def test_a_grant_taken_back_leaves_no_budget_below_zero() -> None:
    assert plan(route(budget()), **{"tenant:acme": -9 * DOLLAR}).plan.meters[0].capacity == 0


def test_what_is_kept_for_better_tiers_lowers_the_capacity_and_not_the_amount() -> None:
    held = plan(route(budget(usable={"pro": Fraction(7, 10)}))).held[0]
    assert (held.amount, held.meter.capacity) == (5 * DOLLAR, 35 * DOLLAR // 10)


def test_an_exception_ends_when_it_says() -> None:
    one = route(budget(tenants={"acme": (9 * DOLLAR, NOON + 5)}))
    assert plan(one).plan.meters[0].capacity == 9 * DOLLAR
    assert plan(one).valid_until_ms == NOON + 5
    assert plan(one, now_ms=NOON + 5).plan.meters[0].capacity == 5 * DOLLAR


def test_to_warn_or_a_shadow_refuses_nothing() -> None:
    assert plan(route(budget(on_exceed=OnExceed.WARN))).plan.meters[0].shadow
    assert plan(route(budget(), mode=RouteMode.SHADOW)).plan.meters[0].shadow
    assert not plan(route(budget())).plan.meters[0].shadow


@pytest.mark.parametrize(
    ("period", "zone", "name"),
    [
        (Period.DAY, "UTC", "2026-11-23"),
        (Period.WEEK, "UTC", "2026-W48"),
        (Period.MONTH, "UTC", "2026-11"),
        (Period.HOUR, "UTC", "2026-11-23T12"),
        (Period.DAY, "Europe/Zurich", "2026-11-23 Europe/Zurich"),
        (Period.DAY, "Pacific/Auckland", "2026-11-24 Pacific/Auckland"),
    ],
)
def test_periods_have_names(period: Period, zone: str, name: str) -> None:
    """Local ones: it is tomorrow in Auckland, and the name says where."""
    start, _, _ = period_edges(NOON, period, zone)
    assert period_name(start, period, zone) == name


def test_a_plan_is_remembered_until_its_period_ends_or_grants_change() -> None:
    one = route(budget())
    planner, who = CallPlanner(samples.policy(one)), samples.user()
    first = planner.plan(one, who, "192.0.2.1", "m", NOON)
    assert planner.plan(one, who, "192.0.2.1", "m", NOON + 1) is first
    assert planner.plan(one, who, "192.0.2.1", "m", MIDNIGHT) is not first
    again = planner.plan(one, who, "192.0.2.1", "m", NOON)
    planner.grant({("tenant", "tenant:acme"): (Granted(DOLLAR, MIDNIGHT),)})
    assert planner.plan(one, who, "192.0.2.1", "m", NOON).held[0].amount == again.held[0].amount + DOLLAR


def test_a_route_that_calls_nobody_has_no_plan() -> None:
    with pytest.raises(ValueError, match="calls no provider"):
        make_call_plan(samples.route(), samples.user(), "192.0.2.1", "m", NOON, {})
