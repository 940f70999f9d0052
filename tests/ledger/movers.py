"""A mover in a process of its own, to be killed; and one that writes down what it is told."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from proxy.core.clock import SystemClock
from proxy.ledger.database import connect
from proxy.ledger.mover import Mover, Pace
from proxy.ledger.outbox import Outbox
from proxy.ledger.writer import Written

QUICK = Pace(batch=20, block_ms=20, idle_ms=200, look_ms=50, lost_ms=2_000, first_pause_s=0.01, last_pause_s=0.1)


@dataclass
class Notes:
    """A watch that remembers."""

    batches: list[Written] = field(default_factory=list)
    waits: list[tuple[int, int]] = field(default_factory=list)
    aways: list[tuple[str, str]] = field(default_factory=list)
    letters: list[tuple[str, str]] = field(default_factory=list)

    def moved(self, written: Written, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(written)

    def waiting(self, depth: int, lag_ms: int) -> None:
        self.waits.append((depth, lag_ms))

    def away(self, part: str, reason: str) -> None:
        self.aways.append((part, reason))

    def dead(self, letter: str, reason: str) -> None:
        self.letters.append((letter, reason))


def start(redis_url: str, ledger_url: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.ledger.movers", redis_url, ledger_url]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


async def main(redis_url: str, ledger_url: str) -> None:
    database = connect(ledger_url)
    async with Redis.from_url(redis_url, protocol=2) as client:
        await Mover(Outbox(client, f"mover-{os.getpid()}"), database, SystemClock(), Notes(), QUICK).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
