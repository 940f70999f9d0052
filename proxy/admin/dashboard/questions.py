"""What the page of the dashboard asks for by itself: whether a token is wanted, a page of tenants, a budget's chart."""

from typing import Final

from aiohttp import web

from proxy.admin.answers import Gateway, as_json
from proxy.admin.dashboard.observatory import Errander
from proxy.admin.errands import About, Errand
from proxy.admin.guard import Guard

_ASKED: Final = {"/dashboard/tenants": About.TENANTS, "/dashboard/burndown": About.BURNDOWN}


class Questions:
    def __init__(self, gateway: Gateway, guard: Guard, errands: Errander) -> None:
        self._gateway = gateway
        self._guard = guard
        self._errands = errands

    def routes(self) -> list[web.RouteDef]:
        """What tells of money wants the token, where there is one."""
        return [
            web.get("/dashboard/access", self.access),
            *(web.get(path, self._guard.reading(self.answer)) for path in _ASKED),
        ]

    async def access(self, _: web.Request) -> web.Response:
        return as_json({"token": self._guard.wants_token})

    async def answer(self, request: web.Request) -> web.Response:
        errand = Errand(self._gateway.policy, _ASKED[request.path], dict(request.query))
        status, body = await self._errands.run(errand)
        return as_json(body, status)
