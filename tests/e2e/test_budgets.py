"""Budgets cannot be overspent, and the ledger is the invoice: many callers, several workers, an honest provider."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.ai.dialects.call import AiCall
from proxy.gateway.pricing import Pricing, bound, edited, read_call
from proxy.policy.spending import OnDisconnect, Prices, Spending
from tests.e2e.books import disagreements, rows
from tests.e2e.gateway import Answer, Client, eventually, once, reached, token, volley
from tests.e2e.provider import Stand, call, post, price, standing

WORKERS = 4
FITS = 37
CALLERS = 200
SPENDING = Spending("openai", (), (), None, None, OnDisconnect.DRAIN, None, None, frozenset())


def held(body: dict[str, object]) -> int:
    """What this call is held at, nano-dollars."""
    raw = json.dumps(body).encode()
    read = read_call(SPENDING, "POST", "/v1/chat/completions", "", {}, raw)
    assert isinstance(read, AiCall)
    read, _ = edited(read, raw, SPENDING)
    return bound(read, Pricing(Prices()).quote(read, 0), SPENDING).nanousd


GATED = call(gate="race", prompt=10, output=20)
ROUTES = f"""
budgets:
  race: {{scope: user, daily: "${FITS * held(GATED) / 1e9:.9f}"}}
  all: {{scope: global, daily: "$100", monthly: "$1000"}}
  small: {{scope: user, daily: "${400 * price(10, 20) / 1e9:.9f}"}}
routes:
  - {{name: race, match: {{path: "/race/**"}}, rewrite: {{strip: /race}}, upstream: openai, limits: [],
     budgets: [race, all]}}
  - {{name: cancel, match: {{path: "/cancel/**"}}, rewrite: {{strip: /cancel}}, upstream: openai, limits: [],
     budgets: [all], on_disconnect: cancel}}
  - {{name: learnt, match: {{path: "/learnt/**"}}, rewrite: {{strip: /learnt}}, upstream: openai, limits: [],
     budgets: [small], estimate: learnt}}
  - {{name: teach, match: {{path: "/teach/**"}}, rewrite: {{strip: /teach}}, upstream: openai, limits: [],
     budgets: [all], estimate: learnt}}
  - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [all]}}
"""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(ROUTES, openai="max_connections: 1000", workers=WORKERS) as stand:
        yield stand


async def race(stand: Stand, user: str) -> Counter[int]:
    """So many callers at once against one budget; nobody is answered before all who are refused have been."""
    request = post(GATED, token(user=user), "/race/v1/chat/completions")
    stand.provider.shut()
    answers: list[Answer] = []

    async def one() -> None:
        answers.append(await once(stand.gateway, request))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(one())
        await reached(lambda: len(answers) >= CALLERS - FITS, 30)
        stand.provider.open()
    return Counter(answer.status for answer in answers)


@pytest.mark.parametrize("number", range(20))
async def test_of_200_callers_at_once_exactly_as_many_as_fit_are_let_through(stand: Stand, number: int) -> None:
    before = stand.provider.calls
    assert await race(stand, f"racer-{number}") == {200: FITS, 429: CALLERS - FITS}
    assert stand.provider.calls - before == FITS


async def test_with_the_learnt_estimate_a_budget_can_be_used_up(stand: Stand) -> None:
    """To refuse is not the trick: at least 95 percent is spent before the first refusal, and never more than all."""
    body = call(prompt=10, output=20)
    teaching = post(body, token(user="teacher"), "/teach/v1/chat/completions")
    await volley(stand.gateway, teaching, 400 * WORKERS, 64)  # so many connections that each worker has some
    spent, refused = 0, False
    paying = post(body, token(user="payer"), "/learnt/v1/chat/completions")

    async def one() -> None:
        nonlocal spent, refused
        async with await Client.connect(stand.gateway) as client:
            while not refused:
                await client.send(paying)
                answer = await client.answer()
                refused = refused or answer.status == 429
                spent += answer.status == 200

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(one())
    assert 380 <= spent <= 400


async def leave(stand: Stand, request: bytes, after_bytes: int) -> None:
    """A client that goes once it has so much of the answer, or at once."""
    async with await Client.connect(stand.gateway) as client:
        await client.send(request)
        if after_bytes:
            await client.reader.readexactly(after_bytes)
        else:
            await asyncio.sleep(0.02)  # on its way, or not yet: either is what clients do


async def some_call(stand: Stand, chance: random.Random, number: int) -> bool:
    """One call of any kind; whether it reached the provider for sure."""
    how = {"prompt": chance.randrange(1, 60), "output": chance.randrange(1, 900), "chunks": chance.randrange(1, 8)}
    fail = chance.choice([None, None, None, "status", "cut", "reset"])
    stream = chance.random() < 0.5
    if fail:
        how["fail"] = fail
    path = chance.choice(["/v1/chat/completions", "/cancel/v1/chat/completions"])
    how["pause"] = chance.choice([0, 0.01])
    request = post(call(stream=stream, **how), token(user=f"user-{number % 7}"), path)
    if chance.random() < 0.3:
        await leave(stand, request, chance.choice([0, 1, 150, 300]) if not fail else 0)
    else:
        await once(stand.gateway, request)
    return True


async def test_the_ledger_is_the_invoice_whatever_becomes_of_calls(stand: Stand) -> None:
    """Plain and streamed, given up by clients at any point, failed by the provider in three ways: counters, outbox and
    ledger agree, each row that is not estimated is what was billed, and no bill is above its row."""
    await asyncio.to_thread(eventually, lambda: len(rows(stand.gateway)) >= stand.provider.calls)
    before = {row["id"] for row in rows(stand.gateway)}
    billed_before = set(stand.provider.billed)
    chance = random.Random(37)
    calls = 150
    limit = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with limit:
            await some_call(stand, chance, number)

    reached_before = stand.provider.calls
    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(one(number))
    await asyncio.to_thread(eventually, lambda: not stand.provider.under_way)
    made = stand.provider.calls - reached_before

    def landed() -> list[dict[str, Any]] | None:
        fresh = [row for row in rows(stand.gateway) if row["id"] not in before]
        return fresh if len(fresh) >= made and stand.gateway.metric("sluicegate_ai_calls_in_flight") == 0 else None

    fresh = await asyncio.to_thread(eventually, landed, 20)
    billed = {name: cost for name, cost in stand.provider.billed.items() if name not in billed_before}
    exact = [row for row in fresh if not row["estimated"] and row["state"] == "settled"]
    assert len(exact) > calls // 4
    for row in exact:
        assert row["cost_nanousd"] == billed.pop(row["provider_request_id"])
        assert not row["overrun"]
    # What is left was billed for calls whose answer did not say what they used: their rows are above it.
    estimated = sum(row["cost_nanousd"] for row in fresh if row["estimated"])
    assert estimated >= sum(billed.values())
    assert all(row["cost_nanousd"] == row["held_nanousd"] for row in fresh if row["estimated"])
    assert await asyncio.to_thread(disagreements, stand.gateway) == []
