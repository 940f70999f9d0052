"""Limits as clients meet them: exact under concurrency, over four workers and one Redis."""

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.e2e.gateway import Answer, Client, Gateway, bearer, get, once, reached, running, statuses, stranger, volley
from tests.e2e.origin import OK, Exchange, Origin, running_origin
from tests.e2e.policies import policy

LIMITS = """
limits:
  thousand: {scope: user, rate: 1000/1m}
  hundred: {scope: user, rate: 100/1m}
  thirty: {scope: tenant, rate: 30/1m}
  ten: {scope: user, rate: 10/1m}
  brief: {scope: user, rate: 2/1s}
  daily: {scope: user, kind: calendar, rate: 7/day}
  paced: {scope: user, kind: smooth, rate: 5/1h, burst: 3}
  tiered: {scope: user, rate: {enterprise: 8/1m, trial: 2/1m, default: 4/1m}}
  by-tenant: {scope: tenant, rate: 3/1m}
  shadowed: {scope: user, rate: 2/1m, shadow: true}
  five-at-once: {scope: user, concurrent: 5}
  one-at-once: {scope: user, concurrent: 1}
tenants:
  acme: {limits: {by-tenant: 6/1m}}
routes:
  - {name: thousand, match: {path: "/thousand"}, upstream: app, limits: [thousand]}
  - {name: big-small, match: {path: "/big-small"}, upstream: app, limits: [hundred, thirty]}
  - {name: small-big, match: {path: "/small-big"}, upstream: app, limits: [thirty, hundred]}
  - {name: hundred, match: {path: "/hundred"}, upstream: app, limits: [hundred]}
  - {name: thirty, match: {path: "/thirty"}, upstream: app, limits: [thirty]}
  - {name: brief, match: {path: "/brief"}, upstream: app, limits: [brief]}
  - {name: daily, match: {path: "/daily"}, upstream: app, limits: [daily]}
  - {name: paced, match: {path: "/paced"}, upstream: app, limits: [paced]}
  - {name: tiered, match: {path: "/tiered"}, upstream: app, limits: [tiered]}
  - {name: by-tenant, match: {path: "/by-tenant"}, upstream: app, limits: [by-tenant]}
  - {name: shadowed, match: {path: "/shadowed"}, upstream: app, limits: [shadowed, hundred]}
  - {name: shadow, match: {path: "/shadow"}, upstream: app, limits: [brief], mode: shadow}
  - {name: ten, match: {path: "/ten"}, upstream: app, limits: [ten]}
  - {name: light, match: {path: "/light"}, upstream: app, limits: [ten], weight: 0.5}
  - {name: trpc, match: {path: "/trpc/**"}, upstream: app, limits: [ten], weight: {batch: trpc}}
  - {name: graphql, match: {path: "/graphql"}, upstream: app, limits: [ten], weight: {batch: graphql, per_item: 2}}
  - {name: five, match: {path: "/five/**"}, upstream: app, limits: [five-at-once]}
  - {name: one, match: {path: "/one/**"}, upstream: app, limits: [one-at-once]}
"""


@pytest.fixture(scope="module")
def setup() -> Iterator[SimpleNamespace]:
    with running_origin() as origin, running(policy(origin.port, LIMITS, workers=4)) as gateway:
        yield SimpleNamespace(origin=origin, gateway=gateway)


@pytest.fixture
def gateway(setup: SimpleNamespace) -> Gateway:
    return setup.gateway


@pytest.fixture
def origin(setup: SimpleNamespace) -> Origin:
    return setup.origin


def remaining(answer: Answer) -> dict[str, int]:
    """What the RateLimit field says is left, by limit."""
    items = (answer.get("RateLimit") or "").split(", ")
    return {item.split(";")[0].strip('"'): int(item.split(";r=")[1].split(";")[0]) for item in items}


@pytest.mark.parametrize("run", [1, 2, 3])
async def test_of_a_limit_of_a_thousand_exactly_a_thousand_are_let_through(gateway: Gateway, run: int) -> None:
    """64 clients at four workers, again and again with another user."""
    answers = await volley(gateway, get("/thousand", stranger()), 1200, connections=64)
    assert statuses(answers) == {200: 1000, 429: 200}


@pytest.mark.parametrize("path", ["/big-small", "/small-big"])
async def test_the_refused_have_taken_nothing_from_either_of_two_limits(gateway: Gateway, path: str) -> None:
    who = stranger()
    answers = await volley(gateway, get(path, who), 200, connections=32)
    assert statuses(answers) == {200: 30, 429: 170}
    assert remaining(await once(gateway, get("/hundred", who))) == {"hundred": 100 - 30 - 1}
    assert (await once(gateway, get("/thirty", who))).status == 429


