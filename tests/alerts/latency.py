"""How long it takes from a settlement in the outbox to a receiver that is up: ``python -m tests.alerts.latency``.

Everything is real and paced as in production: Redis, mover, ledger, lookout, dispatcher, a web server. Each call
crosses two levels of another tenant, at so many a second.
"""

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from aiohttp import ClientSession
from redis.asyncio import Redis

from proxy.alerts.channels.webhook import Webhook
from proxy.alerts.dispatcher import Dispatcher
from proxy.alerts.lookout import Lookout
from proxy.alerts.watch import Watch
from proxy.core.clock import SystemClock
from proxy.core.usage import Charge
from proxy.ledger.book import Book
from proxy.ledger.database import connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.errors import LedgerAway
from proxy.ledger.migrate import migrate
from proxy.ledger.mover import Mover, Pace
from proxy.ledger.outbox import STREAM, Outbox
from proxy.ledger.writer import Written
from tests.alerts.receivers import Notes, receiver, running, until
from tests.alerts.samples import DOLLAR, TENANT, alerts
from tests.ledger import movers
from tests.ledger.postgres import postgres
from tests.ledger.samples import a_record, an_entry
from tests.store.servers import BINARIES, server

CLOCK = SystemClock()


class Telling(movers.Notes):
    """What the mover's watch tells the lookout."""

    def __init__(self, lookout: Lookout) -> None:
        super().__init__()
        self._lookout = lookout

    def moved(self, written: Written, seconds: float) -> None:
        super().moved(written, seconds)
        self._lookout.spent(written.spent)


async def seconds_to_be_heard(redis_url: str, ledger_url: str, count: int, a_second: float) -> list[float]:
    """Of ``count`` calls, each of which fires two alerts; sorted."""
    await migrate(ledger_url)
    database = connect(ledger_url)
    posted: dict[str, float] = {}
    async with (
        Redis.from_url(redis_url, protocol=2) as client,
        ClientSession() as session,
        receiver() as ops,
    ):
        channel = Webhook("ops", ops.url, "hush", session, CLOCK)
        sender = Dispatcher(Deliveries(database), [channel], CLOCK, Notes(), passing=LedgerAway)
        watch, aways = Watch([TENANT], alerts()), list[str]()
        lookout = Lookout(
            watch,
            Book(database),
            CLOCK,
            passing=LedgerAway,
            fired=lambda _: sender.wake(),
            away=aways.append,
        )
        mover = Mover(Outbox(client, "latency"), database, CLOCK, Telling(lookout), Pace(block_ms=250))
        async with running(lookout, sender, mover):
            for n in range(count):
                charge = Charge("tenant", f"tenant:t{n}", "2026-11-18", f"k{n}", CLOCK.now_ms() + 10**7)
                record = a_record(f"r{n}", cost_nanousd=195 * DOLLAR, charges=(charge,))
                entry: dict[Any, Any] = an_entry(replace(record, company_id=f"t{n}"))
                posted[charge.scope] = time.monotonic()
                await client.xadd(STREAM, entry)
                await asyncio.sleep(1 / a_second)
            await until(lambda: len(ops.heard) >= 2 * count, 60)
    await database.close()
    assert aways == []
    return sorted(heard.at - posted[json.loads(heard.body)["scope"]] for heard in ops.heard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0)
    asked = parser.parse_args()
    with ExitStack() as stack:
        redis = stack.enter_context(server(next(iter(BINARIES.values()))))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {"sqlite": f"sqlite:///{folder}/ledger.db", "postgresql": stack.enter_context(postgres()).url()}
        for name, url in urls.items():
            found = asyncio.run(seconds_to_be_heard(redis.url, url, asked.count, asked.rate))
            p50, p99 = (found[len(found) * n // 100] for n in (50, 99))
            print(f"{name}: {len(found)} alerts, p50 {p50:.3f} s, p99 {p99:.3f} s, slowest {found[-1]:.3f} s")  # noqa: T201


if __name__ == "__main__":
    main()
