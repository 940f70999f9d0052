"""What a policy says to one request after others."""

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.foresight.callers import claimed
from proxy.foresight.judge import PRUNE_EVERY, Call, Judge
from proxy.metering.takes import Outcome
from tests.foresight.policies import changed, compiled

NOW_MS = 1_790_000_000_000
HERE = "192.0.2.1"
ADA = {"sub": "ada", "tenant": "initech", "tier": "trial"}


def judge() -> Judge:
    return Judge(compiled())


def test_the_gateways_own_rules_find_the_route() -> None:
    one = judge()
    assert one.route("GET", "h", "/api/x", "", {}).name == "api"
    assert one.route("GET", "h", "/api/x", "", {"next-router-prefetch": "1"}).name == "prefetch"
    with pytest.raises(GatewayError) as refused:
        one.route("PUT", "h", "/app/x", "", {})
    assert refused.value.reason is Reason.METHOD_REFUSED
    with pytest.raises(GatewayError) as refused:
        one.route("GET", "h", "/nothing", "", {})
    assert refused.value.reason is Reason.NO_ROUTE


def test_addresses_and_maintenance() -> None:
    one = judge()
    one.check_address(HERE)
    one.check_maintenance(HERE)
    with pytest.raises(GatewayError, match="ip_denied"):
        one.check_address("203.0.113.9")
    down = Judge(changed(("\nip: {", "\nmaintenance: {retry_after: 10m}\nip: {")))
    with pytest.raises(GatewayError, match="maintenance"):
        down.check_maintenance(HERE)


def test_a_limit_refuses_once_it_is_full() -> None:
    one = judge()
    route, ada = one.route("GET", "h", "/api/x", "", {}), claimed(one.policy, None, ADA)
    rulings = [one.rule(route, ada, HERE, NOW_MS + n) for n in range(6)]
    assert [ruling.admitted for ruling in rulings] == [True] * 5 + [False]
    assert rulings[-1].refused_by == ("per-user",)
    assert rulings[-1].reason is Reason.QUOTA_EXCEEDED
    assert rulings[-1].decision().retry_after_ms == 59_995
    assert rulings[0].reason is None


def test_what_is_under_way_counts_until_it_has_been_answered() -> None:
    one = judge()
    route, ada = one.route("POST", "h", "/api/upload", "", {}), claimed(one.policy, None, ADA)
    for n in range(2):
        assert one.rule(route, ada, HERE, NOW_MS + n, ends_ms=NOW_MS + 1000 + n).admitted
    third = one.rule(route, ada, HERE, NOW_MS + 10)
    assert (third.refused_by, third.reason) == (("in-flight",), Reason.CONCURRENCY_EXCEEDED)
    assert one.rule(route, ada, HERE, NOW_MS + 1000).admitted


def test_a_limit_in_shadow_refuses_nothing_and_is_told() -> None:
    one = judge()
    route, ada = one.route("POST", "h", "/api/upload", "", {}), claimed(one.policy, None, ADA)
    rulings = [one.rule(route, ada, HERE, NOW_MS, ends_ms=NOW_MS) for _ in range(4)]
    assert all(ruling.admitted for ruling in rulings)
    assert [ruling.shadow_refused_by for ruling in rulings] == [(), (), (), ("paced",)]


def test_a_call_holds_from_budgets_and_limits_of_tokens() -> None:
    one = judge()
    route, ada = one.route("POST", "h", "/ai/v1/x", "", {}), claimed(one.policy, None, ADA)
    assert one.rule(route, ada, HERE, NOW_MS, call=Call(600_000_000, 10)).admitted
    over = one.rule(route, ada, HERE, NOW_MS, call=Call(600_000_000, 10))
    assert (over.refused_by, over.reason, over.downgrade_to) == (("user",), Reason.BUDGET_EXCEEDED, None)
    wordy = one.rule(route, ada, HERE, NOW_MS, call=Call(0, 2000))
    assert (wordy.answer.outcome, wordy.refused_by) == (Outcome.IMPOSSIBLE, ("ai-tokens",))
    assert wordy.reason is Reason.QUOTA_EXCEEDED


def test_budgets_may_ask_for_a_cheaper_model() -> None:
    one = judge()
    route = one.route("POST", "h", "/ai/v1/x", "", {})
    rich = claimed(one.policy, None, {**ADA, "tier": "enterprise"})
    assert one.use_up(route, rich, HERE, Call(0, 0), "cheap", 5_000_000_000, NOW_MS)
    assert not one.use_up(route, rich, HERE, Call(0, 0), "unheard-of", 1, NOW_MS)
    over = one.rule(route, rich, HERE, NOW_MS, call=Call(1, 1))
    assert over.refused_by == ("cheap",)
    assert over.downgrade_to == "gpt-4o-mini"


def test_meters_of_callers_who_have_left_are_forgotten() -> None:
    one = judge()
    route = one.route("GET", "h", "/app/x", "", {})
    nobody = claimed(one.policy, None, {"sub": "x"})
    for n in range(PRUNE_EVERY):
        one.rule(route, nobody, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", NOW_MS + 10 * n)
    assert len(one.tally.meters) < 7000
