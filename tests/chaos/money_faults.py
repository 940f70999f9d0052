"""What becomes of money while processes are killed under load: gateways, Redis, PostgreSQL. Every cent is looked for.

    python -m tests.chaos.money_faults                       every fault, about a minute each, and then the waiting
    python -m tests.chaos.money_faults gateways --seconds 120
    python -m tests.chaos.money_faults --prove               first show that the checker notices a broken settlement

Prints the figures and exits with 1 if a promise was not kept. tests/chaos/README.md says what is promised.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.core.storeurl import parse_store_url
from proxy.gateway.reconciliation import reconcile
from proxy.ledger.database import connect
from proxy.ledger.migrate import migrate
from proxy.ledger.reconcile import Difference
from proxy.store.plain import PlainClient
from tests.chaos.accounts import Finding, Row, judged
from tests.e2e.gateway import ROOT, Client, Gateway, descendants, running_command, token
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import CHAT, Provider, call, post
from tests.ledger.postgres import Postgres, postgres
from tests.store.servers import BINARIES, Server, server

CLIENTS: Final = 12
WORKERS: Final = 2
REST_S: Final = 150.0  # for leases to end, orphans to be settled, what waits to be moved
KILLS: Final = 20
BINARY: Final = BINARIES[min(BINARIES)]
APPEND_ONLY: Final = ("--appendonly", "yes")

ROUTES: Final = """
limits:
  fair: {scope: user, rate: 100_000/1m}
budgets:
  all: {scope: global, daily: "$1000", monthly: "$25000"}
  user: {scope: user, daily: "$100"}
routes:
  - {name: cancel, match: {path: "/cancel/**"}, rewrite: {strip: /cancel}, upstream: openai, limits: [fair],
     budgets: [all, user], on_disconnect: cancel}
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [fair], budgets: [all, user]}
"""


@dataclass
class Stand:
    """Everything under load. The gateway is another process after each of its deaths."""

    folder: Path
    provider: Provider
    redis: Server
    database: Postgres
    env: dict[str, str]
    gateway: Gateway | None = None
    stopping: bool = False
    answered: int = 0
    failed: int = 0
    deaths: list[str] = field(default_factory=list)

    @property
    def ledger_url(self) -> str:
        return self.database.url()


class Keeper:
    """Starts the gateway again whenever it is gone, as an orchestrator would."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        stand = self._stand
        config = stand.folder / "config.yaml"
        command = running_command(["run", "--config", str(config)], config, stand.env)
        stand.gateway = self._stack.enter_context(command)

    def restart(self) -> None:
        """After a death: the old one's pipes are closed, and another begins."""
        self._stack.close()
        self.start()

    def stop(self) -> None:
        self._stack.close()


def kill_group(gateway: Gateway) -> None:
    """All of its processes at once, and none may say goodbye: but not the Redis, which is not its own."""
    pids = [*descendants(gateway.process.pid), gateway.process.pid]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    gateway.process.wait(10)


