"""What the page asks for by itself."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.dashboard.questions import Questions
from proxy.admin.errands import About
from proxy.admin.guard import Guard
from tests.admin.dashboard.stands import Clerk, Parent, plain_policy

TOKEN = "a-token-of-ops"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
POLICY = plain_policy()


def asking(clerk: Clerk, token: str = TOKEN) -> TestClient[Any, Any]:
    app = web.Application()
    app.add_routes(Questions(Parent(POLICY), Guard(token), clerk).routes())
    return TestClient(TestServer(app))


async def test_whether_a_token_is_wanted_is_no_secret() -> None:
    """So that a page asks for it before it is refused anything."""
    for token in (TOKEN, ""):
        async with asking(Clerk(), token) as client:
            assert await (await client.get("/dashboard/access")).json() == {"token": bool(token)}


@pytest.mark.parametrize(
    ("path", "about"), [("/dashboard/tenants", About.TENANTS), ("/dashboard/burndown", About.BURNDOWN)]
)
async def test_a_question_is_the_clerks_with_its_words(path: str, about: About) -> None:
    clerk = Clerk(400, {"error": "page: write a number"})
    async with asking(clerk) as client:
        answer = await client.get(path + "?filter=%3Cb%3E&page=x", headers=AUTHORIZED)
        assert (answer.status, await answer.json()) == (400, {"error": "page: write a number"})
    assert [(one.policy, one.about, one.arguments) for one in clerk.errands] == [
        (POLICY, about, {"filter": "<b>", "page": "x"})
    ]


async def test_nobody_asks_without_the_token() -> None:
    clerk = Clerk()
    async with asking(clerk) as client:
        for path in ("/dashboard/tenants", "/dashboard/burndown"):
            assert (await client.get(path)).status == 401
    assert not clerk.errands
