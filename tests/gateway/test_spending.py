"""The way of a call to a provider, through a real gateway: what is free, refused, downgraded, held and given up."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.gateway.runtime import LimitCounters
from proxy.gateway.spending import _admit
from proxy.store.client import Store
from tests.e2e.books import rows
from tests.e2e.gateway import Answer, Client, Gateway, eventually, get, once, reached, running, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import CHAT, Provider, call, post
from tests.gateway.calls import offer_for
from tests.gateway.test_calls import Worker, store
from tests.metering.purses import counter, no_limits
from tests.metering.samples import user
from tests.metering.test_budgets import budget, route

__all__ = ["store"]

CHEAP = "gpt-4.1-nano"
ROUTES = f"""
limits:
  few: {{scope: user, rate: 3/1m}}
  tokens: {{scope: user, unit: tokens, rate: 5000/1m}}
budgets:
  all: {{scope: global, daily: "$100", reserve: {{enterprise: 40%}}}}
  small: {{scope: user, daily: "$0.001"}}
  soft: {{scope: user, daily: "$0.000001", on_exceed: warn}}
  thrifty: {{scope: user, daily: "$0.0009", on_exceed: {{downgrade: {CHEAP}}}}}
routes:
  - {{name: few, match: {{path: "/few/**"}}, rewrite: {{strip: /few}}, upstream: openai, limits: [few],
     budgets: [all, small]}}
  - {{name: soft, match: {{path: "/soft/**"}}, rewrite: {{strip: /soft}}, upstream: openai, limits: [],
     budgets: [all, soft]}}
  - {{name: thrifty, match: {{path: "/thrifty/**"}}, rewrite: {{strip: /thrifty}}, upstream: openai, limits: [],
     budgets: [all, thrifty]}}
  - {{name: tokens, match: {{path: "/tokens/**"}}, rewrite: {{strip: /tokens}}, upstream: openai, limits: [tokens]}}
  - {{name: cancel, match: {{path: "/cancel/**"}}, rewrite: {{strip: /cancel}}, upstream: openai, limits: [],
     budgets: [all], on_disconnect: cancel}}
  - {{name: narrow, match: {{path: "/narrow/**"}}, rewrite: {{strip: /narrow}}, upstream: narrow, limits: [],
     budgets: [all]}}
  - {{name: own, match: {{path: "/own/**"}}, rewrite: {{strip: /own}}, upstream: openai, limits: [], budgets: [all],
     auth: none}}
  - {{name: shared, match: {{path: "/shared/**"}}, rewrite: {{strip: /shared}}, upstream: openai, limits: [],
     stored_objects: allow}}
  - {{name: gone, match: {{path: "/gone/**"}}, rewrite: {{strip: /gone}}, upstream: gone, limits: [], budgets: [all]}}
  - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [all], max_output_tokens: 500}}
