"""What a streamed call to a provider costs beside a plain pass-through, and what it adds to the first byte.

    python -m tests.bench.streaming                     CPU a chunk, by the worker's own clock, in turn
    python -m tests.bench.streaming --latency           the first byte at 200 calls a second, through minus direct

A provider on a socket streams chunks as OpenAI does. The same gateway passes them on over a route that is metered
(budgets held and settled, usage asked for and taken out again, ledger on) and one that is not.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.bench.openloop import percentile
from tests.e2e.gateway import Client, Gateway, running, token
from tests.e2e.origin import Exchange, read_body, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import post

CHUNKS: Final = 200
CALLS: Final = 60
ROUNDS: Final = 3
RATE: Final = 200.0
SECONDS: Final = 8.0
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

ROUTES: Final = """
limits:
  many: {scope: user, rate: 100_000_000/1m}
budgets:
  all: {scope: global, daily: "$100_000"}
  tenant: {scope: tenant, monthly: "$100_000"}
  user: {scope: user, daily: "$100_000"}
routes:
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [many], budgets: [all, tenant, user]}
  - {name: plain, match: {path: "/plain/**"}, rewrite: {strip: /plain}, upstream: app, limits: [many]}
"""


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: str, number: int) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": number,
        "model": "gpt-4o-mini",
        "choices": [choice],
    }
    return framed(b"data: " + json.dumps(body).encode() + b"\n\n")


USAGE: Final = {"prompt_tokens": 9, "completion_tokens": CHUNKS, "total_tokens": 9 + CHUNKS}
LAST: Final = framed(b"data: " + json.dumps({"id": "c1", "choices": [], "usage": USAGE}).encode() + b"\n\n")
DONE: Final = framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def streaming(chunks: int) -> Callable[[Exchange], object]:
    events = [event(" word", number) for number in range(chunks)]

    async def answer(exchange: Exchange) -> None:
        asked = json.loads(await read_body(exchange.seen, exchange.reader))
        await exchange.send(HEAD)
        for one in events:
            await exchange.send(one)
            await asyncio.sleep(0)  # each in a write of its own
        await exchange.send((LAST if asked.get("stream_options") else b"") + DONE)

    return answer


def request(path: str, bearer: str) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 900}
    return post(body, bearer, path)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def calls(gateway: Gateway, path: str, count: int) -> None:
    data = request(path, token())
    async with await Client.connect(gateway) as client:
        for _ in range(count):
            await client.send(data)
            answer = await client.answer(within_s=30)
            assert answer.status == 200, answer.body


async def cost(gateway: Gateway) -> None:
    (pid,) = gateway.worker_pids()
    paths = {"metered": "/v1/chat/completions", "plain": "/plain/v1/chat/completions"}
    figures: dict[str, list[float]] = {name: [] for name in paths}
    for path in paths.values():
        await calls(gateway, path, 5)
    for _ in range(ROUNDS):
        for name, path in paths.items():
            before = cpu_s(pid)
            await calls(gateway, path, CALLS)
            figures[name].append((cpu_s(pid) - before) / CALLS / CHUNKS * 1e6)
    for name, costs in figures.items():
        print(f"{name:8} {statistics.median(costs):6.1f} us of the worker's CPU a chunk ({CHUNKS} chunks a call)")


async def first_byte(port: int, data: bytes) -> float:
    began_s = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await reader.readuntil(b"data: ")
    elapsed_s = time.perf_counter() - began_s
    await reader.readuntil(b"[DONE]")
    writer.close()
    return elapsed_s


async def open_loop(port: int, data: bytes) -> list[float]:
    """First bytes of calls that arrive on their own clock."""
    loop, tasks = asyncio.get_running_loop(), []
    start_s = loop.time()
    for number in range(int(RATE * SECONDS)):
        await asyncio.sleep(max(0.0, start_s + number / RATE - loop.time()))
        tasks.append(asyncio.create_task(first_byte(port, data)))
    return [await task for task in tasks]


async def latency(gateway: Gateway, origin_port: int) -> None:
    close = b"\r\nConnection: close\r\n\r\n"
    data = request("/v1/chat/completions", token()).replace(b"\r\n\r\n", close, 1)
    for name, port in (("direct", origin_port), ("through", gateway.port)):
        await open_loop(port, data)
        taken = [second * 1000 for second in await open_loop(port, data)]
        print(f"{name:8} first byte p50 {percentile(taken, 0.5):6.2f} ms   p99 {percentile(taken, 0.99):6.2f} ms")


def provide(chunks: int) -> None:
    """Serves until its standard input ends; prints its port."""
    with running_origin() as origin:
        origin.answers["/v1/chat/completions"] = streaming(chunks)
        print(origin.port, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def provider(chunks: int) -> Iterator[int]:
    """A provider in a process of its own, so that it and the clients do not wait for one interpreter; its port."""
    command = [sys.executable, "-m", "tests.bench.streaming", "--provide", str(chunks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate(timeout=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--provide", type=int, metavar="CHUNKS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.provide is not None:
        provide(args.provide)
        return
    with provider(3 if args.latency else CHUNKS) as port:
        upstreams = f'openai: {{primary: ["http://127.0.0.1:{port}"], dialect: openai}}'
        with running(policy(port, ROUTES, workers=1, upstreams=upstreams)) as gateway:
            asyncio.run(latency(gateway, port) if args.latency else cost(gateway))


if __name__ == "__main__":
    main()
