"""Load that arrives on its own clock: request i is due at start + i/rate, whatever became of the ones before it.

Latency counts from when a request was due, not from when it was sent, so that a stall shows in the percentiles instead
of hiding in requests that were never sent (coordinated omission). Raw HTTP/1.1 over kept-alive connections: the
generator costs a fraction of what it measures.

    python -m tests.bench.openloop http://127.0.0.1:8080/api/x --rate 200 --seconds 10 -H 'Authorization: Bearer …'
"""

import argparse
import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

FIRST_S = 0.2  # from the call to the first request


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are ``time.monotonic``; status 0 is an answer that never came, ``error`` says why."""

    index: int
    due_s: float
    done_s: float
    status: int
    body: bytes = b""
    error: str = ""
    head: bytes = b""

    @property
    def latency_ms(self) -> float:
        return (self.done_s - self.due_s) * 1000

    def field(self, name: str) -> str | None:
        """The value of a field of the answer's head."""
        prefix = name.lower().encode() + b":"
        for line in self.head.split(b"\r\n")[1:]:
            if line.lower().startswith(prefix):
                return line.partition(b":")[2].strip().decode()
        return None


class _Connections:
    """Kept-alive connections to one address; the one that has rested longest is used next."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body. Raises: OSError, EOFError."""
        reader, writer = self._idle.popleft() if self._idle else await asyncio.open_connection(*self._address)
        reusable = False
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            if b"\r\ntransfer-encoding: chunked" in lower:
                body = b""
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += (await reader.readexactly(size + 2))[:-2]
                await reader.readexactly(2)
            else:
                length = lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
            reusable = b"\r\nconnection: close" not in lower
            return int(head[9:12]), head, body
        finally:
            if reusable:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def arrive(
    host: str,
    port: int,
    request: Callable[[int], bytes],
    *,
    rate: float,
    seconds: float,
    timeout_s: float = 30.0,
    on_start: Callable[[float], None] = lambda _: None,
) -> list[Sample]:
    """Sends ``request(i)`` at ``rate`` a second for so long; returns the samples by index.

    ``on_start`` hears when the first is due.
    """
    connections = _Connections(host, port)
    samples: list[Sample] = []

    async def one(index: int, due_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                status, head, body = await connections.exchange(request(index))
            samples.append(Sample(index, due_s, time.monotonic(), status, body, "", head))
        except (OSError, EOFError, ValueError) as error:
            samples.append(Sample(index, due_s, time.monotonic(), 0, b"", type(error).__name__))

    start_s = time.monotonic() + FIRST_S
    on_start(start_s)
    async with asyncio.TaskGroup() as group:
        for index in range(int(rate * seconds)):
            due_s = start_s + index / rate
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            group.create_task(one(index, due_s))
    connections.close()
    return sorted(samples, key=lambda sample: sample.index)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (200)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long (10)")
    parser.add_argument("-H", dest="headers", action="append", default=[], metavar="'NAME: VALUE'")
    args = parser.parse_args()
    url = urlsplit(args.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    request = "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {url.netloc}", *args.headers, "", ""]).encode()
    samples = uvloop.run(
        arrive(url.hostname or "", url.port or 80, lambda _: request, rate=args.rate, seconds=args.seconds)
    )
    latencies = [sample.latency_ms for sample in samples]
    told = {
        "requests": len(samples),
        "answers": Counter(str(sample.status or sample.error) for sample in samples),
        **{f"p{share * 100:g}_ms": round(percentile(latencies, share), 2) for share in (0.5, 0.9, 0.99, 0.999)},
        "max_ms": round(max(latencies), 2),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