async def test_what_the_larger_limit_refuses_takes_nothing_from_the_smaller(gateway: Gateway) -> None:
    """The larger one is used up elsewhere; then the smaller one stays as it was."""
    who = stranger()
    assert statuses(await volley(gateway, get("/hundred", who), 100)) == {200: 100}
    assert statuses(await volley(gateway, get("/big-small", who), 50)) == {429: 50}
    assert remaining(await once(gateway, get("/thirty", who))) == {"thirty": 29}


async def test_a_refusal_says_what_when_and_whether_to_try_again(gateway: Gateway) -> None:
    who = stranger()
    answers = await volley(gateway, get("/ten", who), 11, connections=1)
    refusal = answers[-1]
    assert refusal.status == 429
    assert refusal.get("RateLimit-Policy") == '"ten";q=10;w=60'
    assert 0 < int(refusal.get("Retry-After")) <= 60
    assert int(refusal.get("retry-after-ms")) <= int(refusal.get("Retry-After")) * 1000
    assert refusal.get("x-should-retry") is None
    problem = refusal.json()
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (problem["status"], problem["violated-policies"]) == (429, ["ten"])
    assert problem["request_id"] == refusal.get("X-Request-ID")
    assert "u1" not in json.dumps(problem)


async def test_a_take_larger_than_the_limit_is_told_never_to_come_again(gateway: Gateway) -> None:
    answer = await once(gateway, get("/trpc/a,b,c,d,e,f,g,h,i,j,k?batch=1", stranger()))
    assert (answer.status, answer.get("x-should-retry"), answer.get("Retry-After")) == (429, "false", None)


@pytest.mark.parametrize("field", ["Retry-After", "retry-after-ms"])
async def test_after_retry_after_the_next_request_is_admitted(gateway: Gateway, field: str) -> None:
    """Neither in seconds nor in milliseconds does it promise too early a time."""
    who = stranger()
    answers = await volley(gateway, get("/brief", who), 3, connections=1)
    assert [answer.status for answer in answers] == [200, 200, 429]
    told = int(answers[-1].get(field))
    await asyncio.sleep(told / (1 if field == "Retry-After" else 1000) + 0.002)
    assert (await once(gateway, get("/brief", who))).status == 200


async def test_a_calendar_limit_counts_the_day(gateway: Gateway) -> None:
    answers = await volley(gateway, get("/daily", stranger()), 10)
    assert statuses(answers) == {200: 7, 429: 3}
    until_midnight_s = 86_400 - time.time() % 86_400
    refused = next(answer for answer in answers if answer.status == 429)
    assert abs(int(refused.get("Retry-After")) - until_midnight_s) < 30
    assert refused.get("x-should-retry") == "false" or until_midnight_s <= 61


async def test_a_smooth_limit_admits_its_burst_and_then_paces(gateway: Gateway) -> None:
    answers = await volley(gateway, get("/paced", stranger()), 6, connections=1)
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    assert 600 < int(answers[-1].get("Retry-After")) <= 720


@pytest.mark.parametrize(("tier", "admitted"), [("enterprise", 8), ("growth_team", 4), ("trial", 2), ("unheard", 2)])
async def test_a_tier_has_its_own_rate(gateway: Gateway, tier: str, admitted: int) -> None:
    """A tier that the policy does not know counts as the least but anonymous."""
    answers = await volley(gateway, get("/tiered", stranger(tier=tier)), 10)
    assert statuses(answers) == {200: admitted, 429: 10 - admitted}


@pytest.mark.parametrize(("tenant", "admitted"), [("acme", 6), ("globex", 3)])
async def test_a_tenants_exception_counts_for_all_its_users(gateway: Gateway, tenant: str, admitted: int) -> None:
    users = [bearer(user=f"{tenant}-{number}", tenant=tenant) for number in range(3)]
    answers = await volley(gateway, lambda number: get("/by-tenant", users[number % 3]), 12)
    assert statuses(answers) == {200: admitted, 429: 12 - admitted}


async def test_a_batch_of_trpc_weighs_what_it_holds(gateway: Gateway) -> None:
    who = stranger()
    assert remaining(await once(gateway, get("/trpc/a.list,b.get,c.get?batch=1", who))) == {"ten": 7}
    assert remaining(await once(gateway, get("/trpc/a.list", who))) == {"ten": 6}
    refused = await once(gateway, get("/trpc/a,b,c,d,e,f,g?batch=1", who))
    assert (refused.status, remaining(refused)) == (429, {"ten": 6})


