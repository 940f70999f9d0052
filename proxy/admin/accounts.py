"""The admin API of money: reports, where budgets stand, grants, whether all agree.

Reading tells what each tenant spends: where ``admin.token`` is set, it needs it, too.
"""

from typing import Any, Final, Protocol

from aiohttp import web

from proxy.admin.answers import Gateway, as_json
from proxy.admin.errands import About, Answer, Errand
from proxy.admin.guard import Guard

_READINGS: Final = {
    "/usage": About.USAGE,
    "/budgets": About.BUDGETS,
    "/grants": About.GRANTS,
    "/reconcile": About.RECONCILE,
}


class Errander(Protocol):
    async def run(self, errand: Errand) -> Answer: ...


class Accounts:
    def __init__(self, gateway: Gateway, guard: Guard, errands: Errander) -> None:
        self._gateway = gateway
        self._guard = guard
        self._errands = errands

    def routes(self) -> list[web.RouteDef]:
        readings = [web.get(path, self._guard.reading(self._read)) for path in _READINGS]
        return [*readings, web.post("/grants", self._guard.changing(self.grant))]

    async def _read(self, request: web.Request) -> web.Response:
        return await self._answer(_READINGS[request.path], dict(request.query))

    async def grant(self, request: web.Request) -> web.Response:
        """A JSON object of text: scope, amount, until, reason; budget and by, if wanted."""
        try:
            arguments: Any = await request.json()
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict) or not all(isinstance(value, str) for value in arguments.values()):
            return as_json({"error": "write a JSON object whose values are text"}, 400)
        return await self._answer(About.GRANT, arguments)

    async def _answer(self, about: About, arguments: dict[str, str]) -> web.Response:
        status, body = await self._errands.run(Errand(self._gateway.policy, about, arguments))
        return as_json(body, status)
