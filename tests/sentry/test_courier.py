"""What waits gets there: once, in spite of outages, and what is refused for good holds nobody up."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from proxy.policy.sentry import Sentry
from proxy.sentry import courier
from proxy.sentry.courier import Courier, Project
from proxy.sentry.envelope import envelope
from proxy.sentry.waiting import Kind, spool_in
from proxy.spooling import patience
from proxy.spooling.rounds import AT_ONCE
from proxy.spooling.spool import Spool
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.gateway import reached
from tests.sentry.sentry_receiver import PROJECT, PUBLIC_KEY, Receiver
from tests.spooling.post_receiver import Answer


@dataclass
class Stand:
    receiver: Receiver
    spool: Spool[Kind]
    courier: Courier
    files: SheetFiles

    async def write(self, kind: Kind, *ids: str) -> None:
        await asyncio.to_thread(self.spool.write, kind, [envelope("event", {"event_id": one}) for one in ids])

    async def get_through(self, one: str) -> None:
        await self.write(Kind.ERROR, one)
        await reached(lambda: one in self.ids())

    async def waiting(self) -> list[Kind]:
        return [one.kind for one in await asyncio.to_thread(self.spool.waiting)]

    def ids(self) -> list[str]:
        return [one["event_id"] for one in self.receiver.of("event")]

    def count(self, family: str, result: str) -> float:
        return dict(SheetReader(self.files).series()).get((f"sluicegate_sentry_{family}", (result,)), 0)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Receiver.receiving() as receiver:
        files = SheetFiles.make()
        courier = Courier(str(tmp_path), Metrics(Sheet(files)))
        courier.follow(Sentry(receiver.dsn, "test", "1", 0.0, frozenset()))
        yield Stand(receiver, spool_in(str(tmp_path)), courier, files)


async def test_all_of_it_gets_there_and_is_counted(stand: Stand) -> None:
    await stand.write(Kind.TRACE, *(f"t{n}" for n in range(20)))
    await stand.write(Kind.ERROR, "e")
    async with stand.courier.working():
        await reached(lambda: (stand.count("events", "sent"), stand.count("traces", "sent")) == (1, 20))
    assert sorted(stand.ids()) == sorted(["e", *(f"t{n}" for n in range(20))])
    assert await stand.waiting() == []
    assert set(stand.receiver.paths) == {f"/api/{PROJECT}/envelope/"}
    assert f"sentry_key={PUBLIC_KEY}" in stand.receiver.auth[0]


async def test_an_error_waits_for_nothing_else(stand: Stand) -> None:
    """Found in review: behind 200 browsers' envelopes at 100 ms each it waited for 28 s."""
    release = threading.Event()

    def held_unless_error(body: bytes) -> None:
        assert b'"e"' in body or release.wait(10)

    stand.receiver.decides = held_unless_error
    for number in range(30):
        await stand.write(Kind.BROWSER, f"b{number}")
    try:
        async with stand.courier.working():
            await reached(lambda: len(stand.receiver.paths) == AT_ONCE)
            await stand.write(Kind.ERROR, "e")
            await reached(lambda: stand.ids() == ["e"])
            release.set()
            await reached(lambda: len(stand.ids()) == 31)
    finally:
        release.set()


async def test_one_that_always_fails_holds_nobody_up(stand: Stand) -> None:
    """Found in review: any visitor could stop all other browsers' envelopes, and delay errors by 11 s."""
    stand.receiver.decides = lambda body: Answer(500) if b"poison" in body else None
    await stand.write(Kind.BROWSER, "poison")
    for one in "abc":
        await stand.write(Kind.BROWSER, one)
    async with stand.courier.working():
        await reached(lambda: sorted(stand.ids()) == ["a", "b", "c"])
        await stand.write(Kind.BROWSER, "d")
        await reached(lambda: len(stand.ids()) == 4)
    assert await stand.waiting() == [Kind.BROWSER]