async def gateways(stand: Stand, keeper: Keeper, seconds: float, chance: random.Random) -> None:
    """SIGKILL, twenty times at random: the whole gateway, a worker, or the background process."""
    pauses = [chance.random() for _ in range(KILLS)]
    for pause in pauses:
        await asyncio.sleep(seconds * pause / sum(pauses))
        assert stand.gateway is not None
        what = chance.choice(["gateway", "worker", "background", "worker"])
        stand.deaths.append(what)
        if what == "gateway":
            await asyncio.to_thread(kill_group, stand.gateway)
            await asyncio.to_thread(keeper.restart)
            continue
        module = {"worker": b"proxy.gateway.worker", "background": b"proxy.gateway.background"}[what]
        children = descendants(stand.gateway.process.pid)
        named = [pid for pid in children if module in _command_of(pid)]
        if named:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(named), signal.SIGKILL)


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def restarted(stand: Stand, _keeper: Keeper, seconds: float, _chance: random.Random) -> None:
    """Redis is ended by SIGKILL and started again on its file, three times."""
    for _ in range(3):
        await asyncio.sleep(seconds / 4)
        await asyncio.to_thread(stand.redis.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(stand.redis.start)
    await asyncio.sleep(seconds / 4)


async def emptied(stand: Stand, _keeper: Keeper, seconds: float, _chance: random.Random) -> None:
    """Redis comes back with nothing at all."""
    await asyncio.sleep(seconds / 2)
    with stand.redis.client as client:
        await asyncio.to_thread(client.flushall)
    await asyncio.sleep(seconds / 2)


async def older(stand: Stand, _keeper: Keeper, seconds: float, _chance: random.Random) -> None:
    """Redis is put back to a copy of its file that is some seconds old."""
    await asyncio.sleep(seconds / 3)
    folder, copy = Path(stand.redis.folder), stand.folder / "older"
    with stand.redis.client as client:
        await asyncio.to_thread(client.save)
    await asyncio.to_thread(shutil.copytree, folder, copy, ignore=shutil.ignore_patterns("*.sock"))
    await asyncio.sleep(min(10.0, seconds / 3))
    await asyncio.to_thread(stand.redis.kill)
    await asyncio.to_thread(_put_back, folder, copy)
    await asyncio.to_thread(stand.redis.start)
    await asyncio.sleep(seconds / 3)


def _put_back(folder: Path, copy: Path) -> None:
    for there in folder.iterdir():
        shutil.rmtree(there) if there.is_dir() else there.unlink()
    shutil.copytree(copy, folder, dirs_exist_ok=True)


async def database(stand: Stand, _keeper: Keeper, seconds: float, _chance: random.Random) -> None:
    """PostgreSQL is ended by SIGKILL five times, each time away for two seconds."""
    for _ in range(5):
        await asyncio.sleep(seconds / 6)
        await asyncio.to_thread(stand.database.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(stand.database.start)
    await asyncio.sleep(seconds / 6)


Fault = Callable[[Stand, Keeper, float, random.Random], Awaitable[None]]
FAULTS: Final[dict[str, Fault]] = {
    "gateways": gateways,
    "restarted": restarted,
    "emptied": emptied,
    "older": older,
    "database": database,
}


# --- the load ---


def request(chance: random.Random) -> tuple[bytes, bool]:
    """A call of any kind, and whether its client leaves early."""
    how: dict[str, Any] = {"prompt": chance.randrange(1, 60), "output": chance.randrange(1, 900)}
    how |= {"chunks": chance.randrange(1, 6), "pause": chance.choice([0, 0.02, 0.1])}
    fail = chance.choice([None, None, None, None, "status", "cut", "reset"])
    if fail:
        how["fail"] = fail
    body = call(stream=chance.random() < 0.5, **how)
    path = chance.choice([CHAT, "/cancel/v1/chat/completions"])
    return post(body, token(user=f"user-{chance.randrange(5)}"), path), chance.random() < 0.15


async def client(stand: Stand, chance: random.Random) -> None:
    """One client after the other, until the load ends; whoever is cut off begins anew."""
    while not stand.stopping:
        data, leaves = request(chance)
        try:
            assert stand.gateway is not None
            async with await Client.connect(stand.gateway) as connection:
                await connection.send(data)
                if leaves:
                    await asyncio.sleep(chance.random() * 0.1)
                    continue
                answer = await connection.answer(within_s=30)
            stand.answered += answer.status == 200
            if answer.status == 503:
                await asyncio.sleep(0.1)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, AssertionError, ValueError):
            stand.failed += 1
            await asyncio.sleep(0.05)


# --- the run ---


@contextlib.contextmanager
def standing(sabotage: str | None) -> Iterator[tuple[Stand, Keeper]]:
    env = {}
    if sabotage is not None:
        broken = Path(__file__).parent / "sabotage"
        env = {"SLUICEGATE_SABOTAGE": sabotage, "PYTHONPATH": f"{broken}{os.pathsep}{ROOT}"}
    with (
        tempfile.TemporaryDirectory(prefix="sg-money-") as folder,
        running_origin() as origin,
        server(BINARY, *APPEND_ONLY) as redis,
        postgres() as pg,
    ):
        provider = Provider()
        provider.attach(origin)
        stand = Stand(Path(folder), provider, redis, pg, env)
        asyncio.run(_migrate(stand.ledger_url))
        upstream = f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai, max_connections: 1000}}'
        redis_map = f'meters: "{redis.url}", timeout: 1s'
        rest = f'ledger: {{url: "{stand.ledger_url}"}}\n{ROUTES}'
        text = policy(origin.port, rest, workers=WORKERS, upstreams=upstream, redis=redis_map)
        (stand.folder / "config.yaml").write_text(text)
        keeper = Keeper(stand)
        keeper.start()
        try:
            yield stand, keeper
        finally:
            keeper.stop()


