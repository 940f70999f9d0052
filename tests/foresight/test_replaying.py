"""A log through a policy."""

from typing import Any

import pytest

from proxy.foresight.loglines import Entry, entry_of
from proxy.foresight.replaying import Differences, Replay, is_judged
from tests.foresight.lines import entry
from tests.foresight.policies import changed, compiled


def replayed(*entries: Any, **options: Any) -> Replay:
    replay = Replay(compiled(), **options)
    for one in entries:
        replay.add(one)
    return replay


def refused(replay: Replay) -> dict[tuple[str | None, str], int]:
    return {(tenant, name): one.count for tenant, name, _, one in replay.sums.rows()}


def test_who_would_have_been_refused_by_what() -> None:
    replay = replayed(*(entry(n, id=f"r{n}") for n in range(8)), entry(70), entry(8, tenant="acme", user="bob"))
    assert refused(replay) == {("initech", "per-user"): 3}
    ((_, _, sums, one),) = replay.sums.rows()
    assert (sums.requests, sums.refused, one.first_id) == (9, 3, "r5")
    assert (replay.sums.requests, replay.sums.refused) == (10, 3)


def test_time_is_the_logs() -> None:
    assert refused(replayed(*(entry(n * 13) for n in range(50)))) == {}
    assert refused(replayed(*(entry(n * 11) for n in range(50)))) == {("initech", "per-user"): 8}


def test_requests_are_under_way_as_long_as_they_took() -> None:
    slow = {"path": "/api/upload", "method": "POST", "ms": 10_000}
    assert refused(replayed(*(entry(10 + n, **slow) for n in range(3)))) == {("initech", "in-flight"): 1}
    assert refused(replayed(*(entry(10 + n, **{**slow, "ms": 900}) for n in range(3)))) == {}


def test_calls_are_held_against_budgets_by_what_they_cost() -> None:
    calls = [entry(20 * n, path="/ai/v1/x", method="POST", cost_usd=0.4, tokens_in=1, tokens_out=1) for n in range(4)]
    replay = replayed(*calls)
    assert refused(replay) == {("initech", "user"): 2}
    assert (replay.sums.nanousd, replay.sums.refused_nanousd) == (800_000_000, 800_000_000)


def test_a_downgrade_is_told_beside_refusals() -> None:
    calls = [
        entry(20 * n, path="/ai/v1/x", user=f"u{n}", tier="enterprise", cost_usd=3, tokens_in=1, tokens_out=1)
        for n in range(2)
    ]
    replay = replayed(*calls)
    assert refused(replay) == {("initech", "cheap"): 1}
    assert replay.sums.downgraded == 1


def test_shadow_is_counted_apart() -> None:
    replay = replayed(*(entry(0.1 * n, path="/api/upload", method="POST") for n in range(5)))
    assert refused(replay) == {}
    assert replay.sums.shadow == {"paced": 2}


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"tenant": None, "user": None, "tier": "anonymous"}, "(token_missing)"),
        ({"path": "/nowhere"}, "(no_route)"),
        ({"path": "/app/x", "method": "DELETE"}, "(method_refused)"),
        ({"ip": "203.0.113.9"}, "(ip_denied)"),
        ({"key": "robot", "path": "/api/upload", "method": "POST"}, "(key_route_refused)"),
        ({"path": "/api/%zz"}, "(bad_target)"),
    ],
)
def test_what_no_limit_refuses_is_told_by_its_reason(fields: dict[str, Any], by: str) -> None:
    assert list(refused(replayed(entry(**fields)))) == [(fields.get("tenant", "initech"), by)]


@pytest.mark.parametrize(
    ("issuers", "by"),
    [("[]", "(token_invalid)"), (f'[{{issuer: test, secrets: ["{"s" * 32}"], tenants: [other]}}]', "(tenant_refused)")],
)
def test_who_has_a_token_that_no_issuer_may_give_is_refused(issuers: str, by: str) -> None:
    """Five thousand callers of a policy without issuers were all let through."""
    policy = changed((f'issuers: [{{issuer: test, secrets: ["{"s" * 32}"], tenants: any}}]', f"issuers: {issuers}"))
    lines = [entry(), entry(key="robot"), entry(path="/health"), entry(path="/app/x", tenant=None, user=None)]
    replay = Replay(policy)
    assert [replay.add(one).by for one in lines] == [(by,), (), (), ()]
    assert Replay(policy, judges_issuers=False).add(entry()).admitted