"""


class Stand:
    def __init__(self, gateway: Gateway, origin: Origin, provider: Provider) -> None:
        self.gateway, self.origin, self.provider = gateway, origin, provider
        self._users = 0

    def user(self, tier: str = "growth_team") -> str:
        """One who has spent nothing yet."""
        self._users += 1
        return token(user=f"user-{self._users}", tier=tier)

    async def post(self, path: str, body: Any, bearer: str | None = None) -> Answer:
        return await once(self.gateway, post(body, bearer or self.user(), path))

    def row(self, request_id: str | None) -> dict[str, Any]:
        """Of the ledger, once it is there."""
        found: dict[str, Any] = eventually(
            lambda: next((row for row in rows(self.gateway) if row["request_id"] == request_id), None)
        )
        return found


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with running_origin() as origin:
        provider = Provider()
        provider.attach(origin)
        upstreams = f"""
            openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}
            narrow: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai, max_connections: 1}}
            gone: {{primary: ["http://127.0.0.1:9"], dialect: openai}}
        """
        with running(policy(origin.port, ROUTES, workers=1, upstreams=upstreams)) as gateway:
            yield Stand(gateway, origin, provider)


async def settled_after(stand: Stand) -> None:
    """Until a call that comes after all others is in the ledger: whatever they had to write is there, too."""
    answer = await stand.post(CHAT, call(output=1))
    await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))


async def test_what_is_free_is_forwarded_without_a_hold(stand: Stand) -> None:
    answer = await once(
        stand.gateway, f"GET /v1/models HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {stand.user()}\r\n\r\n".encode()
    )
    assert (answer.status, answer.body) == (200, b"ok")
    await settled_after(stand)
    assert not any(row["endpoint"] == "/v1/models" for row in rows(stand.gateway))


async def test_what_the_provider_does_not_list_never_reaches_it(stand: Stand) -> None:
    before = len(stand.origin.seen)
    answer = await stand.post("/v1/assistants", {})
    assert (answer.status, answer.json()["reason"]) == (404, "call_not_listed")
    assert len(stand.origin.seen) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/batches"),
    ],
)
async def test_what_others_have_stored_is_reached_where_the_policy_says_so_alone(
    stand: Stand, method: str, path: str
) -> None:
    """The provider keeps all callers' under the gateway's one key."""

    async def ask(target: str) -> Answer:
        return await once(stand.gateway, get(target, f"Authorization: Bearer {stand.user()}", method=method))

    before = len(stand.origin.seen)
    answer = await ask(path)
    assert (answer.status, answer.json()["reason"]) == (403, "call_stored")
    assert answer.get("Content-Type") == "application/problem+json"
    assert len(stand.origin.seen) == before
    assert (await ask(f"/shared{path}")).status == 200


async def test_a_cap_is_written_where_the_call_has_none(stand: Stand) -> None:
    body = call(output=5)
    del body["max_tokens"]
    answer = await stand.post(CHAT, body)
    assert answer.status == 200
    row = await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))
    assert row["output_tokens"] == 5
    assert row["held_nanousd"] > 500 * 600


async def test_who_is_refused_by_a_limit_has_held_nothing(stand: Stand) -> None:
    who = stand.user()
    statuses = [(await stand.post("/few/v1/chat/completions", call(cap=10, output=1), who)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


async def test_a_budget_that_is_used_up_refuses_and_says_what_is_left(stand: Stand) -> None:
    answer = await stand.post("/few/v1/chat/completions", call(cap=30_000))
    problem = answer.json()
    assert (answer.status, problem["reason"], problem["budget"]) == (429, "budget_exceeded", "small")
    assert (problem["limit_usd"], problem["left_usd"]) == ("0.001", "0.001")
    assert problem["violated-policies"] == ["small"]
    assert stand.gateway.request_line(answer.get("X-Request-ID"))["held_usd"] == float(problem["needed_usd"])
    assert answer.get("x-should-retry") == "false"


async def test_a_budget_that_warns_lets_through(stand: Stand) -> None:
    assert (await stand.post("/soft/v1/chat/completions", call())).status == 200


async def test_over_budget_a_cheaper_model_answers(stand: Stand) -> None:
    """The provider is asked for it, the answer says so, and it is what is billed."""
    answer = await stand.post("/thrifty/v1/chat/completions", call(cap=1500, output=3))
    assert (answer.status, answer.get("Sluicegate-Model")) == (200, CHEAP)
    assert answer.json()["model"] == CHEAP
    row = await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))
    assert row["model"] == CHEAP
    assert row["cost_nanousd"] == stand.provider.billed[row["provider_request_id"]]
    dear = await stand.post("/thrifty/v1/chat/completions", call(cap=9000, output=3))
    assert (dear.status, dear.json()["budget"]) == (429, "thrifty")


async def test_tokens_are_held_and_what_was_not_used_comes_back(stand: Stand) -> None:
    who = stand.user()
    for _ in range(3):  # each may use 2,000 and more, and uses 30: without a settlement the third would not fit
        answer = await stand.post("/tokens/v1/chat/completions", call(cap=900, prompt=20, output=10), who)
        assert answer.status == 200
    row = await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))
    ((limit, scope, window_ms, used),) = json.loads(row["token_limits"])
    assert (limit, scope.startswith("user:test-issuer user-"), window_ms, used) == ("tokens", True, 60_000, 30)
    too_many = await stand.post("/tokens/v1/chat/completions", call(cap=9_000), who)
    problem = too_many.json()
    assert (too_many.status, problem["violated-policies"]) == (429, ["tokens"])
    assert (problem["limit"], problem["window_s"], problem["limit_tokens"]) == ("tokens", 60, 5000)
    assert problem["left_tokens"] == 5000 - 3 * 30
    assert problem["needed_tokens"] > 9_000
    assert (await stand.post("/tokens/v1/chat/completions", call(cap=2_500, output=2_500), who)).status == 200
    not_now = await stand.post("/tokens/v1/chat/completions", call(cap=2_500), who)
    assert (not_now.status, not_now.json()["left_tokens"]) == (429, 5000 - 3 * 30 - 2_520)
    resets = datetime.fromisoformat(not_now.json()["resets_at"])
    assert 0 < (resets - datetime.now(UTC)).total_seconds() < 70


async def test_a_provider_that_cannot_be_reached_costs_nothing(stand: Stand) -> None:
    answer = await stand.post("/gone/v1/chat/completions", call())
    assert answer.status == 502
    released = 'sluicegate_ai_calls_total{end="released",provider="openai",route="gone"'
    await asyncio.to_thread(eventually, lambda: stand.gateway.metric(released.replace("{", r"\{")) == 1)
    await settled_after(stand)
    assert not any(row["route"] == "gone" for row in rows(stand.gateway))


async def gone_early(stand: Stand, path: str) -> dict[str, Any]:
    """The row of a call whose client leaves while the provider thinks."""
    stand.provider.shut()
    before, calls = len(gone(stand)), stand.provider.calls
    async with await Client.connect(stand.gateway) as client:
        await client.send(post(call(gate=1, output=7), stand.user(), path))
        await asyncio.to_thread(eventually, lambda: stand.provider.calls > calls)
    await asyncio.to_thread(eventually, lambda: len(gone(stand)) > before)
    stand.provider.open()
    return await asyncio.to_thread(stand.row, gone(stand)[-1])


def gone(stand: Stand) -> list[str]:
    """Ids of the requests whose clients have left."""
    return [line["id"] for line in stand.gateway.requests if line["outcome"] == "client_gone"]


async def test_a_client_that_leaves_is_billed_what_the_provider_bills(stand: Stand) -> None:
    row = await gone_early(stand, CHAT)
    assert not row["estimated"]
    assert row["cost_nanousd"] == stand.provider.billed[row["provider_request_id"]]

    def told() -> dict[str, Any] | None:
        settled = (event for event in stand.gateway.events if event["msg"] == "call settled")
        return next((event for event in settled if event["id"] == row["request_id"]), None)

    line = await asyncio.to_thread(eventually, told)  # the request's own line was earlier, and could not know
    assert (line["route"], line["tokens_out"]) == ("ai", 7)
    assert line["cost_usd"] == row["cost_nanousd"] / 1e9
    assert not line["estimated"]


async def test_a_call_that_cannot_be_counted_leaves_no_hold_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails between a hold and its call: a hold that nobody ends would be renewed for ever."""
    worker = Worker(store, tmp_path)
    one = route(budget())
    offer = offer_for(one, 10**9)
    async with worker as calls:
        shared = SimpleNamespace(calls=calls, meters=worker.meters, metrics=worker.metrics)
        runtime = SimpleNamespace(
            shared=shared,
            planner=SimpleNamespace(plan=lambda *_: no_limits()),
            counters={one.index: LimitCounters((), shadowed=False)},
        )
        exchange = SimpleNamespace(address="192.0.2.1", fields=[], redis_s=0.0, trace=None)

        def fail(*_: object) -> None:
            raise RuntimeError("not counted")

        monkeypatch.setattr(calls, "held", fail)
        with pytest.raises(RuntimeError, match="not counted"):
            await _admit(exchange, runtime, one, user(), offer)  # type: ignore[arg-type]
        assert not calls.money.settler.live
        await reached(lambda: not calls.money.settler._queue)
        assert await counter(store, offer.plan.plan) == (0, 0)


