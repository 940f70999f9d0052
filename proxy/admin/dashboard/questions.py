"""What the page of the dashboard asks for by itself: a page of tenants, a budget's chart. Read as all that tells of
money is: with the token, where there is one.
"""

from typing import Final

from aiohttp import web

from proxy.admin.answers import Gateway, as_json
from proxy.admin.dashboard.observatory import Errander
from proxy.admin.errands import About, Errand

_ASKED: Final = {"/dashboard/tenants": About.TENANTS, "/dashboard/burndown": About.BURNDOWN}


class Questions:
    def __init__(self, gateway: Gateway, errands: Errander) -> None:
        self._gateway = gateway
        self._errands = errands

    async def answer(self, request: web.Request) -> web.Response:
        errand = Errand(self._gateway.policy, _ASKED[request.path], dict(request.query))
        status, body = await self._errands.run(errand)
        return as_json(body, status)
