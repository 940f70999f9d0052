"""One policy test: what is given, and what is said of what is not as expected."""

import textwrap

import pytest

from proxy.foresight.testfile import read
from proxy.foresight.trial import run
from tests.foresight.policies import compiled

POLICY = compiled()
NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC
ADA = "claims: {sub: ada, tenant: initech, tier: trial}"


def mismatches(test: str) -> dict[str, str]:
    text = "tests:\n- name: it\n" + textwrap.indent(textwrap.dedent(test).strip(), "  ")
    found = run(POLICY, read(text, "t.yaml").file.tests[0], NOON_MS)
    return {".".join(map(str, one.path)): one.message for one in found}


RIGHT = {
    "a limit that is full refuses, and says for how long": f"""
        {ADA}
        path: /api/x
        before: {{requests: 5, within: 20s}}
        expect:
          route: api
          upstream: app
          tenant: initech
          user: ada
          tier: trial
          decision: refused
          by: per-user
          status: 429
          reason: quota_exceeded
          retry_after: 40s
          limits:
            per-ip: {{left: 95}}
            per-user: {{rate: 5/1m, scope: "user:test ada", left: 0}}
            per-tenant: {{rate: 1000/day}}
          headers:
            Retry-After: "40"
            RateLimit-Policy: '"per-ip";q=100;w=60, "per-user";q=5;w=60, "per-tenant";q=1000;w=86400'
        """,
    "traffic that is over is forgotten": f"""
        {ADA}
        path: /api/x
        before: {{requests: 5, within: 20s, ago: 1m}}
        expect: {{decision: admitted, limits: {{per-ip: {{}}, per-user: {{left: 4}}, per-tenant: {{}}}}}}
        """,
    "others count for what is shared alone": f"""
        {ADA}
        path: /api/x
        before:
          - {{requests: 4, claims: {{sub: bob, tenant: initech, tier: trial}}, address: 192.0.2.9}}
          - {{requests: 3, path: /health, nobody: true}}
        expect:
          decision: admitted
          limits: {{per-ip: {{left: 99}}, per-user: {{left: 4}}, per-tenant: {{left: 995}}}}
        """,
    "nobody is asked for a credential": """
        path: /api/x
        expect: {decision: refused, status: 401, reason: token_missing, route: api}
        """,
    "a batch counts for each of its calls": f"""
        {ADA}
        path: /api/trpc/a,b,c
        expect: {{limits: {{per-user: {{left: 2}}}}}}
        """,
    "a field chooses the route": """
        path: /api/x
        headers: {Next-Router-Prefetch: "1"}
        expect: {route: prefetch, decision: admitted, tier: anonymous}
        """,
    "what is under way": f"""
        {ADA}
        path: /api/upload
        method: post
        before: {{requests: 2, within: 1s, lasting: 10s}}
        expect: {{by: [in-flight], reason: concurrency_exceeded, shadow_by: []}}
        """,
    "what shadow would have refused": f"""
        {ADA}
        path: /api/upload
        method: POST
        before: {{requests: 3, ago: 0s}}
        expect: {{shadow_by: paced, limits: {{per-ip: {{}}, in-flight: {{}}, paced: {{shadow: true}}}}}}
        """,
    "a key by its name": """
        key: robot
        path: /api/x
        headers: {Sluicegate-Tenant: acme}
        expect: {tenant: acme, tier: enterprise, decision: admitted}
        """,
    "a key that is not for the route": """
        key: robot
        path: /api/upload
        method: POST
        expect: {reason: key_route_refused, status: 403}
        """,
    "what the gateway answers itself is admitted, and more": f"""
        {ADA}
        path: /_gateway/usage
        expect: {{decision: answered, status: 200, tenant: initech, headers: {{Cache-Control: no-store}}}}
        """,
    "and is not refused": f"""
        {ADA}
        path: /_gateway/usage
        expect: {{decision: admitted}}
        """,
    "who is missing is asked for": """
        path: /api/x
        expect: {headers: {WWW-Authenticate: 'Bearer realm="sluicegate"', Content-Type: application/problem+json}}
        """,
    "what may be asked": """
        path: /app/x
        method: DELETE
        expect: {status: 405, headers: {Allow: "GET, HEAD"}}
        """,
    "an address that is denied": """
        address: 203.0.113.5
        path: /health
        expect: {reason: ip_denied}
        """,
    "what is left for calls": f"""
        {ADA}
        path: /ai/v1/chat/completions
        method: POST
        call: {{cost: $0.10, tokens: 300}}
        spent: {{user day: $0.50}}
        before: {{requests: 2, within: 10s}}
        expect:
          decision: admitted
          budget_left: {{user: $0.20, user month: $99.70, cheap: $4.70}}
          limits: {{per-user: {{left: 2}}, ai-tokens: {{left: 100, rate: 1000/1m, scope: "tenant:initech"}}}}
        """,
    "a call that a budget refuses": f"""
        {ADA}
        path: /ai/v1/chat/completions
        method: POST
        call: {{cost: $0.10}}
        spent: {{user: $0.95}}
        expect: {{by: user, reason: budget_exceeded, retry_after: 12h}}
        """,
}