async def test_a_call_that_is_given_up_with_its_client_is_settled_at_its_hold(stand: Stand) -> None:
    row = await gone_early(stand, "/cancel/v1/chat/completions")
    assert row["estimated"]
    assert row["cost_nanousd"] == row["held_nanousd"]


async def test_what_is_kept_for_better_tiers_others_cannot_hold(stand: Stand) -> None:
    """$60 of the $100 are for everybody."""
    dear = call(cap=110_000, model="gpt-4.1")
    big = dear | {"n": 100}
    assert (await stand.post(CHAT, big, stand.user("trial"))).json()["limit_usd"] == "60.00"
    assert (await stand.post(CHAT, big, stand.user("enterprise"))).status == 200


async def test_a_provider_never_sees_who_calls(stand: Stand) -> None:
    """Neither the caller's token, nor the app's cookies, nor the fields by which an app's own upstream is told."""
    bearer = stand.user()
    data = json.dumps(call(output=1)).encode()
    fields = (f"Authorization: Bearer {bearer}", "Cookie: session=secret", "X-Forwarded-For: 192.0.2.9")
    answer = await once(stand.gateway, get(CHAT, *fields, method="POST", body=data))
    assert answer.status == 200
    seen = stand.origin.last()
    assert bearer.encode() not in seen.head
    assert b"secret" not in seen.head
    told = {name.lower() for name, _ in seen.headers}
    assert not told & {"authorization", "cookie", "x-tenant-id", "x-user-id", "x-tier", "x-forwarded-for"}
    assert "via" in told


