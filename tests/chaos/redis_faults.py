"""What clients notice while the meters' Redis is stopped, killed, reset, flushed or failed over under open-loop load.

    python -m tests.chaos.redis_faults                      every fault, 40 s each, 200 requests a second
    python -m tests.chaos.redis_faults stop --seconds 120   the one that is worst, for the full time
    python -m tests.chaos.redis_faults --prove              first show that the checkers notice a broken gateway

Prints the figures and exits with 1 if a promise was not kept. tests/chaos/README.md says what is promised.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import uvloop

from tests.bench.openloop import arrive, percentile
from tests.chaos.faults import FAULTS, Redis, alone, standing
from tests.chaos.promises import GREEDY_LIMIT, RECOVERY_S, WORKERS, Finding, Run, flow_of, greedy_user_of, judged
from tests.e2e.gateway import ROOT, Client, Gateway, bearer, get, once, reached, running
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy

LATE_S: Final = 0.5  # after the fault's beginning the second greedy user comes
USERS: Final = 40  # on the open and the closed route, each far below its limit

ROUTES: Final = f"""
limits:
  fair: {{scope: user, rate: 600/1m}}
  greedy: {{scope: user, rate: {GREEDY_LIMIT}/1m}}
routes:
  - {{name: open, match: {{path: "/open/**"}}, upstream: app, limits: [fair], redis_down: open}}
  - {{name: closed, match: {{path: "/closed/**"}}, upstream: app, limits: [fair], redis_down: closed}}
  - {{name: greedy, match: {{path: "/greedy/**"}}, upstream: app, limits: [greedy], redis_down: open}}
