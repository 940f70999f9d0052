"""The admin API of money: reports, where budgets stand, grants, whether all agree.

Reading tells what each tenant spends: where ``admin.token`` is set, it needs it, too.
"""

from typing import Final, Protocol

from aiohttp import web

from proxy.admin.answers import Gateway, as_json
from proxy.admin.errands import About, Answer, Errand
from proxy.admin.guard import Guard
from proxy.ai.requestjson import Flaw, FlawedJson, loads

_READINGS: Final = {
    "/usage": About.USAGE,
    "/budgets": About.BUDGETS,
    "/grants": About.GRANTS,
    "/reconcile": About.RECONCILE,
}
_FORM: Final = "write a JSON object in UTF-8 whose values are text"


class Errander(Protocol):
    async def run(self, errand: Errand) -> Answer: ...


class Accounts:
    def __init__(self, gateway: Gateway, guard: Guard, errands: Errander) -> None:
        self._gateway = gateway
        self._guard = guard
        self._errands = errands

    def routes(self) -> list[web.RouteDef]:
        readings = [web.get(path, self._guard.reading(self._read)) for path in _READINGS]
        changing = [
            web.post("/grants", self._guard.changing(self.grant)),
            web.post("/grants/{id}/end", self._guard.changing(self.end)),
        ]
        return [*readings, *changing]

    async def _read(self, request: web.Request) -> web.Response:
        return await self._answer(_READINGS[request.path], dict(request.query))

    async def grant(self, request: web.Request) -> web.Response:
        """A JSON object of text: scope, amount, until, reason; budget and by, if wanted."""
        return await self._change(request, About.GRANT)

    async def end(self, request: web.Request) -> web.Response:
        """Of a grant, before its time. A JSON object of text: reason; by, if wanted."""
        return await self._change(request, About.END)

    async def _change(self, request: web.Request, about: About) -> web.Response:
        try:
            _, arguments = loads(await request.read())
        except FlawedJson as flawed:
            twice = flawed.flaw is Flaw.DUPLICATE_MEMBER
            why = "a member stands twice: which one counts is unknown" if twice else _FORM
            return as_json({"error": why}, 400)
        if not all(isinstance(value, str) for value in arguments.values()):
            return as_json({"error": _FORM}, 400)
        return await self._answer(about, {**arguments, **request.match_info})

    async def _answer(self, about: About, arguments: dict[str, str]) -> web.Response:
        status, body = await self._errands.run(Errand(self._gateway.policy, about, arguments))
        return as_json(body, status)