async def test_one_that_fails_again_and_again_while_others_get_through_is_given_up_and_counted(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST_STRIKES", 2)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    stand.receiver.decides = lambda body: Answer(500) if b"poison" in body else None
    await stand.write(Kind.TRACE, "a", "poison", "b")
    async with stand.courier.working():
        await reached(lambda: sorted(stand.ids()) == ["a", "b"])
        async with asyncio.timeout(10):
            others = 0
            while not stand.count("traces", "dropped"):
                others += 1
                await stand.get_through(f"e{others}")
    assert await stand.waiting() == []
    assert (stand.count("traces", "sent"), stand.count("traces", "dropped")) == (2, 1)


async def test_of_those_sent_together_only_what_failed_is_sent_again(stand: Stand) -> None:
    """Found in review: of eight traces the first of which was answered 503 the other seven were sent twice."""
    stand.receiver.answers = [Answer(503), Answer(200)]
    await stand.write(Kind.TRACE, *(f"t{n}" for n in range(8)))
    async with stand.courier.working():
        await reached(lambda: stand.count("traces", "sent") == 8)
    assert sorted(stand.ids()) == [f"t{n}" for n in range(8)]


async def test_another_project_does_not_wait_as_long_as_the_one_before_asked(stand: Stand) -> None:
    """Found in review: nothing went to a new project before the old one's Retry-After was over."""
    stand.receiver.answers = [Answer(429, {"Retry-After": "3600"})]
    await stand.write(Kind.ERROR, "a")
    with Receiver.receiving() as other:
        async with stand.courier.working():
            await reached(lambda: len(stand.receiver.paths) == 1)
            stand.courier.follow(Sentry(stand.receiver.dsn, "renamed", "1", 0.0, frozenset()))
            await asyncio.sleep(0.6)  # the same project: it goes on waiting
            assert len(stand.receiver.paths) == 1
            stand.courier.follow(Sentry(other.dsn, "test", "1", 0.0, frozenset()))
            await reached(lambda: [one["event_id"] for one in other.of("event")] == ["a"])
    assert stand.ids() == []


async def test_over_an_outage_nothing_is_lost_nor_sent_twice(stand: Stand) -> None:
    async with stand.courier.working():
        stand.receiver.stop()
        await stand.write(Kind.ERROR, "a")
        await asyncio.sleep(0.6)  # it tries in vain
        await stand.write(Kind.ERROR, "b")
        stand.receiver.start()
        await reached(lambda: stand.ids() == ["a", "b"])
        await reached(lambda: stand.count("events", "sent") == 2)
    assert await stand.waiting() == []


@pytest.mark.parametrize("status", [500, 502, 503, 401, 403, 404])
async def test_what_may_be_mended_is_tried_again(stand: Stand, status: int) -> None:
    stand.receiver.answers = [Answer(status), Answer(status), Answer(200)]
    await stand.write(Kind.ERROR, "a")
    async with stand.courier.working():
        await reached(lambda: stand.ids() == ["a"])


async def test_what_is_refused_for_good_is_counted_and_holds_nobody_up(stand: Stand) -> None:
    stand.receiver.answers = [Answer(400), Answer(413), Answer(200)]
    for one in "abc":
        await stand.write(Kind.ERROR, one)
    async with stand.courier.working():
        await reached(lambda: len(stand.ids()) == 1)  # whichever came third: they go beside one another
        await reached(lambda: stand.count("events", "refused") == 2)
    assert await stand.waiting() == []


async def test_sentry_may_ask_to_wait_with_one_kind_alone(stand: Stand) -> None:
    stand.receiver.answers = [Answer(429, {"X-Sentry-Rate-Limits": "3600:transaction;span:organization"}), Answer(200)]
    await stand.write(Kind.TRACE, "t")
    async with stand.courier.working():
        await reached(lambda: len(stand.receiver.paths) == 1)
        await stand.write(Kind.ERROR, "e")
        await reached(lambda: stand.ids() == ["e"])
    assert stand.ids() == ["e"]
    assert await stand.waiting() == [Kind.TRACE]


async def test_sentry_may_ask_to_wait_with_all(stand: Stand) -> None:
    stand.receiver.answers = [Answer(429, {"Retry-After": "1"}), Answer(200)]
    await stand.write(Kind.ERROR, "e")
    async with stand.courier.working():
        await reached(lambda: len(stand.receiver.paths) == 1)
        await stand.write(Kind.BROWSER, "b")
        await asyncio.sleep(0.6)
        assert len(stand.receiver.paths) == 1
        await reached(lambda: sorted(stand.ids()) == ["b", "e"])


async def test_too_much_of_it_loses_the_oldest_and_counts_them(stand: Stand, tmp_path: Path) -> None:
    stand.courier._spool._bounds = dict.fromkeys(Kind, (2, 10**6))
    for one in "abcd":
        await stand.write(Kind.ERROR, one)
    stand.receiver.answers = [Answer(429, {"Retry-After": "3600"})]
    async with stand.courier.working():
        await reached(lambda: stand.count("events", "dropped") == 2)
    stand.receiver.answers = [Answer(200)]
    stand.courier.follow(None)  # what it was asked to wait for is over
    stand.courier.follow(Sentry(stand.receiver.dsn, "test", "1", 0.0, frozenset()))
    async with stand.courier.working():
        await reached(lambda: sorted(stand.ids()) == ["c", "d"])


async def test_of_two_gateways_on_one_folder_one_sends(stand: Stand, tmp_path: Path) -> None:
    await stand.write(Kind.ERROR, "a")
    other = Courier(str(tmp_path), Metrics(Sheet(SheetFiles.make())))
    other.follow(Sentry(stand.receiver.dsn, "test", "1", 0.0, frozenset()))
    async with stand.courier.working():
        await reached(lambda: stand.ids() == ["a"])
        async with other.working():
            for one in "bcd":
                await stand.write(Kind.ERROR, one)
            await reached(lambda: len(stand.ids()) == 4)
            await reached(lambda: stand.count("events", "sent") == 4)
    assert sorted(stand.ids()) == ["a", "b", "c", "d"]


async def test_what_came_last_is_sent_before_the_end(stand: Stand) -> None:
    async with stand.courier.working():
        await stand.write(Kind.ERROR, "a")
    assert stand.ids() == ["a"]


async def test_what_is_under_way_at_the_end_is_waited_for_though_its_kind_pauses(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be sent again after the next start."""
    monkeypatch.setattr(courier, "TURN_S", 0.25)
    release = threading.Event()

    def decided(body: bytes) -> Answer:
        if b'"slow"' in body:
            assert release.wait(10)
            return Answer(200)
        return Answer(429, {"X-Sentry-Rate-Limits": "3600:transaction"})

    stand.receiver.decides = decided
    for one in ("slow", "limited"):
        await stand.write(Kind.TRACE, one)
    async with stand.courier.working():
        line = stand.courier._line
        assert line is not None
        await reached(lambda: len(stand.receiver.paths) == 2 and not line.patience.may(Kind.TRACE, monotonic()))
        await asyncio.sleep(2 * courier.TURN_S)  # no turn waits for it any more
        asyncio.get_running_loop().call_later(courier.TURN_S / 5, release.set)
    assert (stand.ids(), stand.count("traces", "sent"), len(await stand.waiting())) == (["slow"], 1, 1)


async def test_without_a_project_it_all_stays(stand: Stand) -> None:
    stand.courier.follow(None)
    await stand.write(Kind.ERROR, "a")
    async with stand.courier.working():
        await asyncio.sleep(0.3)
    assert await stand.waiting() == [Kind.ERROR]


def test_a_dsn_leads_to_its_project() -> None:
    project = Project.of("https://key@o1.ingest.example/base/7")
    assert project.url == "https://o1.ingest.example/base/api/7/envelope/"
