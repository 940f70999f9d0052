"""The dashboard's events (server-sent, WHATWG HTML §9.2): points of the charts and sections of the page, each when it
has changed.

Each listener asks for what it has not heard yet, so that one who reads slowly costs nobody else anything, and gets
less. A tick every two seconds is the heartbeat. An event's id is the gateway's run and the number of the newest point;
who comes again with it (``Last-Event-ID``) gets the points that it has missed.
"""

import asyncio
import secrets
from typing import Final

import orjson
from aiohttp import web

from proxy.admin.answers import as_json
from proxy.admin.dashboard.history import FIELDS
from proxy.admin.dashboard.observatory import Observatory

MOST_LISTENERS: Final = 16
SEND_S: Final = 10.0  # for one event; who takes longer has gone
AGAIN_S: Final = 5
HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


def event(name: str, data: bytes, event_id: str = "") -> bytes:
    """``data`` is JSON on one line."""
    head = f"id: {event_id}\nevent: {name}\n" if event_id else f"event: {name}\n"
    return head.encode() + b"data: " + data + b"\n\n"


class Heard:
    """What one listener has heard. Pure."""

    def __init__(self, run: str, last_event_id: str = "") -> None:
        before, _, number = last_event_id.rpartition("-")
        self._run = run
        self.number = int(number) if before == run and number.isascii() and number.isdigit() else 0
        self._sections: dict[str, bytes] = {}
        self._began = False

    def news(self, observatory: Observatory) -> bytes:
        """All that is new, as events; the points last, as the id says that everything has been heard."""
        history, told = observatory.history, []
        for name, content in observatory.sections.items():
            if self._sections.get(name) != content:
                self._sections[name] = content
                told.append(event(name, content))
        whole = not self.number or self.number > history.number
        points = [one.row() for one in history.points(0 if whole else self.number)]
        self.number = history.number
        data = orjson.dumps({"fields": FIELDS, "whole": whole and not self._began, "points": points})
        self._began = True
        told.append(event("points", data, f"{self._run}-{self.number}"))
        return b"".join(told)


class Stream:
    """Answers ``GET /dashboard/events``."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._run = secrets.token_hex(4)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        observatory = self._observatory
        if observatory.watching >= MOST_LISTENERS:
            answer = as_json({"error": f"{MOST_LISTENERS} pages listen already"}, 503)
            answer.headers["Retry-After"] = str(AGAIN_S)
            return answer
        heard = Heard(self._run, request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers=HEADERS)
        with observatory.watched():
            observatory.look()  # whoever comes first would see what nobody has looked at for a while
            await response.prepare(request)
            try:
                while not observatory.closed:
                    await self._send(response, heard.news(observatory))
                    await observatory.news()
                await self._send(response, event("bye", b"{}"))
            except (ConnectionError, TimeoutError):
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        """Raises: ConnectionError, TimeoutError: the listener has gone."""
        async with asyncio.timeout(SEND_S):
            await response.write(data)
