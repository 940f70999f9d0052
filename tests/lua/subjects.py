"""What can be held to the truths: the script in a real Redis, its twin, and a limiter that is broken on purpose."""

from collections.abc import Sequence

import redis

from proxy.metering.reference import Reference
from proxy.metering.takes import Answer, Ask, Outcome, Reply, ReplyFlag, Verdict, pack_whole, unpack_reply
from proxy.store.scripts import load

MEMORY_MS = 60_000


class Scripted:
    """The script, run by a synchronous client, at a clock of the test's."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.script = load("admit")

    def admit(self, sender: bytes, sequence: int, asks: Sequence[Ask], clock_ms: int) -> Reply:
        meters, packed = pack_whole(sequence, asks, now_ms=clock_ms, memory_ms=MEMORY_MS)
        keys = [b"{m0}clock", b"{m0}s:" + sender, b"{m0}gone", *meters]
        reply = self.client.eval(self.script.source, len(keys), *keys, packed)
        return unpack_reply(reply, [len(ask.takes) for ask in asks])


class Twin(Reference):
    """The reference as it is."""


class TwoBuckets:
    """The weighted two-bucket counter that many gateways use: it lets through up to twice the capacity."""

    def __init__(self) -> None:
        self.counts: dict[tuple[bytes, int], int] = {}

    def admit(self, _sender: bytes, _sequence: int, asks: Sequence[Ask], clock_ms: int) -> Reply:
        answers = []
        for ask in asks:
            (take,) = ask.takes
            bucket, into = divmod(clock_ms, take.a)
            before = self.counts.get((take.key, bucket - 1), 0)
            now = self.counts.get((take.key, bucket), 0)
            fits = before * (take.a - into) // take.a + now + take.amount <= take.capacity
            if fits:
                self.counts[take.key, bucket] = now + take.amount
            outcome = Outcome.ADMITTED if fits else Outcome.REFUSED
            answers.append(Answer(outcome, (Verdict.FITS if fits else Verdict.NOT_NOW, 0, 1)))
        return Reply(ReplyFlag(0), clock_ms, tuple(answers))
