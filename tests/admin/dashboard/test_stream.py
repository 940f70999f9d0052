"""The events, as a browser reads them from a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.dashboard import observatory as observatory_module
from proxy.admin.dashboard import stream as module
from proxy.admin.dashboard.observatory import Observatory
from proxy.admin.dashboard.stream import MOST_LISTENERS, Heard, Stream, event
from proxy.admin.guard import Guard
from proxy.telemetry.metrics import REQUESTS
from tests.admin.dashboard.stands import Clerk, Clock, Parent, plain_policy
from tests.e2e.gateway import reached

TOKEN = "a-token-of-ops"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
POLICY = plain_policy()
Event = tuple[str, str, Any]  # name, id, data


@dataclass
class Stand:
    parent: Parent
    clock: Clock
    observatory: Observatory
    client: TestClient[Any, Any]

    def tick(self, served: int = 0) -> None:
        self.clock.ms += 2_000
        self.parent.metrics.inc(REQUESTS, "app", "none", "200", "forwarded", by=served)
        self.observatory.look()

    async def listen(self, last: str = "", status: int = 200) -> ClientResponse:
        headers = {**AUTHORIZED, **({"Last-Event-ID": last} if last else {})}
        answer = await self.client.get("/dashboard/events", headers=headers)
        assert answer.status == status
        return answer


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(observatory_module, "TICK_S", 3_600)  # the tests tick
    parent, clock = Parent(POLICY), Clock()
    observatory = Observatory(parent, Clerk(), clock, changes=True)
    app = web.Application()
    app.add_routes([web.get("/dashboard/events", Guard(TOKEN).reading(Stream(observatory).listen))])
    async with TestClient(TestServer(app)) as client, observatory.working():
        yield Stand(parent, clock, observatory, client)


async def one(answer: ClientResponse) -> Event:
    """The next event."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(10):
        while line := (await answer.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])


async def until_points(answer: ClientResponse) -> tuple[set[str], Event]:
    """The sections that came, and the event that ends them."""
    sections = set()
    while (found := await one(answer))[0] != "points":
        sections.add(found[0])
    return sections, found


async def test_who_comes_is_told_everything_and_then_what_is_new(stand: Stand) -> None:
    stand.tick(20)
    answer = await stand.listen()
    assert answer.content_type == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    sections, (_, first_id, points) = await until_points(answer)
    assert {"state", "routes", "upstreams", "refusals", "failures"} <= sections
    assert points["whole"]
    stand.tick(10)
    sections, (_, next_id, points) = await until_points(answer)
    if not points["points"]:  # the look that whoever comes first brings about
        sections, (_, next_id, points) = await until_points(answer)
    assert (points["whole"], len(points["points"])) == (False, 1)
    assert dict(zip(points["fields"], points["points"][0], strict=True))["served"] == 5.0
    assert first_id != next_id
    assert "failures" not in sections, "what has not changed is not told again"
    answer.close()


async def test_who_comes_again_gets_what_was_missed(stand: Stand) -> None:
    for _ in range(5):
        stand.tick(2)
    answer = await stand.listen()
    _, (_, last, points) = await until_points(answer)
    answer.close()
    assert len(points["points"]) == stand.observatory.history.number
    stand.tick(4)
    stand.tick(6)
    answer = await stand.listen(last)
    _, (_, _, points) = await until_points(answer)
    assert not points["whole"]
    assert [row[points["fields"].index("served")] for row in points["points"]] == [2.0, 3.0]
    answer.close()


@pytest.mark.parametrize("last", ["other-3", "x", "-", "²-1", "\N{BULLET}", "99999999999999999999999"])
async def test_an_id_of_another_run_gets_everything(stand: Stand, last: str) -> None:
    """The gateway was restarted meanwhile."""
    stand.tick(2)
    answer = await stand.listen(last.encode().decode("latin-1"))
    _, (_, _, points) = await until_points(answer)
    assert points["whole"]
    assert points["points"]
    answer.close()


async def test_nobody_listens_without_the_token(stand: Stand) -> None:
    assert (await stand.client.get("/dashboard/events")).status == 401
    assert (await stand.client.get("/dashboard/events?token=" + TOKEN)).status == 401
    assert stand.observatory.watching == 0


async def test_listeners_are_bounded_and_leave_room_when_they_go(stand: Stand) -> None:
    listening = [await stand.listen() for _ in range(MOST_LISTENERS)]
    refused = await stand.listen(status=503)
    assert refused.headers["Retry-After"]
    assert "already" in (await refused.json())["error"]
    listening.pop().close()
    stand.tick()
    stand.tick()  # a listener that has gone is noticed when it is told something

    async def gone() -> None:
        while stand.observatory.watching == MOST_LISTENERS:
            stand.tick()
            await asyncio.sleep(0.01)

    await asyncio.wait_for(gone(), 10)
    (await stand.listen()).close()
    for answer in listening:
        answer.close()


async def test_at_the_drain_everybody_is_told_and_the_stream_ends() -> None:
    """The listener closes at once, and does not wait for browsers."""
    parent = Parent(POLICY)
    observatory = Observatory(parent, Clerk(), Clock(), changes=True)
    app = web.Application()
    app.add_routes([web.get("/dashboard/events", Stream(observatory).listen)])
    server = TestServer(app)
    await server.start_server()
    async with ClientSession() as session:
        async with observatory.working():
            answer = await session.get(server.make_url("/dashboard/events"))
            await until_points(answer)
        async with asyncio.timeout(5):
            rest = (await answer.content.read()).decode()
        assert rest.endswith("event: bye\ndata: {}\n\n")
        async with asyncio.timeout(5):
            await server.close()
    assert observatory.watching == 0


async def test_one_who_reads_nothing_is_left_behind(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up nobody, and its place is free again once it was waited for."""
    monkeypatch.setattr(module, "SEND_S", 0.05)
    assert stand.client.server is not None
    host, port = stand.client.server.host, stand.client.server.port
    _, writer = await asyncio.open_connection(host, port, limit=1)
    writer.write(f"GET /dashboard/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    await reached(lambda: stand.observatory.watching == 1)
    quick = await stand.listen()
    number = 0
    while stand.observatory.watching == 2:
        number += 1
        stand.parent.problems = (f"{number}" + "x" * 200_000,)  # more than sockets hold
        stand.tick()
        await until_points(quick)
        assert number < 500
    assert stand.observatory.watching == 1
    quick.close()
    writer.close()


def test_an_event_is_lines_and_ends_with_an_empty_one() -> None:
    assert event("state", b'{"a":1}') == b'event: state\ndata: {"a":1}\n\n'
    assert event("points", b"[]", "r-1") == b"id: r-1\nevent: points\ndata: []\n\n"


def test_what_was_heard_is_not_told_again() -> None:
    observatory = Observatory(Parent(POLICY), Clerk(), Clock(), changes=True)
    observatory.sections = {"state": b'{"phase":"serving"}'}
    heard = Heard("run")
    assert b"event: state" in heard.news(observatory)
    assert b"event: state" not in heard.news(observatory)
    observatory.sections["state"] = b'{"phase":"draining"}'
    assert b"draining" in heard.news(observatory)
