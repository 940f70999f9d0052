"""The hit ratio of a SaaS app's reads through a running gateway: ``saas.py``'s trace, replayed faster than it was made.

``python -m tests.bench.saas_gateway`` starts a gateway with two workers, a Redis and an origin, and sends the trace of
``--trace-seconds`` in a ``--times``-th of that time, each request at its moment over one of ``CONNECTIONS`` kept-alive
connections, as its user, with a token of its own. All lifetimes are shortened likewise: 300 s are 300 / times. Routes
say whose answers are: ``/api/me`` and ``/api/notifications`` are the user's, ``/api/plans`` is public, all else
the tenant's. Answers have 4 KiB and the app's tags; after each write the app purges what it changed.

Eligible is every read: each may be stored by its route. A hit is one that asked the app nothing: from a worker's
memory, from Redis, or by another's fetch of the same. Told is what the gateway itself counted, from ``WARM_S`` on.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import uvloop

from proxy.cache.digests import PUBLIC, of_tenant, purge_of_tag
from proxy.cache.purgelog import PurgeLog
from proxy.core.clock import SystemClock
from proxy.core.storeurl import parse_store_url
from proxy.store.client import Store
from tests.bench.saas import Event, events
from tests.e2e.gateway import Client, Gateway, bearer, get, running
from tests.e2e.origin import Exchange, Origin, read_body, running_origin
from tests.e2e.policies import policy
from tests.store.servers import BINARIES, server

WORKERS: Final = 2
CONNECTIONS: Final = 64
WARM_S: Final = 600.0
TTL_S: Final = 300
BODY: Final = random.Random(1).randbytes(2048).hex().encode()
BINARY: Final = BINARIES[min(BINARIES)]
HITS: Final = ("hit", "stale", "coalesced")


def routes(ttl_s: int) -> str:
    return f"""
defaults: {{limits: []}}
routes:
  - {{name: me, match: {{path: "/api/me"}}, upstream: app, cache: {{scope: user, ttl: {ttl_s}s}}}}
  - {{name: news, match: {{path: "/api/notifications"}}, upstream: app, cache: {{scope: user, ttl: {ttl_s}s}}}}
  - {{name: public, match: {{path: "/api/plans"}}, upstream: app, cache: {{scope: public, ttl: {ttl_s}s}}}}
  - {{name: ours, match: {{path: "/api/**"}}, upstream: app, cache: {{ttl: {ttl_s}s}}}}
"""


class App(dict[str, object]):
    """Every read has 4 KiB and the tags that the replay says."""

    def get(self, _path: str, _default: object = None) -> object:
        return self._answer

    async def _answer(self, exchange: Exchange) -> None:
        await read_body(exchange.seen, exchange.reader)
        if not exchange.seen.request_line.startswith("GET "):
            await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        tags = (exchange.seen.get("X-Tags") or "").encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Tag: %b\r\nContent-Length: %d\r\n\r\n"
        await exchange.send(head % (tags, len(BODY)) + BODY)


class Replay:
    def __init__(self, gateway: Gateway, purges: PurgeLog) -> None:
        self.statuses: Counter[int] = Counter()
        self.latest_s = 0.0  # how far the replay was behind the trace's moments
        self._gateway = gateway
        self._purges = purges
        self._clients: asyncio.Queue[Client] = asyncio.Queue()
        self._tokens: dict[tuple[str, str], str] = {}

    async def run(self, trace: Sequence[Event], times: float) -> dict[str, float]:
        """The metrics when it was warm."""
        for _ in range(CONNECTIONS):
            self._clients.put_nowait(await Client.connect(self._gateway))
        warm: dict[str, float] = {}
        began_s, asked = time.monotonic(), set()
        for event in trace:
            late_s = time.monotonic() - began_s - event.time_s / times
            if late_s < 0:
                await asyncio.sleep(-late_s)
            self.latest_s = max(self.latest_s, late_s)
            if not warm and event.time_s >= WARM_S:
                warm = await asyncio.to_thread(self._gateway.metrics)
            task = asyncio.create_task(self._ask(event))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)
        while not self._clients.empty():
            self._clients.get_nowait().writer.close()
        return warm

    async def _ask(self, event: Event) -> None:
        name = event.tenant, event.user
        if name not in self._tokens:
            self._tokens[name] = bearer(tenant=event.tenant, user=event.user)
        read = event.method == "GET"
        request = get(
            event.path,
            self._tokens[name],
            f"X-Tags: {','.join(event.tags)}",
            method=event.method,
            body=b"" if read else b"{}",
        )
        client = await self._clients.get()
        await client.send(request)
        answer = await client.answer()
        self._clients.put_nowait(client)
        self.statuses[answer.status] += 1
        if not read:
            partition = PUBLIC if event.scope == "public" else of_tenant(event.tenant)
            self._purges.purge(digest for tag in event.tags for digest in purge_of_tag(partition, tag.encode()))


def ratios(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Hits in percent of all reads, by route and in ``all``, and of these those by another's fetch."""
    reads, hits, coalesced = Counter[str](), Counter[str](), 0.0
    for name, value in after.items():
        if not name.startswith("sluicegate_cache_requests_total{") or 'result="bypass"' in name:
            continue
        labels = dict(pair.split("=", 1) for pair in name.partition("{")[2].rstrip("}").split(","))
        grown, route, result = value - before.get(name, 0.0), labels["route"].strip('"'), labels["result"].strip('"')
        reads[route] += grown  # type: ignore[assignment]
        hits[route] += grown if result in HITS else 0  # type: ignore[assignment]
        coalesced += grown if result == "coalesced" else 0
    by_route = {route: 100 * hits[route] / reads[route] for route in sorted(reads) if reads[route]}
    return {"all": 100 * hits.total() / reads.total(), **by_route, "coalesced": 100 * coalesced / reads.total()}


async def run(origin: Origin, redis_url: str, args: argparse.Namespace) -> None:
    ttl_s = round(TTL_S / args.times)
    trace = events(args.seed, args.trace_seconds)
    told = f'meters: "{redis_url}", timeout: 2s'
    with running(policy(origin.port, routes(ttl_s), workers=WORKERS, redis=told)) as gateway:
        store = Store(parse_store_url(redis_url), 2_000)
        purges = PurgeLog(store, SystemClock())
        await purges.start()
        replay = Replay(gateway, purges)
        warm = await replay.run(trace, args.times)
        found = ratios(warm, await asyncio.to_thread(gateway.metrics))
        await purges.stop()
        await store.close()
    print(
        f"{len(trace)} requests of {args.trace_seconds:g} s in {args.trace_seconds / args.times:g} s, "
        f"lifetimes {ttl_s} s, {WORKERS} workers, at most {replay.latest_s:.2f} s late, {dict(replay.statuses)}"
    )
    print("  " + "  ".join(f"{name} {ratio:.1f}%" for name, ratio in found.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace-seconds", type=float, default=2_400.0, help="of the trace, warming included (2400)")
    parser.add_argument("--times", type=float, default=20.0, help="how many times as fast (20)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with running_origin() as origin, server(BINARY) as redis:
        origin.answers = App()  # type: ignore[assignment]
        uvloop.run(run(origin, redis.url, args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
