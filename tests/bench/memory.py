"""Resident memory of a worker: idle, and over a million requests by a thousand users with tokens of their own.

python -m tests.bench.memory --requests 1000000
"""

import argparse

import uvloop

from tests.bench.load import Load
from tests.bench.stand import Stand, standing


async def some(stand: Stand, requests: int) -> int:
    head = f"GET /1k.json HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {stand.token}\r\n\r\n"
    load = Load(head.encode())
    await load.connect(stand.gateway_port, 32)
    return (await load.closed_loop(requests)).failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    args = parser.parse_args()
    with standing() as stand:
        print(f"idle: {stand.worker_rss_kib() / 1024:.1f} MiB")
        failures = uvloop.run(some(stand, args.requests // 10))
        first = stand.worker_rss_kib()
        print(f"after {args.requests // 10} requests: {first / 1024:.1f} MiB")
        cpu_s = stand.worker_cpu_s()
        for part in range(1, 10):
            failures += uvloop.run(some(stand, args.requests // 10))
            now = stand.worker_rss_kib()
            print(f"after {(part + 1) * args.requests // 10}: {now / 1024:.1f} MiB ({100 * (now / first - 1):+.1f}%)")
        cpu_us = (stand.worker_cpu_s() - cpu_s) / (args.requests * 0.9) * 1e6
        print(f"{cpu_us:.1f} us CPU a request in the worker; {failures} failures")


if __name__ == "__main__":
    main()
