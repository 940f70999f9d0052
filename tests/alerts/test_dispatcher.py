"""What has fired is sent at least once, by one gateway at a time, and a channel that is down delays only itself."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aiohttp import ClientSession

from proxy.alerts.answers import DELIVERED, Answer, Verdict
from proxy.alerts.channels.webhook import Webhook
from proxy.alerts.dispatcher import Channel, Dispatcher, Pace
from proxy.core.clock import SystemClock
from proxy.core.delivery import Delivery
from proxy.ledger.database import Database, connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import Fault, LedgerAway
from tests.alerts.receivers import Notes, receiver, running, until
from tests.ledger.samples import AFiring, a_firing

CLOCK = SystemClock()
QUICK = Pace(poll_s=0.05, oldest_s=0.05, attempt_s=2.0, lease_ms=400)


def firings(count: int, *channels: str) -> list[AFiring]:
    posts = tuple((channel, "") for channel in channels)
    return [
        a_firing(f"alert-{n}", threshold=n, payload=json.dumps({"id": f"alert-{n}"}), posts=posts) for n in range(count)
    ]


def dispatcher(ledger: Database, channels: Sequence[Channel], notes: Notes, pace: Pace = QUICK) -> Dispatcher:
    return Dispatcher(Deliveries(ledger), channels, CLOCK, notes, passing=LedgerAway, pace=pace)


@dataclass
class Hand:
    """A channel in the test's own hand."""

    name: str = "hand"
    heard: list[Delivery] = field(default_factory=list)
    answers: list[Answer | Exception] = field(default_factory=lambda: [DELIVERED])
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    async def send(self, delivery: Delivery) -> Answer:
        self.heard.append(delivery)
        await self.go_on.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_channel_that_is_down_delays_only_itself(ledger: Database, session: ClientSession) -> None:
    """And hears of everything once it is back, with the ids of the first attempts."""
    notes = Notes()
    async with receiver() as up, receiver() as down:
        await down.stop()
        channels = [Webhook(name, one.url, "s", session, CLOCK) for name, one in (("up", up), ("down", down))]
        sender = dispatcher(ledger, channels, notes)
        async with running(sender):
            await Deliveries(ledger).fire(firings(20, "up", "down"), CLOCK.now_ms())
            sender.wake()
            await until(lambda: len(up.heard) == 20)
            await until(lambda: any(channel == "down" for channel, _, _ in notes.answers))
            assert down.heard == []
            assert {answer.verdict for name, answer, _ in notes.answers if name == "up"} == {Verdict.DELIVERED}
            await until(lambda: notes.oldest[-1].keys() == {"down"})
            await down.start()
            await until(lambda: len(down.heard) >= 20)
            await until(lambda: notes.oldest[-1] == {})
    for one in (up, down):
        ids = sorted(heard.headers["Idempotency-Key"] for heard in one.heard)
        assert ids == sorted(f"alert-{n}" for n in range(20))


async def test_what_fired_before_a_crash_is_sent_after_it(ledger: Database, url: str) -> None:
    """The process died between firing and sending: another finds it without a word."""
    await Deliveries(ledger).fire(firings(3, "hand"), CLOCK.now_ms())
    hand, other = Hand(), connect(url)
    async with running(dispatcher(other, [hand], Notes())):
        await until(lambda: len(hand.heard) == 3)
    await other.close()


async def test_what_a_gateway_took_and_did_not_send_another_sends(ledger: Database) -> None:
    """Not before its lease has ended; and it is known as the second attempt."""
    await Deliveries(ledger).fire(firings(1, "hand"), CLOCK.now_ms())
    assert await Deliveries(ledger).due("hand", CLOCK.now_ms(), 9, 300)
    hand, notes = Hand(), Notes()
    async with running(dispatcher(ledger, [hand], notes)):
        await until(lambda: hand.heard)
    assert [delivery.attempts for delivery in hand.heard] == [2]
    assert notes.answers[0][2] >= 0.3


async def test_two_gateways_send_each_once(ledger: Database, url: str) -> None:
    other = connect(url)
    hands, notes = (Hand(), Hand()), Notes()
    await Deliveries(ledger).fire(firings(60, "hand"), CLOCK.now_ms())
    pairs = zip((ledger, other), hands, strict=True)
    async with running(*(dispatcher(database, [hand], notes) for database, hand in pairs)):
        await until(lambda: notes.oldest and notes.oldest[-1] == {})
    heard = [delivery.id for hand in hands for delivery in hand.heard]
    assert sorted(heard) == sorted(f"alert-{n}" for n in range(60))
    await other.close()


