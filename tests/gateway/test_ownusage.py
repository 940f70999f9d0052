"""Of which budgets a caller is told. What it reads of them is proven in tests/e2e/test_reports.py."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.clock import SystemClock
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.accept import accept
from proxy.gateway.control import Start
from proxy.gateway.ownusage import budgets, own_answer
from proxy.gateway.runtime import Runtime, Shared
from proxy.metering.budgets import Granted
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.e2e.policies import policy
from tests.gateway.conftest import exchange_of

NOW_MS = 1_795_000_000_000
ADDRESS = "203.0.113.9"
KEY = hashlib.sha256(b"sg_a-key").hexdigest()
RULES = """
budgets:
  all: {scope: global, daily: $100, monthly: $1_000, reserve: {enterprise: 30%}}
  user: {scope: user, daily: $1}
  pair: {scope: [user, model], daily: $50}
  route: {scope: route, daily: $3}
  open: {scope: ip, daily: $5}
routes:
  - {name: open, match: {path: "/open/**"}, upstream: openai, auth: none, limits: [], budgets: [open]}
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [], budgets: [all, user, pair, route]}
  - {name: ai-2, match: {path: "/v2/**"}, upstream: openai, limits: [], budgets: [all, route]}
  - {name: app, match: {path: "/**"}, upstream: app, limits: []}
"""


@pytest.fixture
def spending(tmp_path: Path) -> Policy:
    upstream = 'openai: {primary: ["http://127.0.0.1:9"], dialect: openai}'
    keys = f"keys: {{robot: {{sha256: {KEY}, tenant: acme, tier: trial, routes: [ai-2]}}}}"
    return compile_text(policy(9, RULES, upstreams=upstream, identity=keys), "p.yaml", {}, base=tmp_path).policy


@pytest.fixture
async def runtime(spending: Policy) -> AsyncIterator[Runtime]:
    start = Start(index=0, workers=1, redis_url="unix:///nowhere", pseudonym="sg", policy=spending)
    shared = Shared(start, Metrics(Sheet(SheetFiles.make())), SystemClock())
    yield Runtime(spending, shared)
    shared.upstreams.close()
    await shared.keysets.close()


def a_user(tier: str = "trial") -> Identity:
    return Identity(IdentityKind.USER, tier, "acme", "test-issuer", "u1")


async def test_each_budget_of_the_callers_routes_is_told_once(runtime: Runtime) -> None:
    """One that two routes share is one, but where the route is its scope; by model there may be any number."""
    found = budgets(runtime, a_user(), ADDRESS, NOW_MS)
    assert [(one.budget.name, one.budget.period.value, one.scope) for one in found] == [
        ("all", "day", "global"),
        ("all", "month", "global"),
        ("user", "day", "user:test-issuer u1"),
        ("route", "day", "route:ai"),
        ("route", "day", "route:ai-2"),
    ]


async def test_what_is_kept_for_better_tiers_is_not_the_callers(runtime: Runtime) -> None:
    def of(tier: str) -> int:
        return budgets(runtime, a_user(tier), ADDRESS, NOW_MS)[0].meter.capacity

    assert (of("enterprise"), of("trial")) == (100 * 10**9, 70 * 10**9)


async def test_grants_are_in_it(runtime: Runtime) -> None:
    runtime.call_planner.grant({("user", "user:test-issuer u1"): (Granted(2 * 10**9, NOW_MS + 1),)})
    assert budgets(runtime, a_user(), ADDRESS, NOW_MS)[2].meter.capacity == 3 * 10**9
    assert budgets(runtime, a_user(), ADDRESS, NOW_MS + 1)[2].meter.capacity == 10**9


async def test_a_key_is_told_of_the_routes_that_it_is_for(runtime: Runtime) -> None:
    robot = Identity(IdentityKind.MACHINE, "trial", "acme", credential="robot")
    assert [one.scope for one in budgets(runtime, robot, ADDRESS, NOW_MS)] == ["global", "global", "route:ai-2"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"GET /_gateway/usage", Reason.TOKEN_MISSING),
        (b"GET /_gateway/usage/", Reason.NO_ROUTE),
        (b"GET /_gateway/", Reason.NO_ROUTE),
        (b"DELETE /_gateway/usage", Reason.METHOD_REFUSED),
        (b"OPTIONS /_gateway/usage", Reason.METHOD_REFUSED),
    ],
)
async def test_what_is_no_question_of_a_known_caller_is_refused(runtime: Runtime, line: bytes, reason: Reason) -> None:
    exchange = exchange_of(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    accept(exchange)
    with pytest.raises(GatewayError) as refused:
        await own_answer(exchange, runtime)
    assert refused.value.reason is reason


async def test_a_store_that_is_away_is_503(runtime: Runtime) -> None:
    exchange = exchange_of(b"GET /_gateway/usage HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sg_a-key\r\n\r\n")
    accept(exchange)
    with pytest.raises(GatewayError) as refused:
        await own_answer(exchange, runtime)
    assert refused.value.reason is Reason.STORE_AWAY
    assert refused.value.retry_after_ms is not None
