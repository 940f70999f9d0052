"""What clients are told: RateLimit fields of draft 11, Retry-After, and whether to try again."""

import pytest

from proxy.metering.answers import retry_fields
from proxy.metering.decision import Decision
from proxy.metering.plan import Plan, make_plan
from proxy.metering.takes import Outcome, Verdict
from proxy.policy.model import LegacyReset, MeterKind, Period, ScopeKind
from tests.metering.samples import T0, limit, policy, rate, route, user

USER = limit("per-user", rate(600))
DAY = limit("daily", rate(1_000, 0, period=Period.DAY), kind=MeterKind.CALENDAR)
FLIGHT = limit("flight", rate(5, 0), kind=MeterKind.CONCURRENCY)
SHADOW = limit("shadow", rate(1), shadow=True)
FITS, NOT_NOW, NEVER = Verdict.FITS, Verdict.NOT_NOW, Verdict.NEVER


def a_plan(*limits, legacy: LegacyReset = LegacyReset.OFF) -> Plan:
    made = route(*limits)
    return make_plan(policy(made, legacy=legacy), made, user(), "192.0.2.1", 1, T0)


def fields(plan: Plan, outcome: Outcome, *meters: float) -> dict[bytes, bytes]:
    return dict(Decision(plan, outcome, meters).fields(T0))


def test_an_admitted_answer_tells_what_is_left() -> None:
    told = fields(
        a_plan(USER, DAY, FLIGHT), Outcome.ADMITTED, FITS, 50_900, 29_001, FITS, 7_000, 3_600_000, FITS, 4_000, 0
    )
    assert told == {
        b"RateLimit-Policy": b'"per-user";q=600;w=60, "daily";q=1000;w=86400, "flight";q=5;qu="concurrent-requests"',
        b"RateLimit": b'"per-user";r=50;t=30, "daily";r=7;t=3600, "flight";r=4',
    }


def test_a_refusal_tells_when_to_come_again() -> None:
    """Whole seconds, rounded up, the longest of those that refused; never earlier than t."""
    told = fields(a_plan(USER, DAY), Outcome.REFUSED, NOT_NOW, 0, 1_200, NOT_NOW, 900, 9_001)
    assert told[b"RateLimit"] == b'"per-user";r=0;t=2, "daily";r=0;t=10'
    assert (told[b"Retry-After"], told[b"retry-after-ms"]) == (b"10", b"9001")
    assert b"x-should-retry" not in told


def test_waiting_that_is_useless_is_told_as_such() -> None:
    """A take larger than its capacity; more than a minute to wait. Never true: that would override the client."""
    never = fields(a_plan(USER), Outcome.IMPOSSIBLE, NEVER, 600_000, 0)
    assert never[b"x-should-retry"] == b"false"
    assert b"Retry-After" not in never
    assert dict(retry_fields(60_000)) == {b"Retry-After": b"60", b"retry-after-ms": b"60000"}
    assert dict(retry_fields(60_001))[b"x-should-retry"] == b"false"
    assert dict(retry_fields(0))[b"Retry-After"] == b"1"


def test_a_limit_in_shadow_is_never_shown() -> None:
    plan = a_plan(SHADOW, USER)
    assert fields(plan, Outcome.ADMITTED, NOT_NOW, 0, 60_000, FITS, 1_000, 5) == {
        b"RateLimit-Policy": b'"per-user";q=600;w=60',
        b"RateLimit": b'"per-user";r=1;t=1',
    }
    decision = Decision(plan, Outcome.ADMITTED, (NOT_NOW, 0, 60_000, FITS, 1_000, 5))
    assert [each.name for each in decision.shadow_refused_by] == ["shadow"]
    assert decision.refused_by == []
    assert fields(a_plan(SHADOW), Outcome.ADMITTED, NOT_NOW, 0, 60_000) == {}


def test_a_remembered_refusal_shows_only_what_is_known() -> None:
    told = fields(a_plan(USER, DAY), Outcome.REFUSED, FITS, -1, 0, NOT_NOW, 0, 2_000)
    assert told[b"RateLimit"] == b'"daily";r=0;t=2'
    assert told[b"Retry-After"] == b"2"
    assert b"RateLimit" not in fields(a_plan(USER), Outcome.REFUSED, NOT_NOW, -1, 2_000)


@pytest.mark.parametrize(("form", "reset"), [(LegacyReset.DELTA, 30), (LegacyReset.EPOCH, T0 // 1_000 + 30)])
def test_the_legacy_fields_speak_of_the_tightest_limit(form: LegacyReset, reset: int) -> None:
    told = fields(a_plan(DAY, USER, legacy=form), Outcome.ADMITTED, FITS, 900_000, 5, FITS, 3_000, 29_500)
    assert told[b"X-RateLimit-Limit"] == b"600"
    assert told[b"X-RateLimit-Remaining"] == b"3"
    assert told[b"X-RateLimit-Reset"] == b"%d" % reset


def test_names_are_structured_strings() -> None:
    """RFC 8941 §3.3.3: quotes and backslashes are escaped; a percent sign is not a form of ours."""
    told = fields(a_plan(limit('a"b\\c 5%d', rate(1))), Outcome.ADMITTED, FITS, 0, 0)
    assert told[b"RateLimit"] == b'"a\\"b\\\\c 5%d";r=0;t=0'
    assert told[b"RateLimit-Policy"].startswith(b'"a\\"b\\\\c 5%d";q=1')


def test_the_problem_body_names_the_limits_that_refused() -> None:
    plan = a_plan(USER, SHADOW, limit("wide", rate(9), scopes=(ScopeKind.TENANT,)))
    decision = Decision(plan, Outcome.REFUSED, (NOT_NOW, 0, 5, NOT_NOW, 0, 9, FITS, 1_000, 5))
    assert [each.name for each in decision.refused_by] == ["per-user"]
    assert decision.retry_after_ms == 5
