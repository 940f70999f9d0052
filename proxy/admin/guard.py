"""Who may do what on the admin listener: by one token, compared in constant time."""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from proxy.admin.answers import as_json

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """By the policy's ``admin.token``; empty: this listener is for reading."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    @property
    def wants_token(self) -> bool:
        """Else nothing can be changed, and all be read."""
        return bool(self._token)

    def changing(self, handler: Handler) -> Handler:
        """Nobody without the token; nobody at all where there is none."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._token:
                return as_json({"error": "no admin.token is set: this listener is for reading only"}, 403)
            return await handler(request) if self._holds(request) else _refused()

        return guarded

    def reading(self, handler: Handler) -> Handler:
        """Anyone where there is no token, else whoever has it: for what not everybody on this machine should see."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request) if not self._token or self._holds(request) else _refused()

        return guarded

    def _holds(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._token)


def _refused() -> web.Response:
    return as_json({"error": "the admin token is missing or wrong"}, 401)