async def test_a_batch_of_graphql_weighs_what_its_body_holds(gateway: Gateway, origin: Origin) -> None:
    who = stranger()
    body = b'[{"query":"{a}"},{"query":"{b}"},{"query":"{c}"}]'
    assert remaining(await once(gateway, get("/graphql", who, method="POST", body=body))) == {"ten": 4}
    assert origin.last().body == body
    assert remaining(await once(gateway, get("/graphql", who, method="POST", body=b'{"query":"{a}"}'))) == {"ten": 2}
    assert (await once(gateway, get("/graphql", who, method="POST", body=body))).status == 429


async def test_a_light_route_takes_a_part_of_a_request(gateway: Gateway) -> None:
    who = stranger()
    assert statuses(await volley(gateway, get("/light", who), 22)) == {200: 20, 429: 2}


async def test_a_limit_in_shadow_refuses_nothing_and_counts(gateway: Gateway) -> None:
    before = gateway.metric(r'sluicegate_limit_decisions_total{decision="shadow_refused",limit="shadowed"')
    answers = await volley(gateway, get("/shadowed", stranger()), 6)
    assert statuses(answers) == {200: 6}
    assert all("shadowed" not in answer.get("RateLimit-Policy") for answer in answers)
    after = gateway.metric(r'sluicegate_limit_decisions_total{decision="shadow_refused",limit="shadowed"')
    assert after - before == 4


async def test_a_route_in_shadow_refuses_nothing_and_counts(gateway: Gateway) -> None:
    before = gateway.metric(r'sluicegate_limit_decisions_total{decision="shadow_refused",limit="brief"')
    answers = await volley(gateway, get("/shadow", stranger()), 5, connections=1)
    assert statuses(answers) == {200: 5}
    assert all(answer.get("RateLimit") is None for answer in answers)
    after = gateway.metric(r'sluicegate_limit_decisions_total{decision="shadow_refused",limit="brief"')
    assert after - before >= 1


# --- what is under way ---


class Held:
    """An origin's answers that wait until the test lets them go."""

    def __init__(self, origin: Origin, path: str) -> None:
        self.now = 0
        self.most = 0
        self.left = 0
        self._go = False
        origin.answers[path] = self

    async def __call__(self, exchange: Exchange) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            while not self._go:
                try:
                    async with asyncio.timeout(0.005):
                        if not await exchange.reader.read(1):
                            self.left += 1
                            return
                except TimeoutError:
                    continue
        finally:
            self.now -= 1
        await exchange.send(OK)

    def go(self) -> None:
        self._go = True


async def admitted_again(gateway: Gateway, request: bytes) -> Answer:
    """The first answer that is no refusal: a lease is given back a moment after the exchange has ended."""
    async with asyncio.timeout(5):
        while True:
            answer = await once(gateway, request)
            if answer.status != 429:
                return answer


async def test_never_more_are_under_way_than_allowed_and_the_rest_is_refused(gateway: Gateway, origin: Origin) -> None:
    held = Held(origin, "/five/held")
    who = stranger()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once(gateway, get("/five/held", who))) for _ in range(20)]
        await reached(lambda: held.now == 5 and sum(task.done() for task in tasks) == 15)
        held.go()
    answers = [task.result() for task in tasks]
    assert statuses(answers) == {200: 5, 429: 15}
    assert held.most == 5
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.json()["reason"] == "concurrency_exceeded"
    assert refused.get("Retry-After") == "1"
    assert (await admitted_again(gateway, get("/five/next", who))).status == 200


async def test_under_load_a_concurrency_limit_is_never_exceeded(gateway: Gateway, origin: Origin) -> None:
    now = most = 0

    async def counted(exchange: Exchange) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.003)  # what the upstream takes
        now -= 1
        await exchange.send(OK)

    origin.answers["/five/busy"] = counted
    answers = await volley(gateway, get("/five/busy", stranger()), 400, connections=24)
    assert 1 < most <= 5
    assert statuses(answers)[200] > 20
    assert set(statuses(answers)) == {200, 429}


async def test_a_client_that_leaves_gives_its_place_back(gateway: Gateway, origin: Origin) -> None:
    held = Held(origin, "/one/held")
    who = stranger()
    async with await Client.connect(gateway) as client:
        await client.send(get("/one/held", who))
        await reached(lambda: held.now == 1)
        assert (await once(gateway, get("/one/other", who))).status == 429
    await reached(lambda: held.left == 1, within_s=1)
    assert (await admitted_again(gateway, get("/one/other", who))).status == 200


async def test_an_upstream_that_fails_gives_the_place_back(gateway: Gateway, origin: Origin) -> None:
    async def broken(exchange: Exchange) -> None:
        exchange.reset()

    origin.answers["/one/broken"] = broken
    who = stranger()
    assert (await once(gateway, get("/one/broken", who, method="POST"))).status == 502
    assert (await admitted_again(gateway, get("/one/other", who))).status == 200