"""


def requests(late_from: int) -> Callable[[int], bytes]:
    """The request at each index: the same in every run, but for tokens."""
    users = [bearer(user=f"user-{number}", tenant="acme") for number in range(USERS)]
    greedy = {user: bearer(user=user) for user in ("early", "late")}

    def request(index: int) -> bytes:
        flow = flow_of(index)
        who = greedy[greedy_user_of(index, late_from)] if flow == "greedy" else users[index // 10 % USERS]
        return get(f"/{flow}/{index}", who)

    return request


async def echo(exchange: Exchange) -> None:
    body = exchange.seen.request_line.split(" ")[1].encode()
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class _Echoes(dict[str, object]):
    def get(self, _path: str, _default: object = None) -> object:
        return echo


@contextlib.contextmanager
def gateway_with(redis: Redis, origin: Origin, sabotage: str | None, timeout: str = "250ms") -> Iterator[Gateway]:
    env = {}
    if sabotage is not None:
        broken = Path(__file__).parent / "sabotage"
        env = {"SLUICEGATE_SABOTAGE": sabotage, "PYTHONPATH": f"{broken}{os.pathsep}{ROOT}"}
    text = policy(origin.port, ROUTES, workers=WORKERS, redis=f'meters: "{redis.url}", timeout: {timeout}')
    with running(text, env) as gateway:
        yield gateway


async def measure(fault: str | None, args: argparse.Namespace, sabotage: str | None = None) -> Run:
    """One run under load; the fault begins after a quarter of its time."""
    with running_origin() as origin:
        origin.answers = _Echoes()  # type: ignore[assignment]
        with standing(fault) as redis, gateway_with(redis, origin, sabotage) as gateway:
            run = Run([], late_from=int(args.rate * (args.seconds / 4 + LATE_S)))
            fault_task: asyncio.Task[None] | None = None

            async def harm(start_s: float) -> None:
                assert fault is not None
                await asyncio.sleep(max(0.0, start_s + args.seconds / 4 - time.monotonic()))
                run.began_s = time.monotonic()
                await FAULTS[fault].harm(redis, args.fault_seconds)
                run.ended_s = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    await reached(lambda: gateway.metric("sluicegate_redis_breaker_open") == 0, 3 * RECOVERY_S)
                run.breaker_closed_s = time.monotonic() - run.ended_s
                run.left_s = max(0.0, await FAULTS[fault].after(redis) - run.ended_s)

            def started(start_s: float) -> None:
                nonlocal fault_task
                run.began_s = run.ended_s = start_s
                if fault is not None:
                    fault_task = asyncio.create_task(harm(start_s))

            run.samples = await arrive(
                "127.0.0.1",
                gateway.port,
                requests(run.late_from),
                rate=args.rate,
                seconds=args.seconds,
                timeout_s=10,
                on_start=started,
            )
            if fault_task is not None:
                await fault_task
            if fault is not None:
                run.outage, run.added_limit = FAULTS[fault].outage, FAULTS[fault].added_limit(args.rate)
            return run


# --- fifty clients that give up ---


async def give_up(sabotage: str | None = None) -> list[Finding]:
    """Fifty clients close after a second on a stopped Redis; when it is back they have taken nothing.

    The gateway waits longer for Redis than they do, so that it is they who give up.
    """
    with running_origin() as origin, alone() as redis, gateway_with(redis, origin, sabotage, timeout="2s") as gateway:
        who = bearer(user="impatient")
        await once(gateway, get("/closed/first", who))
        redis.signal(signal.SIGSTOP)
        try:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(50):
                    client = await stack.enter_async_context(await Client.connect(gateway))
                    await client.send(get("/closed/x", who))
                await asyncio.sleep(1.0)
            await asyncio.sleep(1.5)  # Redis is back when even the gateway has given up
        finally:
            redis.signal(signal.SIGCONT)
        await reached(lambda: gateway.metric("sluicegate_redis_breaker_open") == 0, RECOVERY_S)
        answer = await once(gateway, get("/closed/last", who))
        left = int((answer.get("RateLimit") or "").partition(";r=")[2].partition(";")[0])
        taken = 600 - left - 2
        served = sum("/closed/x" in seen.request_line for seen in origin.seen)
        return [Finding("taken by fifty clients that gave up: nothing", f"{taken} (served: {served})", taken == 0)]


# --- the command ---


def told(title: str, findings: list[Finding]) -> bool:
    print(f"\n{title}")
    for finding in findings:
        print(f"  {'kept  ' if finding.kept else 'BROKEN'}  {finding.promise}: {finding.figure}")
    return all(finding.kept for finding in findings)


PROOFS: Final = {  # what is broken: by which fault it shows, and as which promise
    "no-share": ("stop", "admitted of a limit"),
    "no-breaker": ("stop", "added at p99"),
    "wrong-word": ("stop", "closed routes answer"),
    "no-return": ("stop", "closed routes as before"),
    "no-follow": ("handover", "closed routes as before"),
}


async def prove(args: argparse.Namespace) -> bool:
    """Whether each checker finds what was broken for it."""
    short = argparse.Namespace(rate=args.rate, seconds=max(30.0, args.seconds / 2), fault_seconds=6.0)
    calm = await measure(None, short)
    noticed = True
    for sabotage, (fault, promise) in PROOFS.items():
        findings = judged(calm, await measure(fault, short, sabotage))
        told(f"broken on purpose: {sabotage}", findings)
        noticed &= any(not finding.kept and finding.promise.startswith(promise) for finding in findings)
    findings = await give_up("no-deadline")
    told("broken on purpose: no-deadline", findings)
    noticed &= not findings[0].kept
    print(f"\nThe checkers {'notice all of it' if noticed else 'HAVE MISSED SOMETHING'}.")
    return noticed


async def run(args: argparse.Namespace) -> bool:
    if args.prove:
        return await prove(args)
    calm = await measure(None, args)
    latencies = [sample.latency_ms for sample in calm.of("open")]
    print(
        f"without a fault: {len(calm.samples)} requests at {args.rate:g} a second, open route p50 "
        f"{percentile(latencies, 0.5):.1f} ms, p99 {percentile(latencies, 0.99):.1f} ms"
    )
    kept = True
    for fault in args.faults or [*FAULTS, "give-up"]:
        if fault == "give-up":
            kept &= told("give-up: fifty clients leave a stopped Redis", await give_up())
        else:
            kept &= told(f"{fault}: {FAULTS[fault].says}", judged(calm, await measure(fault, args)))
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"{', '.join([*FAULTS, 'give-up'])}; all if none")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (200)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run (40)")
    parser.add_argument("--fault-seconds", type=float, default=10.0, help="how long the fault lasts (10)")
    parser.add_argument("--prove", action="store_true", help="run against gateways broken on purpose instead")
    args = parser.parse_args()
    if unknown := set(args.faults) - {*FAULTS, "give-up"}:
        parser.error(f"unknown fault {min(unknown)!r}")
    return 0 if uvloop.run(run(args)) else 1


if __name__ == "__main__":
    sys.exit(main())
