"""Calls that were made before cost nothing, and nobody gets what was not meant for them."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.ai.dialects.call import Kind
from proxy.gateway.answers import _unfit
from tests.e2e.crowds import in_flight
from tests.e2e.gateway import Answer, Client, get, once, reached, token
from tests.e2e.origin import Exchange, read_body
from tests.e2e.provider import CHAT, Stand, call, post, price, standing

ROUTES = """
limits: {three: {scope: user, rate: 3/1h}}
budgets: {one-call: {scope: user, daily: "$0.001"}}
routes:
  - {name: free, match: {path: "/free/**"}, rewrite: {strip: /free}, upstream: openai, limits: [three],
     budgets: [one-call], cache: {ttl: 1h, hits_pay: false}}
  - {name: pays, match: {path: "/pays/**"}, rewrite: {strip: /pays}, upstream: openai, limits: [three],
     cache: {ttl: 1h}}
  - {name: mine, match: {path: "/mine/**"}, rewrite: {strip: /mine}, upstream: openai, limits: [],
     cache: {scope: user, ttl: 1h, max_body: 4KiB}}
  - {name: hasty, match: {path: "/hasty/**"}, rewrite: {strip: /hasty}, upstream: openai, limits: [],
     cache: {scope: user, ttl: 1h, wait: 100ms}}
  - {name: never, match: {path: "/never/**"}, rewrite: {strip: /never}, upstream: openai, limits: []}