@pytest.mark.parametrize("test", RIGHT.values(), ids=RIGHT)
def test_what_is_so_passes(test: str) -> None:
    assert mismatches(test) == {}


def test_each_thing_that_is_not_so_is_told_with_what_is() -> None:
    found = mismatches(
        f"""
        {ADA}
        path: /api/x
        before: {{requests: 5}}
        expect:
          route: apii
          tier: enterprise
          decision: admitted
          by: per-usr
          status: 503
          reason: maintenance
          retry_after: 5s
          limits: {{per-user: {{rate: 6/1m, scope: tenant, left: 1, shadow: true}}, in-flight: {{}}}}
          headers: {{Retry-After: "5", X-None: "1"}}
          budget_left: {{user: $1, nothing: $1}}
        """
    )
    assert found["expect.route"] == "expected apii, got api; the policy has no route 'apii'; did you mean 'api'?"
    assert found["expect.tier"] == "expected enterprise, got trial"
    assert found["expect.decision"] == "expected admitted, got refused by per-user, retry after 1m"
    assert found["expect.by"] == (
        "expected per-usr, got per-user; the policy has no limit 'per-usr'; did you mean 'per-user'?"
    )
    assert found["expect.status"] == "expected 503, got 429"
    assert found["expect.reason"] == "expected maintenance, got quota_exceeded"
    assert found["expect.retry_after"] == "expected 5s, got 1m"
    assert found["expect.limits"].startswith("per-")
    assert found["expect.limits.per-user.rate"] == "expected 6/1m, got 5/1m"
    assert found["expect.limits.per-user.scope"] == "expected tenant, got user, here user:test ada"
    assert found["expect.limits.per-user.left"] == "expected 1, got 0"
    assert found["expect.limits.per-user.shadow"] == "expected true, got false"
    assert found["expect.limits.in-flight"].startswith("does not count this request; what does: per-ip, per-user")
    assert found["expect.headers.Retry-After"] == "expected 5, got 60"
    assert "no such field" in found["expect.headers.X-None"]
    assert found["expect.budget_left.user"] == "no budget of this call"
    assert found["expect.budget_left.nothing"] == "unknown budget 'nothing'; one of cheap, user"


def test_what_goes_on_to_its_upstream_is_not_answered_by_the_gateway() -> None:
    found = mismatches("path: /health\nbatch: 2\nexpect: {decision: answered, status: 204}")
    assert found == {
        "batch": "the route health does not weigh GraphQL batches",
        "expect.decision": "expected answered, got admitted",
        "expect.status": "expected 204, got admitted",
    }
    found = mismatches(f"{ADA}\npath: /_gateway/usage\nexpect: {{decision: refused, limits: [per-ip]}}")
    assert found["expect.decision"] == "expected refused, got answered by the gateway itself: 200"


def test_a_refusal_before_the_limits_is_told_where_they_were_expected() -> None:
    found = mismatches("path: /api/x\nexpect: {decision: admitted, limits: [per-ip], user: ada}")
    assert found["expect.decision"] == "expected admitted, got refused: 401 token_missing"
    assert "token_missing" in found["expect.limits"]
    assert "token_missing" in found["expect.user"]


def test_names_that_the_policy_lacks_are_told() -> None:
    assert mismatches("key: robott\npath: /api/x\nexpect: {status: 404}") == {
        "key": "unknown key 'robott'; did you mean 'robot'?"
    }
    assert mismatches("path: /health\nbefore: {key: x}\nexpect: {route: health}") == {
        "before.0.key": "unknown key 'x'; one of robot"
    }
    found = mismatches(f"{ADA}\npath: /ai/x\ncall: {{cost: $1}}\nspent: {{usr: $1}}\nexpect: {{route: ai}}")
    assert found == {"spent.usr": "unknown budget 'usr'; did you mean 'user'?"}
