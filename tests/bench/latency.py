"""Added latency: through the gateway minus direct, open loop, in turn.

python -m tests.bench.latency --rate 3000 --seconds 10 --rounds 3
"""

import argparse
import statistics

import uvloop

from tests.bench.load import Load, Result
from tests.bench.stand import Stand, standing


async def once(stand: Stand, port: int, rate: float, seconds: float) -> Result:
    head = f"GET /1k.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {stand.token}\r\n\r\n"
    load = Load(head.encode())
    await load.connect(port, 64)
    return await load.open_loop(rate, seconds)


async def capacity(stand: Stand) -> float:
    """Requests a second of the one worker, by its CPU time."""
    head = f"GET /1k.json HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {stand.token}\r\n\r\n"
    load = Load(head.encode())
    await load.connect(stand.gateway_port, 32)
    await load.closed_loop(5_000)
    before_s = stand.worker_cpu_s()
    again = Load(head.encode())
    await again.connect(stand.gateway_port, 32)
    await again.closed_loop(30_000)
    return 30_000 / (stand.worker_cpu_s() - before_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; half of the capacity if left out")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with standing() as stand:
        found = uvloop.run(capacity(stand))
        rate = args.rate or found / 2
        print(f"capacity of one worker {found:.0f} requests a second; offered {rate:.0f}")
        added: dict[float, list[float]] = {0.5: [], 0.99: []}
        for _ in range(args.rounds):
            direct = uvloop.run(once(stand, stand.origin_port, rate, args.seconds))
            through = uvloop.run(once(stand, stand.gateway_port, rate, args.seconds))
            for share, found_ms in added.items():
                found_ms.append(through.percentile_ms(share) - direct.percentile_ms(share))
            print(
                f"direct p50 {direct.percentile_ms(0.5):.2f} ms p99 {direct.percentile_ms(0.99):.2f} ms; "
                f"through p50 {through.percentile_ms(0.5):.2f} ms p99 {through.percentile_ms(0.99):.2f} ms; "
                f"failures {direct.failures + through.failures}"
            )
        print(*(f"added at p{share * 100:g}: {statistics.median(ms):.2f} ms" for share, ms in added.items()), sep="\n")


if __name__ == "__main__":
    main()