async def test_what_is_refused_is_not_repeated_and_what_may_pass_is(ledger: Database) -> None:
    """With the id of the first attempt each time."""
    hand, notes = Hand(answers=[Answer(Verdict.LATER, "HTTP 503"), Answer(Verdict.NEVER, "HTTP 404")]), Notes()
    await Deliveries(ledger).fire(firings(1, "hand"), CLOCK.now_ms())
    async with running(dispatcher(ledger, [hand], notes)):
        await until(lambda: len(hand.heard) == 2)
        await until(lambda: notes.oldest and notes.oldest[-1] == {})
    assert [(delivery.id, delivery.attempts) for delivery in hand.heard] == [("alert-0", 1), ("alert-0", 2)]
    assert [answer.error for _, answer, _ in notes.answers] == ["HTTP 503", "HTTP 404"]


async def test_a_channel_that_breaks_is_reported_and_tried_again(ledger: Database) -> None:
    """A surprise of some library ends neither its own task nor another's."""
    reports: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["message"]))
    hand, other = Hand(answers=[KeyError("surprise"), DELIVERED]), Hand("other")
    await Deliveries(ledger).fire(firings(1, "hand", "other"), CLOCK.now_ms())
    async with running(dispatcher(ledger, [hand, other], Notes())):
        await until(lambda: len(hand.heard) == 2)
        await until(lambda: len(other.heard) == 1)
    assert reports == ["the channel hand failed"]


async def test_another_policys_channels_take_over(ledger: Database) -> None:
    """After the attempt under way; what was for a channel that is gone stays for when it comes back."""
    before, after, queue = Hand("before"), Hand("after"), Deliveries(ledger)
    before.go_on.clear()
    sender = dispatcher(ledger, [before], Notes())
    async with running(sender):
        await queue.fire(firings(1, "before", "after"), CLOCK.now_ms())
        await until(lambda: before.heard)
        sender.use([after])
        before.go_on.set()
        await until(lambda: after.heard)
        await queue.fire([a_firing("later", threshold=99, posts=(("before", ""), ("after", "")))], CLOCK.now_ms())
        sender.wake()
        await until(lambda: len(after.heard) == 2)
        assert (await queue.oldest()).keys() <= {"before", "after"}
        sender.use([])
        sender.use([before])
        await until(lambda: len(before.heard) == 2)
    assert (
        [delivery.id for delivery in before.heard] == [delivery.id for delivery in after.heard] == ["alert-0", "later"]
    )


async def test_an_attempt_that_hangs_is_given_up(ledger: Database) -> None:
    hand, notes = Hand(), Notes()
    hand.go_on.clear()
    await Deliveries(ledger).fire(firings(1, "hand"), CLOCK.now_ms())
    async with running(dispatcher(ledger, [hand], notes, replace(QUICK, attempt_s=0.05))):
        await until(lambda: notes.answers)
    assert notes.answers[0][1] == Answer(Verdict.LATER, "timeout")


async def test_stopping_waits_for_the_attempt_under_way(ledger: Database) -> None:
    hand, notes = Hand(), Notes()
    hand.go_on.clear()
    await Deliveries(ledger).fire(firings(1, "hand"), CLOCK.now_ms())
    sender = dispatcher(ledger, [hand], notes)
    task = asyncio.create_task(sender.run())
    await until(lambda: hand.heard)
    sender.stop()
    hand.go_on.set()
    await asyncio.wait_for(task, 5)
    assert await Deliveries(ledger).oldest() == {}


class Away:
    """A queue whose database is away for a while."""

    def __init__(self, queue: Deliveries, failures: int) -> None:
        self._queue = queue
        self._failures = failures

    def _fail(self) -> None:
        if self._failures > 0:
            self._failures -= 1
            raise LedgerAway(Fault.UNREACHABLE)

    async def due(self, channel: str, now_ms: int, count: int, lease_ms: int) -> Sequence[Delivery]:
        self._fail()
        return await self._queue.due(channel, now_ms, count, lease_ms)

    async def delivered(self, delivery: Delivery, now_ms: int) -> None:
        self._fail()
        await self._queue.delivered(delivery, now_ms)

    async def failed(self, delivery: Delivery, next_ms: int | None, error: str) -> None:
        await self._queue.failed(delivery, next_ms, error)

    async def oldest(self) -> dict[str, int]:
        self._fail()
        return await self._queue.oldest()


async def test_a_database_that_is_away_is_waited_for(ledger: Database) -> None:
    """Sent and not written down is sent again, with the same id: at least once, and receivers know."""
    hand, notes = Hand(), Notes()
    await Deliveries(ledger).fire(firings(1, "hand"), CLOCK.now_ms())
    sender = Dispatcher(Away(Deliveries(ledger), 3), [hand], CLOCK, notes, passing=LedgerAway, pace=QUICK)
    async with running(sender):
        await until(lambda: notes.oldest and notes.oldest[-1] == {})
    assert len(hand.heard) in (1, 2)
    assert len(notes.aways) == 3
    assert {delivery.id for delivery in hand.heard} == {"alert-0"}