async def _migrate(url: str) -> None:
    await migrate(url)


async def run(name: str, seconds: float, seed: int, sabotage: str | None = None) -> list[Finding]:
    """One fault under load, then rest, then the accounts."""
    with contextlib.ExitStack() as stack:
        # It runs loops of its own while it begins, and waits while it ends: not on ours.
        stand, keeper = await asyncio.to_thread(stack.enter_context, standing(sabotage))
        chance = random.Random(seed)
        clients = [asyncio.create_task(client(stand, random.Random(seed + n))) for n in range(CLIENTS)]
        await asyncio.sleep(1)
        await FAULTS[name](stand, keeper, seconds, chance)
        stand.stopping = True
        await asyncio.gather(*clients)
        differences = await at_rest(stand)
        rows = await rows_of(stand)
        print(
            f"\n{name}: {(FAULTS[name].__doc__ or '').strip()}\n"
            f"  {stand.provider.calls} calls reached the provider, {stand.answered} answers, {stand.failed} cut off"
            + (f"; deaths: {', '.join(stand.deaths)}" if stand.deaths else "")
        )
        return judged(stand.provider.billed, stand.provider.calls, rows, differences)


async def at_rest(stand: Stand) -> list[Difference]:
    """Until nothing is held and nothing waits, and what then still differs."""
    streams = PlainClient(parse_store_url(stand.redis.url), 10.0)
    ledger = connect(stand.ledger_url, pool=1)
    until_s = time.monotonic() + REST_S
    try:
        while True:
            await asyncio.sleep(1)
            held = await streams.client.execute_command("HLEN", "{m0}holds")
            waiting = await streams.client.execute_command("XLEN", "{m0}outbox")
            quiet = not held and not waiting and not stand.provider.under_way
            if quiet or time.monotonic() > until_s:
                found, _ = await reconcile(streams.client, ledger, int(time.time() * 1000))
                if not found or time.monotonic() > until_s:
                    return found
    finally:
        await streams.close()
        await ledger.close()


async def rows_of(stand: Stand) -> list[Row]:
    found = await stand.database.fetch(
        "SELECT id, provider_request_id, cost_nanousd, estimated, orphaned, state FROM sluicegate.ai_usage"
    )
    return [Row(*record) for record in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fault", nargs="?", choices=FAULTS)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prove", action="store_true", help="first against gateways that are broken on purpose")
    args = parser.parse_args()
    kept = True
    if args.prove:
        for broken in ("no-journal", "half-settled"):
            print(f"\nbroken on purpose: {broken}")
            findings = asyncio.run(run("emptied" if broken == "no-journal" else "restarted", 20, args.seed, broken))
            _print(findings)
            if all(finding.kept for finding in findings):
                print("THE CHECKER NOTICES NOTHING")
                return 1
    for name in [args.fault] if args.fault else FAULTS:
        findings = asyncio.run(run(name, args.seconds, args.seed))
        _print(findings)
        kept = kept and all(finding.kept for finding in findings)
    return 0 if kept else 1


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        print(f"  {'kept  ' if finding.kept else 'BROKEN'}  {finding.promise}: {finding.figure}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