async def test_a_provider_is_sent_only_what_is_meant_for_it(stand: Stand) -> None:
    """Addresses, assertions of identity and the like have names without number: what is not listed stops here."""
    data = json.dumps(call(output=1)).encode()
    asserted = [
        f"{name}: 203.0.113.9"
        for name in (
            *("X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Cluster-Client-IP", "Fly-Client-IP"),
            *("X-Original-Forwarded-For", "X-Envoy-External-Address", "X-Amzn-Oidc-Data", "X-Amzn-Oidc-Identity"),
            *("X-Auth-Request-Email", "Referer", "Origin", "apikey", "x-api-key", "x-goog-api-key", "traceparent"),
            *("baggage", "X-Goog-FieldMask", "X-HTTP-Method-Override", "Proxy-Authorization", "X-New-Client-IP"),
        )
    ]
    meant = ("User-Agent: app/1", "OpenAI-Project: p", "X-Stainless-Lang: python", "Idempotency-Key: once")
    bearer = f"Authorization: Bearer {stand.user()}"
    fields = (bearer, "Content-Type: application/json", *meant, *asserted)
    answer = await once(stand.gateway, get(CHAT, *fields, method="POST", body=data))
    assert answer.status == 200
    seen = stand.origin.last()
    assert b"203.0.113.9" not in seen.head
    told = {name.lower(): value for name, value in seen.headers}
    listed = {"user-agent", "openai-project", "x-stainless-lang", "idempotency-key", "content-type"}
    assert told.keys() == listed | {"host", "via", "x-request-id", "accept-encoding", "content-length"}
    assert told["x-request-id"] == answer.get("X-Request-ID")


async def test_a_route_that_asks_for_no_credential_lets_the_providers_own_through(stand: Stand) -> None:
    """But never a gateway's, wherever it stands."""
    data = json.dumps(call(output=1)).encode()
    for value, passes in (("Bearer sk-theirs", True), ("Bearer sk-slg-" + "k" * 40, False)):
        fields = (f"Authorization: {value}", "x-api-key: theirs", "CF-Connecting-IP: 203.0.113.9")
        answer = await once(stand.gateway, get("/own/v1/chat/completions", *fields, method="POST", body=data))
        assert answer.status == 200
        told = {name.lower(): value for name, value in stand.origin.last().headers}
        assert told.get("authorization") == (value if passes else None)
        assert not told.keys() & {"x-api-key", "cf-connecting-ip"}