"""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(ROUTES, workers=1) as stand:
        yield stand


async def ask(stand: Stand, route: str, body: dict[str, Any] | bytes, **who: str) -> Answer:
    return await once(stand.gateway, post(body, token(**who), f"/{route}{CHAT}"))


async def made(stand: Stand, route: str, body: dict[str, Any] | bytes, **who: str) -> tuple[Answer, bool]:
    """The answer, and whether the provider was called."""
    before = stand.provider.calls
    answer = await ask(stand, route, body, **who)
    return answer, stand.provider.calls > before


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_call_costs_nothing_and_says_so(stand: Stand, stream: bool) -> None:
    """Plain and streamed: its bytes are those that the first one got."""
    body = call(stream=stream, prompt=30, output=12)
    first, called = await made(stand, "mine", body, user=f"same-{stream}")
    assert called
    assert first.get("Sluicegate-Cost-USD") is None
    again, called = await made(stand, "mine", body, user=f"same-{stream}")
    assert not called
    assert (again.status, again.body, again.get("Content-Type")) == (200, first.body, first.get("Content-Type"))
    assert again.get("Sluicegate-Cost-USD") == "0"
    assert again.get("Sluicegate-Saved-USD") == f"{price(30, 12) / 1e9:.9f}"
    assert (again.get("Cache-Status") or "").startswith("sluicegate; hit; ttl=")
    line_id = again.get("X-Request-ID")
    await reached(lambda: any(line["id"] == line_id for line in stand.gateway.requests))
    line = next(line for line in stand.gateway.requests if line["id"] == line_id)
    assert (line["cache"], line["cost_usd"], line["saved_usd"]) == ("hit", 0, round(price(30, 12) / 1e9, 9))


async def test_order_and_white_space_are_no_other_call(stand: Stand) -> None:
    body = call(prompt=31)
    await ask(stand, "mine", body, user="spelling")
    turned = json.dumps(dict(reversed(body.items())), indent=3).encode()
    _, called = await made(stand, "mine", turned, user="spelling")
    assert not called


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"max_tokens": 999},
        lambda body: body | {"temperature": 0},
        lambda body: body | {"stream": True},
        lambda body: body | {"model": "gpt-4o"},
        lambda body: body | {"messages": [{"role": "user", "content": '{"prompt": 32, "x": 1}'}]},
    ],
)
async def test_another_word_is_another_call(stand: Stand, change: Any) -> None:
    body = call(prompt=32)
    await ask(stand, "mine", body, user="words")
    _, called = await made(stand, "mine", change(body), user="words")
    assert called


async def test_a_tenant_shares_and_nobody_else(stand: Stand) -> None:
    """Route by route, too; and where the policy says so, each user has answers of its own."""
    body = call(prompt=33)
    assert (await made(stand, "pays", body, user="a", tenant="one"))[1]
    assert not (await made(stand, "pays", body, user="b", tenant="one"))[1]
    assert (await made(stand, "pays", body, user="a", tenant="two"))[1]
    assert (await made(stand, "mine", body, user="a", tenant="one"))[1]
    assert (await made(stand, "mine", body, user="b", tenant="one"))[1]
    assert not (await made(stand, "mine", body, user="b", tenant="one"))[1]


async def test_hits_pay_what_the_route_says(stand: Stand) -> None:
    """Three in an hour; where hits pay nothing, as many as one likes, though the budget is gone."""
    body = call(prompt=34, output=900)
    out = [(await ask(stand, "pays", body, user="payer", tenant="payers")).status for _ in range(5)]
    assert out == [200, 200, 200, 429, 429]
    first = await ask(stand, "free", body, user="spender", tenant="spenders")
    assert first.status == 200
    other = await ask(stand, "free", call(prompt=35, output=900), user="spender", tenant="spenders")
    assert other.status == 429
    assert other.json()["reason"] == "budget_exceeded"
    for _ in range(5):
        answer, called = await made(stand, "free", body, user="spender", tenant="spenders")
        assert (answer.status, called) == (200, False)


@pytest.mark.parametrize("fail", ["status", "cut", "reset"])
async def test_what_failed_is_not_kept(stand: Stand, fail: str) -> None:
    body = call(stream=fail == "cut", fail=fail, prompt=36)
    await ask(stand, "mine", body, user="failing")
    _, called = await made(stand, "mine", body, user="failing")
    assert called


async def test_what_is_too_large_passes_and_is_not_kept(stand: Stand) -> None:
    body = call(cap=8000, prompt=37, output=8000)
    first, _ = await made(stand, "mine", body, user="large")
    assert len(first.json()["choices"][0]["message"]["content"]) == 8000
    _, called = await made(stand, "mine", body, user="large")
    assert called


async def test_a_route_that_does_not_ask_for_it_keeps_nothing(stand: Stand) -> None:
    body = call(prompt=38)
    assert (await made(stand, "never", body))[1]
    answer, called = await made(stand, "never", body)
    assert called
    assert answer.get("Cache-Status") is None


async def test_fields_that_reach_the_provider_count_and_others_do_not(stand: Stand) -> None:
    """Another beta is another answer; another library is not."""
    bearer = f"Authorization: Bearer {token(user='fields')}"
    data = json.dumps(call(prompt=39)).encode()

    async def with_fields(*fields: str) -> bool:
        before = stand.provider.calls
        await once(stand.gateway, get(f"/mine{CHAT}", bearer, *fields, method="POST", body=data))
        return stand.provider.calls > before

    assert await with_fields("User-Agent: one", "X-Other: a")
    assert not await with_fields("User-Agent: two", "X-Other: b", "Idempotency-Key: k", "X-Client-Request-Id: 7")
    assert await with_fields("OpenAI-Beta: assistants=v2")


@pytest.mark.parametrize("word", ["no-store", "no-cache"])
async def test_who_wants_an_answer_of_its_own_gets_one(stand: Stand, word: str) -> None:
    """And it is not kept for others."""
    data = json.dumps(call(prompt=40)).encode()
    bearer = f"Authorization: Bearer {token(user=word)}"
    for _ in range(2):
        before = stand.provider.calls
        request = get(f"/mine{CHAT}", bearer, f"Cache-Control: {word}", method="POST", body=data)
        assert (await once(stand.gateway, request)).status == 200
        assert stand.provider.calls == before + 1
    assert (await made(stand, "mine", data, user=word))[1]


async def test_large_numbers_are_not_rounded_into_one(stand: Stand) -> None:
    one, other = (call(prompt=41) | {"seed": 2**64 + number} for number in (0, 1))
    assert (await made(stand, "mine", one, user="seeds"))[1]
    assert (await made(stand, "mine", other, user="seeds"))[1]
    assert not (await made(stand, "mine", other, user="seeds"))[1]


async def test_numbers_too_large_to_be_told_apart_are_never_the_same(stand: Stand) -> None:
    """What cannot be compared is made anew each time."""
    for number in ("1e400", "1e401", "1e400"):
        body = json.dumps(call(prompt=42) | {"seed": "X"}).replace('"X"', number).encode()
        assert (await made(stand, "mine", body, user="huge"))[1]


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_what_came_coded_is_not_given_again(coding: str) -> None:
    """Whatever it says: who gets it next may have asked for it as it is, and nobody has looked into it."""
    headers = [(b"Content-Type", b"application/json"), (b"Content-Encoding", coding.encode())]
    assert _unfit(Kind.CHAT, 200, headers, b"{}") == "coded"


async def test_a_gzipped_answer_that_nobody_asked_for_passes_and_is_bought_anew(stand: Stand) -> None:
    """The next caller does not get its bytes as if they were JSON."""
    calls: list[bytes] = []
    answer = {
        "id": "c",
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21},
    }
    packed = gzip.compress(json.dumps(answer).encode())

    async def give(exchange: Exchange) -> None:
        calls.append(await read_body(exchange.seen, exchange.reader))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        await exchange.send(head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed)

    stand.origin.answers[CHAT] = give
    try:
        for number in (1, 2):
            got = await ask(stand, "mine", call(prompt=20), user="gzip")
            assert (got.get("Content-Encoding"), got.body, len(calls)) == ("gzip", packed, number)
    finally:
        stand.provider.attach(stand.origin)


async def together(stand: Stand, count: int, body: dict[str, Any], route: str = "mine", **who: str) -> list[Answer]:
    """The answers to equal calls that are all under way before the provider answers the first."""
    asked = [asyncio.create_task(ask(stand, route, body, **who)) for _ in range(count)]
    await in_flight(stand.gateway, count)
    stand.provider.open()
    try:
        return await asyncio.gather(*asked)
    finally:
        stand.provider.shut()


@pytest.mark.parametrize("stream", [False, True])
async def test_equal_calls_at_once_are_paid_once(stand: Stand, stream: bool) -> None:
    """Who waits for the answer that another has bought gets it as it came, and pays nothing."""
    before, user = stand.provider.calls, f"at-once-{stream}"
    got = await together(stand, 20, call(stream=stream, prompt=50, gate=True), user=user)
    assert stand.provider.calls == before + 1
    assert {(answer.status, answer.body) for answer in got} == {(200, got[0].body)}
    assert sorted(answer.get("Sluicegate-Cost-USD") or "" for answer in got) == ["", *["0"] * 19]
    told = [answer.get("Cache-Status") or "" for answer in got]
    assert sum(each.endswith("; collapsed") for each in told) == 19
    lines = [line for line in stand.gateway.requests if line.get("user") == user]
    await reached(lambda: len([1 for line in stand.gateway.requests if line.get("cache") == "coalesced"]) >= 19)
    assert {line["cost_usd"] for line in lines if line.get("cache") == "coalesced"} <= {0}


async def test_where_the_call_fails_each_of_those_who_waited_makes_it(stand: Stand) -> None:
    """They do not wait for one another's failures, either."""
    before = stand.provider.calls
    got = await together(stand, 5, call(prompt=51, gate=True, fail="status"), user="all-fail")
    assert {answer.status for answer in got} == {503}
    assert stand.provider.calls == before + 5