def test_a_key_that_is_not_at_hand_is_let_through_to_its_limits() -> None:
    """A keys_file is kept apart from its policy: without it every machine client was refused, and nothing said so."""
    replay = replayed(*(entry(n, key="unheard-of") for n in range(6)))
    assert refused(replay) == {("initech", "per-user"): 1}
    assert replay.notes()[0].startswith("6 requests came with keys that the policy does not have here (unheard-of): ")


def test_what_was_refused_before_its_limits_takes_nothing_and_stays_refused() -> None:
    """Expired tokens and too large bodies took from per-user, and what had been served was told as refused."""
    expired = [
        entry(n, outcome="refused", status=401, reason="token_expired", tenant=None, user=None) for n in range(20)
    ]
    large = [entry(20 + n, outcome="refused", status=413, reason="body_too_large") for n in range(10)]
    served = [entry(40 + n) for n in range(5)]
    replay = replayed(*expired, *large, *served)
    assert refused(replay) == {(None, "(token_expired)"): 20, ("initech", "(body_too_large)"): 10}
    assert (replay.sums.refused, replay.sums.kept) == (30, 30)
    assert replay.notes()[0].endswith("whatever the policy says: token_expired 20, body_too_large 10")


def test_what_failed_behind_its_limits_takes_as_others_do() -> None:
    cut = {"status": 413, "outcome": "refused", "reason": "body_too_large", "upstream": "127.0.0.1:3000"}
    away = {"status": 502, "outcome": "failed", "reason": "upstream_refused", "upstream": "127.0.0.1:3000"}
    over = {"status": 429, "outcome": "refused", "reason": "quota_exceeded"}
    for fields in (cut, away, over):
        assert refused(replayed(*(entry(n, **fields) for n in range(6)))) == {("initech", "per-user"): 1}


def test_a_format_without_reasons_tells_some_by_their_status() -> None:
    """A 401 where a credential is required, and any 413; a log-in that fails is the app's own, and counts."""

    def line(status: int, path: str) -> Entry:
        found = entry_of(f'192.0.2.1 - - [2026-11-23T12:00:00+00:00] "GET {path} HTTP/1.1" {status} 5'.encode())
        assert found is not None
        return found

    replay = replayed(line(401, "/api/x"), line(413, "/app/x"), line(401, "/app/login"))
    assert [(name, one.count) for _, name, _, one in replay.sums.rows()] == [
        ("(body_too_large)", 1),
        ("(token_missing)", 1),
    ]
    assert replay.sums.kept == 2


def test_a_line_that_names_its_route_took_it_whatever_its_fields() -> None:
    prefetch = entry(route="prefetch", tenant=None, user=None, tier="anonymous")
    replay = replayed(prefetch)
    assert refused(replay) == {}
    assert "only lines that name the route themselves took prefetch" in "".join(replay.notes())


def test_a_format_without_callers_is_not_judged_by_auth() -> None:
    lines = [entry(n, tenant=None, user=None, tier="none") for n in range(20)]
    for one in lines:
        one.knows_callers = False
    replay = replayed(*lines)
    assert refused(replay) == {(None, "per-user"): 15}
    assert "20 lines are of a format that names no callers" in replay.notes()[0]
    assert refused(replayed(*lines[:15], tier="enterprise")) == {}


def test_what_the_log_cannot_tell_is_told() -> None:
    notes = replayed(entry(tier="gold"), entry(path="/ai/v1/x", status=429)).notes()
    assert "the policy has no tier gold: taken as trial" in notes
    assert any(note.startswith("1 calls have no cost in the log") for note in notes)
    assert "the log has no durations: nothing was under way to be counted by in-flight" in notes


def test_a_hit_pays_what_the_policy_says() -> None:
    free = changed(("limits+: [per-user, per-tenant]}", "limits+: [per-user, per-tenant], cache: {hits_pay: false}}"))
    replay = Replay(free)
    for n in range(20):
        replay.add(entry(n, outcome="cached"))
    assert replay.sums.refused == 0
    assert refused(replayed(*(entry(n, outcome="cached") for n in range(20)))) == {("initech", "per-user"): 15}


def test_the_gateways_own_answers_are_not_judged() -> None:
    assert is_judged(entry())
    assert not is_judged(entry(outcome="answered", method="OPTIONS"))
    assert not is_judged(entry(path="/_gateway/usage"))


def test_two_policies_differ_request_by_request() -> None:
    old, new, differences = Replay(compiled()), Replay(changed(("default: 5/1m", "default: 8/1m"))), Differences()
    for n in range(10):
        one = entry(n)
        differences.add(one, old.add(one), new.add(one))
    assert (differences.newly_refused, differences.newly_admitted) == (0, 3)
    assert differences.by == {("initech", "api"): [0, 3]}
