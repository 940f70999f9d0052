"""The admin API of money, as a client meets it; what it tells is proven in tests/e2e/test_reports.py."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.accounts import Accounts
from proxy.admin.errands import About, Answer, Errand
from proxy.admin.guard import Guard

TOKEN = "a-token-of-ops"
POLICY: Any = "the policy"


class Asked:
    """In the errands' place: remembers what it was asked."""

    def __init__(self) -> None:
        self.errands: list[Errand] = []

    async def run(self, errand: Errand) -> Answer:
        self.errands.append(errand)
        return 200, []


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def client(asked: Asked, aiohttp_client: Any) -> TestClient[Any, Any]:
    gateway: Any = SimpleNamespace(policy=POLICY)
    app = web.Application()
    app.add_routes(Accounts(gateway, Guard(TOKEN), asked).routes())
    client: TestClient[Any, Any] = await aiohttp_client(TestServer(app))
    return client


async def test_a_question_is_asked_of_the_policy_in_force(client: TestClient[Any, Any], asked: Asked) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/usage?by=day", "/budgets?scope=global", "/grants", "/reconcile"):
        assert (await client.get(path, headers=headers)).status == 200
    assert [(one.policy, one.about, one.arguments) for one in asked.errands] == [
        (POLICY, About.USAGE, {"by": "day"}),
        (POLICY, About.BUDGETS, {"scope": "global"}),
        (POLICY, About.GRANTS, {}),
        (POLICY, About.RECONCILE, {}),
    ]


async def test_nobody_asks_without_the_token(client: TestClient[Any, Any], asked: Asked) -> None:
    for path in ("/usage", "/budgets", "/grants", "/reconcile"):
        assert (await client.get(path)).status == 401
    for path in ("/grants", "/grants/7/end"):
        assert (await client.post(path, data=b"{}")).status == 401
    assert not asked.errands


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "object"),
        (b"[]", "object"),
        (b'{"scope": 1}', "values are text"),
        (b"{", "object"),
        (b"\xff", "UTF-8"),
        (b'{"scope": "global", "scope": "tenant:acme"}', "stands twice"),
        (b'{"reason": "\\ud800"}', "UTF-8"),
    ],
)
async def test_a_grant_is_an_object_of_text(client: TestClient[Any, Any], asked: Asked, body: bytes, said: str) -> None:
    answer = await client.post("/grants", data=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status, said in (await answer.json())["error"]) == (400, True)
    assert not asked.errands


async def test_a_grant_is_passed_on(client: TestClient[Any, Any], asked: Asked) -> None:
    wanted = {"scope": "global", "amount": "$1"}
    answer = await client.post("/grants", json=wanted, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200
    assert (asked.errands[0].about, asked.errands[0].arguments) == (About.GRANT, wanted)


async def test_the_number_of_a_grant_that_ends_is_the_addresses(client: TestClient[Any, Any], asked: Asked) -> None:
    """Whatever the body says of it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (await client.post("/grants/7/end", json={"id": "8", "reason": "enough"}, headers=headers)).status == 200
    assert (asked.errands[0].about, asked.errands[0].arguments) == (About.END, {"id": "7", "reason": "enough"})
    assert (await client.post("/grants/7/end", data=b"[]", headers=headers)).status == 400
