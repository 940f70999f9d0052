"""What waits to be sent: in order, once, and never without a bound."""

from dataclasses import replace

import pytest

from proxy.alerts.answers import DELIVERED, Answer, later, never
from proxy.alerts.dispatcher import Dispatcher, Pace
from proxy.alerts.tray import MOST_WAITING, Letter, Tray
from proxy.core.clock import SystemClock
from proxy.core.delivery import Delivery
from tests.alerts.receivers import Notes, running, until

LEASE_MS = 60_000
FIRST = Letter("a-1", "ops", "", "{}", 0, 1_000, incident="inc-a")
END = replace(FIRST, id="a-2", created_ms=2_000)
OTHER = replace(FIRST, id="b-1", incident="inc-b", created_ms=3_000)


async def ids(tray: Tray, now_ms: int = 10_000, channel: str = "ops", count: int = 8) -> list[str]:
    return [letter.id for letter in await tray.due(channel, now_ms, count, LEASE_MS)]


async def test_an_incidents_end_waits_for_its_beginning() -> None:
    """And holds up no other incident."""
    tray = Tray()
    tray.put([FIRST, END, OTHER])
    assert await ids(tray) == ["a-1", "b-1"]
    assert await ids(tray) == []
    await tray.delivered(FIRST, 10_000)
    assert await ids(tray) == ["a-2"]


async def test_each_recipient_has_an_order_of_its_own() -> None:
    ann, bob = (replace(FIRST, channel="mail", recipient=name) for name in ("ann@a.test", "bob@a.test"))
    tray = Tray()
    tray.put([ann, bob, replace(ann, id="a-2"), replace(bob, id="a-2")])
    await tray.due("mail", 0, 8, LEASE_MS)
    await tray.delivered(ann, 0)
    assert [(letter.id, letter.recipient) for letter in await tray.due("mail", 0, 8, LEASE_MS)] == [
        ("a-2", "ann@a.test")
    ]


async def test_what_was_taken_comes_back_when_the_lease_ends_and_what_failed_when_it_is_due() -> None:
    """Attempts are counted over all of it."""
    tray = Tray([FIRST])
    (taken,) = await tray.due("ops", 0, 8, LEASE_MS)
    assert await ids(tray, LEASE_MS - 1) == []
    (again,) = await tray.due("ops", LEASE_MS, 8, LEASE_MS)
    assert (taken.attempts, again.attempts) == (1, 2)
    await tray.failed(again, 70_000, "HTTP 503")
    assert await ids(tray, 69_999) == []
    (third,) = await tray.due("ops", 70_000, 8, LEASE_MS)
    assert third.attempts == 3


async def test_what_is_refused_for_good_makes_room_for_what_follows() -> None:
    tray = Tray([FIRST, END])
    await tray.due("ops", 0, 8, LEASE_MS)
    await tray.failed(FIRST, None, "HTTP 400")
    assert await ids(tray, 0) == ["a-2"]


async def test_the_oldest_go_where_there_are_too_many() -> None:
    tray = Tray()
    dropped = tray.put(replace(FIRST, id=f"x-{n}", incident=f"inc-{n}") for n in range(MOST_WAITING + 5))
    assert [letter.id for letter in dropped] == [f"x-{n}" for n in range(5)]
    assert (len(tray.letters), tray.letters[0].id) == (MOST_WAITING, "x-5")


async def test_channels_that_are_gone_take_their_letters_along() -> None:
    """And the oldest of each that is left is known."""
    tray = Tray([FIRST, OTHER, replace(FIRST, channel="gone")])
    assert await tray.oldest() == {"ops": 1_000, "gone": 1_000}
    tray.keep_only({"ops"})
    assert await tray.oldest() == {"ops": 1_000}


async def test_every_change_that_a_restart_needs_is_told() -> None:
    """An attempt that failed is none: it is made again anyway."""
    changes: list[int] = []
    tray = Tray((), lambda: changes.append(len(tray.letters)))
    tray.put([FIRST, END])
    await tray.due("ops", 0, 8, LEASE_MS)
    await tray.failed(FIRST, 5_000, "timeout")
    await tray.delivered(FIRST, 6_000)
    await tray.delivered(FIRST, 6_000)
    tray.keep_only({"ops"})
    assert changes == [2, 1]


class Hand:
    """A channel that answers as it is told, and remembers."""

    def __init__(self, name: str, *answers: Answer) -> None:
        self.name = name
        self.answers = list(answers)
        self.taken: list[str] = []

    async def send(self, delivery: Delivery) -> Answer:
        answer = self.answers.pop(0) if self.answers else DELIVERED
        if answer is DELIVERED:
            self.taken.append(delivery.id)
        return answer


@pytest.mark.parametrize("first", [later("HTTP 503"), never("HTTP 400")])
async def test_a_dispatcher_sends_from_it_as_from_the_ledgers(first: Answer) -> None:
    """A channel that fails holds up itself alone, and what it refuses for good is not sent again."""
    tray = Tray()
    slow, quick = Hand("slow", first), Hand("quick")
    sender = Dispatcher(tray, [slow, quick], SystemClock(), Notes(), passing=OSError, pace=Pace(poll_s=0.05))
    async with running(sender):
        now_ms = SystemClock().now_ms()
        for letter in (FIRST, END):
            tray.put([replace(letter, channel=name, created_ms=now_ms) for name in ("slow", "quick")])
        sender.wake()
        await until(lambda: not tray.letters)
    assert quick.taken == ["a-1", "a-2"]
    assert slow.taken == (["a-1", "a-2"] if first.error == "HTTP 503" else ["a-2"])