@pytest.mark.parametrize("query", ["key=sk-slg-" + "k" * 40, "a=1&x=%73k-slg-x"])
async def test_a_gateway_key_in_a_query_never_reaches_a_provider(stand: Stand, query: str) -> None:
    before = len(stand.origin.seen)
    answer = await once(stand.gateway, get(f"/v1/models?{query}", f"Authorization: Bearer {stand.user()}"))
    assert (answer.status, answer.json()["reason"]) == (400, "call_unreadable")
    assert "sk-slg" not in answer.body.decode()
    assert len(stand.origin.seen) == before


async def test_a_field_that_stands_twice_is_read_as_the_provider_reads_it(stand: Stand) -> None:
    """As one list: a coding that hides behind another field of its name is seen."""
    data = json.dumps(call(output=1)).encode()
    fields = (f"Authorization: Bearer {stand.user()}", "Content-Encoding: gzip", "Content-Encoding: identity")
    answer = await once(stand.gateway, get(CHAT, *fields, method="POST", body=data))
    assert (answer.status, answer.json()["reason"]) == (400, "call_unreadable")


ERROR = b'{"error":{"message":"no"}}'


@pytest.mark.parametrize(
    ("status", "content_type", "body", "estimated"),
    [
        ("504 Gateway Timeout", "text/html", b"<html>", True),
        ("504 Gateway Timeout", "application/json", ERROR, True),
        ("503 Service Unavailable", "text/html", ERROR, True),
        ("500 Internal Server Error", "application/json", ERROR, False),
        ("429 Too Many Requests", "application/json", ERROR, False),
        ("429 Too Many Requests", "text/plain", b"slow down", True),
        ("403 Forbidden", "application/json", b'{"blocked":"by the firewall"}', True),
        ("408 Request Timeout", "application/json", ERROR, True),
        ("499 Gone", "application/json", ERROR, True),
    ],
)
async def test_only_a_refusal_of_the_providers_own_costs_nothing(
    stand: Stand, status: str, content_type: str, body: bytes, estimated: bool
) -> None:
    """A page from somebody before it says nothing of what became of the call."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    stand.origin.answers[CHAT] = head.encode() + body
    try:
        answer = await stand.post(CHAT, call())
    finally:
        stand.provider.attach(stand.origin)
    row = await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))
    assert bool(row["estimated"]) is estimated
    assert row["cost_nanousd"] == (row["held_nanousd"] if estimated else 0)


async def test_what_nobody_could_read_ends_all_the_same(stand: Stand) -> None:
    """A usage beyond counting is none: the call is settled at its hold, and nothing of it stays."""
    answer_body = json.dumps({"choices": [], "usage": {"prompt_tokens": 2**60, "completion_tokens": 1}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer_body)}\r\n\r\n"
    stand.origin.answers[CHAT] = head.encode() + answer_body
    try:
        answer = await stand.post("/tokens/v1/chat/completions", call(cap=10))
    finally:
        stand.provider.attach(stand.origin)
    row = await asyncio.to_thread(stand.row, answer.get("X-Request-ID"))
    assert row["state"] == "settled"
    await asyncio.to_thread(eventually, lambda: stand.gateway.metric("sluicegate_ai_calls_in_flight") == 0)


async def test_who_leaves_while_in_line_is_not_called_for(stand: Stand) -> None:
    """Nothing has been sent, so nothing is billed."""
    stand.provider.shut()
    calls, path = stand.provider.calls, "/narrow/v1/chat/completions"
    first = asyncio.create_task(stand.post(path, call(gate=1, output=1)))
    await asyncio.to_thread(eventually, lambda: stand.provider.calls == calls + 1)
    in_flight = "sluicegate_ai_calls_in_flight"
    async with await Client.connect(stand.gateway) as client:
        await client.send(post(call(output=2), stand.user(), path))
        await asyncio.to_thread(eventually, lambda: stand.gateway.metric(in_flight) == 2)
    await asyncio.to_thread(eventually, lambda: stand.gateway.metric(in_flight) == 1)
    stand.provider.open()
    assert (await first).status == 200
    await settled_after(stand)
    assert stand.provider.calls == calls + 2
