"""What every measurement stands on: an origin, a Redis and the gateway by bench.yaml, each pinned, ended together.

The gateway runs on CPU 0, the load on CPU 1; origin and Redis go where there is room.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop
from joserfc import jwt
from joserfc.jwk import OctKey

from proxy.store.embedded import find_server

BODY = b'{"a":"' + b"x" * 1016 + b'"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CONFIG = Path(__file__).with_name("bench.yaml")
GATEWAY_CPU, LOAD_CPU, BOTH = {0}, {1}, {0, 1}


class Origin(asyncio.Protocol):
    """Answers every request at once with a kilobyte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self.transport.write(ANSWER)


async def serve_origin(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


@dataclass(frozen=True, slots=True)
class Stand:
    gateway_port: int
    origin_port: int
    worker_pid: int
    token: str

    def worker_rss_kib(self) -> int:
        status = Path(f"/proc/{self.worker_pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def worker_cpu_s(self) -> float:
        fields = Path(f"/proc/{self.worker_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def token() -> str:
    metadata = {"company_id": "acme", "subscription_tier": "growth_team"}
    claims = {"iss": "t", "sub": "u1", "exp": int(time.time()) + 86_400, "app_metadata": metadata}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("s" * 32))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing listens on port {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def _running(command: list[str], cpus: set[int], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    os.sched_setaffinity(process.pid, cpus)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def standing() -> Iterator[Stand]:
    """Everything started and answering; the calling process moves to the load's CPU."""
    origin_port, redis_port = _free_port(), _free_port()
    redis = [find_server().path, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    origin = [sys.executable, "-m", "tests.bench.stand", str(origin_port)]
    gateway = [sys.executable, "-m", "proxy", "run", "--config", str(CONFIG)]
    env = {"BENCH_REDIS": f"redis://127.0.0.1:{redis_port}", "BENCH_ORIGIN": f"http://127.0.0.1:{origin_port}"}
    os.sched_setaffinity(0, LOAD_CPU)
    with _running(redis, BOTH), _running(origin, BOTH):
        _wait_for(origin_port)
        _wait_for(redis_port)
        with _running(gateway, GATEWAY_CPU, env) as parent:
            _wait_for(8090)
            with socket.create_connection(("127.0.0.1", 8090), 30) as probe:  # answered once the worker is there
                probe.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                probe.recv(1)
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            yield Stand(8090, origin_port, int(children[0]), token())


if __name__ == "__main__":
    uvloop.run(serve_origin(int(sys.argv[1])))
