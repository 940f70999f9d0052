"""Plans: which meters, how much, in whose rate, and for how long."""

import dataclasses

import pytest

from proxy.core.identity import Identity, IdentityKind
from proxy.metering.plan import LEASE_MS, MAX_LEVEL, MAX_PLANS, Planner, leak_and_scale, make_plan
from proxy.metering.takes import MAX_AMOUNT
from proxy.policy.model import MILLI, MeterKind, Period, Rate, RouteMode, ScopeKind
from tests.metering.samples import T0, anonymous, limit, policy, rate, route, user

IP = "192.0.2.1"
DAY_MS = 86_400_000


def test_each_kind_takes_by_its_numbers() -> None:
    made = route(
        limit("exact", rate(64)),
        limit("ring", rate(65)),
        limit("drip", rate(10, burst=3), kind=MeterKind.SMOOTH),
        limit("day", rate(9, 0, period=Period.DAY), kind=MeterKind.CALENDAR),
        limit("flight", rate(5, 0), kind=MeterKind.CONCURRENCY),
        weight=100,
    )
    exact, ring, drip, day, flight = make_plan(policy(made), made, user(), IP, 3, T0).takes
    assert (exact.amount, exact.capacity, exact.a, exact.b) == (300, 64 * MILLI, 60_000, 1)
    assert (ring.a, ring.b) == (60_000, 1_024)
    assert (drip.capacity, drip.a, drip.b) == (3 * MILLI, 1, 6)
    assert (day.a, day.b, day.c) == (T0 // DAY_MS * DAY_MS, *(T0 // DAY_MS * DAY_MS + n * DAY_MS for n in (1, 2)))
    assert (flight.amount, flight.capacity, flight.a) == (MILLI, 5 * MILLI, LEASE_MS), (
        "in flight is one, whatever it weighs"
    )


def test_light_requests_need_a_ring() -> None:
    """64 exact times do not hold 640 requests of a tenth."""
    made = route(limit("l", rate(64), min_amount=100), weight=100)
    assert make_plan(policy(made), made, user(), IP, 1, T0).takes[0].b > 1


def test_a_tenants_exception_holds_until_it_ends() -> None:
    special = limit("l", rate(10), tenants={"acme": (rate(50), T0 + 1_000)})
    made = route(special)
    planner, ann = Planner(policy(made)), user(tenant="acme")
    first = planner.plan(made, ann, IP, T0)
    assert (first.takes[0].capacity, first.valid_until_ms) == (50 * MILLI, T0 + 1_000)
    assert planner.plan(made, ann, IP, T0 + 999) is first
    assert planner.plan(made, ann, IP, T0 + 1_000).takes[0].capacity == 10 * MILLI
    assert planner.plan(made, user(tenant="other"), IP, T0).takes[0].capacity == 10 * MILLI


def test_a_calendar_plan_ends_with_its_period() -> None:
    made = route(limit("day", rate(9, 0, period=Period.DAY), kind=MeterKind.CALENDAR))
    planner, ann = Planner(policy(made)), user()
    midnight = T0 // DAY_MS * DAY_MS + DAY_MS
    before = planner.plan(made, ann, IP, midnight - 1)
    after = planner.plan(made, ann, IP, midnight)
    assert before.takes[0].b == after.takes[0].a == midnight
    assert before.keys == after.keys


def test_a_plan_is_kept_with_its_identity_by_route_address_batch_and_version() -> None:
    one, ann = route(limit("l", rate(10))), user()
    other = dataclasses.replace(one, index=1, name="other")
    planner, newer = Planner(policy(one, other)), Planner(policy(one, other, version="v2"))
    plans = [
        planner.plan(one, ann, IP, T0),
        planner.plan(other, ann, IP, T0),
        planner.plan(one, ann, "192.0.2.2", T0),
        planner.plan(one, ann, IP, T0, 2),
        newer.plan(one, ann, IP, T0),
        planner.plan(one, user(), IP, T0),
    ]
    assert len({id(plan) for plan in plans}) == len(plans)
    assert planner.plan(one, ann, IP, T0) is plans[0]


def test_anonymous_callers_share_plans_by_address() -> None:
    """Each request may bring its own anonymous identity; those with claims or a tenant are not all the same."""
    made = route(limit("l", rate(10), scopes=(ScopeKind.CLAIM,), claim=("c",)))
    planner = Planner(policy(made))
    assert planner.plan(made, anonymous(), IP, T0) is planner.plan(made, anonymous(), IP, T0)
    assert planner.plan(made, anonymous(), IP, T0) is not planner.plan(made, anonymous(), "192.0.2.2", T0)
    claimed = Identity(IdentityKind.ANONYMOUS, "anonymous", claims={"c": "x"})
    assert planner.plan(made, claimed, IP, T0).keys != planner.plan(made, anonymous(), IP, T0).keys


def test_what_is_kept_is_bounded() -> None:
    made, ann = route(limit("l", rate(10))), user()
    planner = Planner(policy(made))
    for number in range(3 * MAX_PLANS):
        planner.plan(made, ann, f"10.0.{number // 256}.{number % 256}", T0)
    assert sum(len(kept) for kept in ann.memo.values()) <= MAX_PLANS


def test_a_route_in_shadow_has_all_its_limits_in_shadow() -> None:
    made = route(limit("l", rate(10)), mode=RouteMode.SHADOW)
    assert make_plan(policy(made), made, user(), IP, 1, T0).takes[0].shadow


@pytest.mark.parametrize(
    "drip",
    [Rate(600_000, 60_000, 3_000), Rate(7_000, 60_000, 50), Rate(1, 366 * DAY_MS, 1), Rate(10**9, DAY_MS, 10**12)],
)
def test_smooth_numbers_are_exact_or_stricter(drip: Rate) -> None:
    leak, scale = leak_and_scale(drip)
    assert leak * drip.window_ms <= drip.capacity * scale
    assert drip.burst * scale < MAX_LEVEL
    if drip.burst * drip.window_ms < MAX_LEVEL:
        assert leak * drip.window_ms == drip.capacity * scale


def test_a_huge_drip_is_kept_a_little_stricter() -> None:
    drip = Rate(999_999_999_937, 366 * DAY_MS - 1, 10**14)
    leak, scale = leak_and_scale(drip)
    assert drip.burst * scale < MAX_LEVEL
    assert 0.9 < leak / scale * drip.window_ms / drip.capacity <= 1


def test_a_capacity_beyond_what_entries_hold_is_cut() -> None:
    made = route(limit("l", Rate(2**60, 60_000)))
    assert make_plan(policy(made), made, user(), IP, 1, T0).takes[0].capacity == MAX_AMOUNT
