"""How a case is put to the gateway: bytes in, every answer out, and what the origin saw of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Answer, Client, Gateway, get, once
from tests.e2e.origin import Origin, Seen

HOST = b"Host: app.test\r\n"
SMUGGLED = b"GET /app/smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"


async def within(condition: Callable[[], Any], within_s: float = 5.0) -> Any:
    """What the condition returns once it is true; fails after ``within_s``. The loop runs meanwhile."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"did not come true within {within_s} s"
        await asyncio.sleep(0.005)
    return found


@dataclass
class Talk:
    """All that came back on one connection until the gateway ended it."""

    answers: list[Answer]
    closed: bool
    rest: bytes = b""

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


async def talk(gateway: Gateway, *parts: bytes, gap_s: float = 0.0, heads: int = 0, within_s: float = 8) -> Talk:
    """Sends the parts, ``gap_s`` apart, and reads until the gateway closes. ``heads``: answers to HEAD, the first ones.

    Fails when the connection still stands after ``within_s``.
    """
    async with await Client.connect(gateway) as client:
        for at, part in enumerate(parts):
            if at and gap_s:
                await asyncio.sleep(gap_s)
            try:
                await client.send(part)
            except ConnectionError:
                break
        answers: list[Answer] = []
        while True:
            try:
                answers.append(await client.answer(head=len(answers) < heads, within_s=within_s))
            except asyncio.IncompleteReadError as end:
                return Talk(answers, closed=True, rest=end.partial)
            except ConnectionError:
                return Talk(answers, closed=True)


async def reached(gateway: Gateway, origin: Origin) -> list[Seen]:
    """What the origin has seen so far; a request sent afterwards has arrived, so nothing earlier is on its way."""
    await once(gateway, get("/app/sentinel"))
    return [seen for seen in origin.seen if "/app/sentinel" not in seen.request_line]


async def refused(gateway: Gateway, origin: Origin, data: bytes, *, heads: int = 0) -> Answer:
    """The one answer to a request that must not be understood: closes, and neither it nor what follows is forwarded.

    A second request is put behind it, at once and again in a segment of its own, and is never taken for one.
    """
    together = await talk(gateway, data + SMUGGLED, heads=heads)
    apart = await talk(gateway, data, SMUGGLED, gap_s=0.01, heads=heads)
    for told in (together, apart):
        assert len(told.answers) == 1, told
        assert told.rest == b"", told
        assert told.answers[0].get("Connection") == "close"
        assert told.answers[0].whole
    # What stands in one segment behind a request that ends its connection is a fault that the parser tells first.
    assert together.statuses[0] in (apart.statuses[0], 400)
    assert [seen.request_line for seen in await reached(gateway, origin)] == []
    return apart.answers[0]


async def forwarded(gateway: Gateway, origin: Origin, data: bytes, *, head: bool = False) -> tuple[Answer, Seen]:
    """The answer to a request that is passed on, and the one request that the origin saw."""
    answer = await once(gateway, data, head=head)
    (seen,) = await reached(gateway, origin)
    return answer, seen


def request(line: bytes, *fields: bytes, body: bytes = b"", host: bytes = HOST) -> bytes:
    """Raw: the request line and fields as they are given, each ended by CRLF."""
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body
