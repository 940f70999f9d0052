"""Whether a stored answer ever reaches anybody but those that it was made for. Prints figures; exits with 1 if one did.

    python -m tests.chaos.cache_isolation --seconds 120 --seed 7
    python -m tests.chaos.cache_isolation --prove           against gateways whose keys are broken on purpose

Callers with hostile names (``strangers.py``) ask a gateway with small memories for the same targets at the same time,
over connections that they share, several at once for each fetch; the origin is slow by chance. Meanwhile tenants write,
one tenant's answers are purged, workers are killed and started again, and the rest is read from Redis by whoever needs
it. Every byte of every answer is compared with what the caller's own would be.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final

import uvloop

from proxy.cache.digests import of_tenant, purge_of_all, purge_of_tag
from proxy.cache.purgelog import LOG
from proxy.cache.purges import packed
from proxy.store.scripts import load
from tests.chaos import strangers
from tests.chaos.strangers import KEY, NAMES, OTHER_ISSUER, Caller, Knows, callers, flaw, target
from tests.e2e.gateway import ROOT, SECRET, Answer, Client, Gateway, get, reached, running
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.store.servers import BINARIES, Server, server

WORKERS: Final = 3
CONNECTIONS: Final = 32
BEGUN_S: Final = 60.0  # who is with a worker that dies again and again waits for the next, which begins after a pause
CALLERS: Final = 24
SCOPES: Final = ("tenant", "user", "public")
BINARY: Final = BINARIES[min(BINARIES)]

TENANTS: Final = json.dumps([name for name in NAMES if name != strangers.ANY])
IDENTITY: Final = f"""
keys:
  acting: {{sha256: "{sha256(KEY.encode()).hexdigest()}", may_act_for: {TENANTS}}}
"""
# Memories that hold a few dozen answers, and nothing above 64 KiB: the rest is in Redis.
ROUTES: Final = """
cache: {memory: 1MiB, largest_in_memory: 64KiB, tenant_share: 50%, timeout: 2s}
defaults: {limits: []}
routes:
  - {name: tenant, match: {path: "/tenant/**"}, upstream: app, cache: {scope: tenant}}
  - {name: user, match: {path: "/user/**"}, upstream: app, cache: {scope: user}}
  - {name: public, match: {path: "/public/**"}, upstream: app, cache: {scope: public}}
  - {name: optional, match: {path: "/optional/**"}, upstream: app, auth: optional, cache: {scope: tenant}}
"""


@dataclass
class Stand:
    """``clients``: connections that wait for their next request."""

    origin: Origin
    redis: Server
    gateway: Gateway
    knows: Knows
    clients: asyncio.LifoQueue[Client] = field(default_factory=asyncio.LifoQueue)


@dataclass
class Tally:
    statuses: Counter[int] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    lost: int = 0  # connections that went with a worker
    rounds: int = 0


class Anything(dict[str, object]):
    """Every path is answered by one script."""

    def __init__(self, script: object) -> None:
        super().__init__()
        self._script = script

    def get(self, _path: str, _default: object = None) -> object:
        return self._script


@contextlib.contextmanager
def standing(chance: random.Random, sabotage: str | None = None, slowest_s: float = 0.01) -> Iterator[Stand]:
    env = {}
    if sabotage is not None:
        broken = Path(__file__).parent / "sabotage"
        env = {"SLUICEGATE_SABOTAGE": sabotage, "PYTHONPATH": f"{broken}{os.pathsep}{ROOT}"}
    with running_origin() as origin, server(BINARY) as redis:
        knows = Knows(chance, slowest_s)
        origin.answers = Anything(knows)  # type: ignore[assignment]
        issuers = f', {{issuer: {OTHER_ISSUER}, secrets: ["{SECRET}"], tenants: any}}'
        told = f'meters: "{redis.url}", timeout: 5s'
        text = policy(origin.port, ROUTES, workers=WORKERS, redis=told, identity=IDENTITY, issuers=issuers)
        with running(text, env) as gateway:
            yield Stand(origin, redis, gateway, knows)


@contextlib.asynccontextmanager
async def connected(stand: Stand) -> AsyncIterator[None]:
    """Connections to share, from two addresses."""
    for number in range(CONNECTIONS):
        stand.clients.put_nowait(await _connect(stand, f"127.0.0.{1 + number % 2}"))
    try:
        yield
    finally:
        while not stand.clients.empty():
            await closed(stand.clients.get_nowait())


async def _connect(stand: Stand, address: str) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", stand.gateway.port, local_addr=(address, 0)))


async def closed(client: Client) -> None:
    client.writer.close()
    with contextlib.suppress(OSError):
        await client.writer.wait_closed()


async def asked(stand: Stand, tally: Tally, request: bytes) -> Answer | None:
    """On whichever connection is free; None: its worker has gone with it."""
    client = await stand.clients.get()
    try:
        await client.send(request)
        answer = await client.answer(within_s=BEGUN_S)
    except (ConnectionError, asyncio.IncompleteReadError):
        answer = None
    if answer is None or not answer.whole:
        tally.lost += 1
        await closed(client)
        client = await _connect(stand, "127.0.0.1")
        answer = None
    stand.clients.put_nowait(client)
    return answer


# --- what happens ---


async def one_round(stand: Stand, tally: Tally, chance: random.Random, known: list[Caller]) -> None:
    """Several callers ask for one target at once, each more than once."""
    scope = chance.choice(SCOPES)
    path = target(chance, scope)
    requests = []
    for caller in chance.sample(known, 4):
        kind = chance.choice(strangers.KINDS)
        lines = [*caller.headers, *([f"X-Kind: {kind}"] if kind else [])]
        if chance.random() < 0.1:
            first = chance.randrange(40)
            lines.append(f"Range: bytes={first}-{first + chance.randrange(60)}")
        requests += [(caller, kind, get(path, *lines))] * chance.randint(1, 3)
    chance.shuffle(requests)

    async def check(caller: Caller, kind: str, request: bytes) -> None:
        answer = await asked(stand, tally, request)
        if answer is None:
            return
        tally.statuses[answer.status] += 1
        if answer.status in (200, 206) and (found := flaw(answer, caller, scope, path, kind)):
            tally.flaws.append(f"{path} for {caller.tenant!r}, {caller.user!r}, {caller.issuer!r}: {found}")

    await asyncio.gather(*(check(*each) for each in requests))
    tally.rounds += 1


async def write(stand: Stand, tally: Tally, chance: random.Random, known: list[Caller]) -> None:
    caller, path = chance.choice(known), target(chance, chance.choice(SCOPES))
    await asked(stand, tally, get(path, *caller.headers, method="POST", body=b"x"))


def purge_one(stand: Stand, chance: random.Random, known: list[Caller]) -> None:
    """A tenant's answers, or those of its tags, as ops would."""
    tenant = of_tenant(chance.choice(known).tenant or "")
    named = purge_of_all(tenant) if chance.random() < 0.5 else purge_of_tag(tenant, chance.choice(NAMES).encode())
    with stand.redis.client as client:
        client.eval(load("cache_purges").source, 1, LOG, 0, 0, 100_000, packed(named))


