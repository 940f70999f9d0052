"""Who may do what on the admin listener."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.admin.guard import Guard

TOKEN = "a-token-of-ops"


async def done(_: web.Request) -> web.Response:
    return web.Response(status=200)


async def status(handler: object, given: str | None) -> int:
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    answer: web.Response = await handler(make_mocked_request("GET", "/", headers))  # type: ignore[operator]
    return answer.status


@pytest.mark.parametrize(("given", "expected"), [(TOKEN, 200), (None, 401), ("", 401), (TOKEN + "x", 401)])
async def test_with_a_token_set_both_need_it(given: str | None, expected: int) -> None:
    guard = Guard(TOKEN)
    assert await status(guard.changing(done), given) == expected
    assert await status(guard.reading(done), given) == expected


async def test_without_one_there_is_only_reading() -> None:
    guard = Guard("")
    assert (guard.wants_token, Guard(TOKEN).wants_token) == (False, True)
    for given in (None, "", TOKEN):
        assert await status(guard.reading(done), given) == 200
        assert await status(guard.changing(done), given) == 403
