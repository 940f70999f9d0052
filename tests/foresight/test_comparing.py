"""What is different between two policies, in words."""

import pytest

from proxy.foresight.comparing import changes
from proxy.policy.model import Policy
from tests.foresight.policies import TEXT, changed, compiled

CHANGED = {
    "a tier's rate": (
        ("default: 5/1m", "default: 8/1m"),
        "limit per-user on trpc, api, ai: rate (trial, anonymous): 5/1m → 8/1m",
    ),
    "everybody's rate": (("rate: 100/1m", "rate: 90/1m"), ": rate (all tiers): 100/1m → 90/1m"),
    "an exception": (
        ("per-user: 50/1m", "per-user: 60/1m"),
        "exception (tenant acme): 50/1m until 2026-07-01 00:00:00 → 60/1m until 2026-07-01 00:00:00",
    ),
    "an exception that ends": (("tenants:\n  acme", "x-tenants:\n  acme"), "00:00:00 is gone"),
    "a limit's scope": (("{scope: ip,", "{scope: global,"), "counted by: ip → global"),
    "a limit's kind": (("kind: calendar, rate: 1000/day", "rate: 1000/1d"), "kind: calendar → window"),
    "what comes into force": (("burst: 3, shadow: true", "burst: 3"), "in force: in shadow → enforced"),
    "a limit that is gone": (("  in-flight: {scope: user, concurrent: 2}\n", ""), "limit: 2 by user is gone"),
    "a new tier": (("tiers: [enterprise,", "tiers: [platinum, enterprise,"), "tiers: tier: platinum is new"),
    "tiers in another order": (
        ("[enterprise, trial,", "[trial, enterprise,"),
        "order: enterprise, trial, anonymous → trial, enterprise, anonymous",
    ),
    "a budget": (("enterprise: $10,", "enterprise: $20,"), "budget user a day on ai: amount (enterprise): $10 → $20"),
    "a budget's end": (
        ("on_exceed: {downgrade: gpt-4o-mini}", "on_exceed: block"),
        "once it is used up: downgrade to gpt-4o-mini → block",
    ),
    "a share that is kept": (
        ("daily: {enterprise: $10, default: $1}", "daily: {enterprise: $10, default: $1}, reserve: {enterprise: 40%}"),
        "amount (trial, anonymous): $1 → $1 of which $0.60 may be used",
    ),
    "a budget that is gone": ((", monthly: $100", ""), "budget user a month on ai: budget: $100 by user is gone"),
    "who may come": (
        ('upstream: app, auth: none, limits: []', "upstream: app, limits: []"),
        "route health: auth (callers without a credential get 401): none → required",
    ),
    "what counts": (("limits+: [in-flight, paced]", "limits+: [paced]"), "route upload: counted by: in-flight is gone"),
    "what a request counts as": (("path: /health}", "path: /health}, weight: 0.5"), "route health: counts as: 1 → 0.5"),
    "what a route takes": (("methods: [GET]", "methods: [GET, POST]"), "takes: GET /app/** → GET,POST /app/**"),
    "where it goes": (("http://127.0.0.1:3000", "http://other"), "primary: http://127.0.0.1:3000 → http://other"),
    "how long it waits": (
        ("path: /health}", "path: /health}, timeouts: {idle: 2m}"),
        "route health: timeouts: the upstream's → connect 2s, first_byte 30s, idle 2m",
    ),
    "what is kept": (
        ("path: /health}", "path: /health}, cache: {scope: public, ttl: 5m}"),
        "caching: scope public, ttl 5m is new",
    ),
    "the caps of calls": (("max_output_tokens: 100", "max_output_tokens: 50"), "calls.max_output_tokens: 100 → 50"),
    "addresses": (("203.0.113.0/24", "198.51.100.0/24"), "deny: 203.0.113.0/24 → 198.51.100.0/24"),
    "whom an issuer may name": (("tenants: any}", "tenants: [other]}"), "issuers[0].tenants: any → other"),
    "what a key may use": ((", routes: [api, ai]}", "}"), "keys.robot.routes: api, ai → all"),
    "for whom a key may act": (("may_act_for: any, ", ""), "keys.robot.may_act_for: * → its own tenant"),
    "who is let in": (("ip: {deny", "ip: {allow: [192.0.2.0/24], deny"), "allow: all → 192.0.2.0/24"),
    "unknown tiers": (("unknown_tier: trial", "unknown_tier: enterprise"), "unknown_tier: trial → enterprise"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "told"), CHANGED.values(), ids=CHANGED)
def test_each_change_is_told_in_words(change: tuple[str, str], told: str) -> None:
    old, new = compiled(), changed(change) if "in-flight: {" not in change[0] else _without_in_flight()
    lines = [f"{one.subject}{_on(one.routes, one.subject)}: {one}" for one in changes(old, new)]
    assert any(told in line for line in lines), lines


def _without_in_flight() -> Policy:
    return changed(("  in-flight: {scope: user, concurrent: 2}\n", ""), ("[in-flight, paced]", "[paced]"))


def _on(routes: tuple[str, ...], subject: str) -> str:
    return f" on {', '.join(routes)}" if routes and not subject.startswith("route ") else ""


def test_what_is_only_written_in_another_way_is_no_difference() -> None:
    rewritten = TEXT.replace("rate: 100/1m", "rate: {enterprise: 100/60s, default: 100/1m}").replace("# ", "#  ")
    assert changes(compiled(), compiled(rewritten)) == []


def test_routes_come_and_go_and_change_places() -> None:
    lines = TEXT.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if "name: health" in line)
    app = next(n for n, line in enumerate(lines) if "name: app," in line)
    moved = [*lines[:first], lines[app], *lines[first:app], *lines[app + 1 :]]
    (one,) = changes(compiled(), compiled("".join(moved)))
    assert one.what == "order in which they are tried"
    gone = compiled("".join(lines[:app] + lines[app + 1 :]))
    assert [str(one) for one in changes(compiled(), gone)] == ["route: GET /app/** to app is gone"]
    assert [str(one) for one in changes(gone, compiled())] == ["route: GET /app/** to app is new"]


def test_a_route_that_takes_all_of_others_is_told_with_them() -> None:
    """An open one above them lets in whom they would have asked; each of them is named, as check does."""
    widened = changed(("match: {path: /health}", 'match: {path: "/**"}'))
    told = {(one.subject, one.was, one.now) for one in changes(compiled(), widened) if one.what == "is reached"}
    hidden = "no: health above takes all that it would take"
    names = ("prefetch", "upload", "trpc", "api", "ai", "app")
    assert told == {(f"route {name}", "yes", hidden) for name in names}
    back = {(one.subject, one.was, one.now) for one in changes(widened, compiled()) if one.what == "is reached"}
    assert back == {(subject, now, was) for subject, was, now in told}


def test_no_secret_is_shown() -> None:
    told = changes(compiled(), changed(("s" * 32, "t" * 32)))
    assert told
    assert not any("sss" in str(one) or "ttt" in str(one) for one in told)