async def restart_one(stand: Stand, chance: random.Random) -> None:
    """A worker is ended by SIGKILL, and another comes in its place."""
    pids = await asyncio.to_thread(stand.gateway.worker_pids)
    os.kill(chance.choice(pids), signal.SIGKILL)


async def trouble(
    stand: Stand, tally: Tally, chance: random.Random, known: list[Caller], kills: bool, over: asyncio.Event
) -> None:
    for turn in count():
        await asyncio.sleep(0.02)
        if over.is_set():
            return
        await write(stand, tally, chance, known)
        if turn % 4 == 0:
            await asyncio.to_thread(purge_one, stand, chance, known)
        if kills and turn % 100 == 99:
            await restart_one(stand, chance)


async def mingle(stand: Stand, chance: random.Random, seconds: float, *, kills: bool) -> Tally:
    """Rounds side by side until the time is over, or the first flaw is found."""
    tally, known = Tally(), callers(chance, CALLERS)
    until_s = time.monotonic() + seconds
    async with connected(stand):
        over = asyncio.Event()
        harm = asyncio.create_task(trouble(stand, tally, chance, known, kills, over))

        async def go_on() -> None:
            while time.monotonic() < until_s and not tally.flaws:
                await one_round(stand, tally, chance, known)

        try:
            await asyncio.gather(*(go_on() for _ in range(4)))
        finally:
            over.set()
            await harm
    return tally


# --- the command ---

COUNTED: Final = {
    "answered by memory or Redis": r"sluicegate_cache_requests_total\{.*hit",
    "by another's fetch": r"sluicegate_cache_requests_total\{.*coalesced",
    "after validation": r"sluicegate_cache_requests_total\{.*revalidated",
    "stale": r"sluicegate_cache_requests_total\{.*stale",
    "evicted": r"sluicegate_cache_memory_evictions",
    "purged by writes": r"sluicegate_cache_purges",
}


def told(stand: Stand, tally: Tally) -> dict[str, int]:
    return {
        "rounds": tally.rounds,
        "answers": tally.statuses.total(),
        "of status 200 or 206": tally.statuses[200] + tally.statuses[206],
        "fetches at the origin": stand.knows.asked.total(),
        **{name: int(stand.gateway.metric(pattern)) for name, pattern in COUNTED.items()},
        "connections lost with a worker": tally.lost,
        "of another's": len(tally.flaws),
    }


PROOFS: Final = ("no-tenant-in-key", "no-user-in-key", "no-issuer-in-key", "joined-key", "shared-flight", "far-key")


async def prove(seed: int, seconds: float) -> bool:
    """Whether each way to break the keys is noticed."""
    noticed = True
    for sabotage in PROOFS:
        chance = random.Random(seed)
        with standing(chance, sabotage) as stand:
            tally = await mingle(stand, chance, seconds, kills=False)
        print(f"{sabotage}: {tally.flaws[0] if tally.flaws else 'NOT NOTICED'} (after {tally.rounds} rounds)")
        noticed &= bool(tally.flaws)
    return noticed


async def run(seed: int, seconds: float) -> bool:
    chance = random.Random(seed)
    with standing(chance) as stand:
        tally = await mingle(stand, chance, seconds, kills=True)
        await reached(lambda: len(stand.gateway.worker_pids()) == WORKERS)
        for name, figure in told(stand, tally).items():
            print(f"  {name}: {figure}")
        print("  statuses: " + ", ".join(f"{status}: {times}" for status, times in sorted(tally.statuses.items())))
    for found in tally.flaws[:10]:
        print(f"BROKEN  {found}")
    return not tally.flaws


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long, or of each proof at most (120)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prove", action="store_true", help="run against gateways broken on purpose instead")
    args = parser.parse_args()
    return 0 if uvloop.run((prove if args.prove else run)(args.seed, args.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