async def test_where_the_answer_is_not_kept_each_of_those_who_waited_makes_the_call(stand: Stand) -> None:
    before = stand.provider.calls
    got = await together(stand, 5, call(cap=8000, prompt=52, output=8000, gate=True), user="all-large")
    assert {answer.status for answer in got} == {200}
    assert stand.provider.calls == before + 5


async def test_who_is_refused_keeps_nobody_waiting(stand: Stand) -> None:
    """One user of the tenant has used up a budget of its own: the next makes the call at once."""
    body, spent = call(prompt=53, output=900), {"user": "spent", "tenant": "queue"}
    assert (await ask(stand, "free", call(prompt=54, output=900), **spent)).status == 200
    assert (await ask(stand, "free", body, **spent)).status == 429
    async with asyncio.timeout(5):  # the route's wait is half a minute
        answer, called = await made(stand, "free", body, user="rich", tenant="queue")
    assert (answer.status, called) == (200, True)


async def test_a_client_that_leaves_takes_nobodys_answer_away(stand: Stand) -> None:
    """What it has bought is read to its end, and theirs."""
    before, body = stand.provider.calls, call(stream=True, prompt=55, gate=True)
    async with await Client.connect(stand.gateway) as first:
        await first.send(post(body, token(user="leaver"), f"/mine{CHAT}"))
        await reached(lambda: stand.provider.under_way == 1)
        waiting = [asyncio.create_task(ask(stand, "mine", body, user="leaver")) for _ in range(3)]
        await in_flight(stand.gateway, 4)
    await in_flight(stand.gateway, 3)
    stand.provider.open()
    try:
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
    finally:
        stand.provider.shut()
    assert stand.provider.calls == before + 1


async def test_nobody_waits_longer_than_the_route_says(stand: Stand) -> None:
    before, body = stand.provider.calls, call(prompt=56, gate=True)
    asked = [asyncio.create_task(ask(stand, "hasty", body, user="hasty")) for _ in range(3)]
    await reached(lambda: stand.provider.calls == before + 3)
    stand.provider.open()
    try:
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    finally:
        stand.provider.shut()
