"""How much of what is asked for is in a worker's memory, and what a look costs.

``python -m tests.bench.hitratio`` tells three things:

* **Zipf with scans.** ``REQUESTS`` requests, seed 1: of 100,000 objects by Zipf's law, alpha 1.0, and one request in
  five part of a scan, 500 objects in a row from a random place among a million that are not asked for otherwise. All
  objects weigh the same; the memory holds 1% and 10% of the 100,000. S3-FIFO (ours) beside LRU, over the requests
  outside scans: of those nobody hits anything. The first fifth of the trace only warms.
* **A SaaS app's reads** (``saas.py``), two hours, seed 1: every read may be stored, for 300 s in its scope; a write
  purges its tags. 64 MiB, answers of 4 KiB, one worker. The first 600 s only warm.
* **Time** of a get and a put, a loop's own subtracted.
"""

import random
import time
from bisect import bisect
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from proxy.cache.digests import (
    PUBLIC,
    canonical_key,
    of_tenant,
    owner_prefix,
    purge_of_tag,
    tags_of,
)
from proxy.cache.entry import Stored, Terms
from proxy.cache.memory import Memory
from proxy.cache.purges import Purges
from proxy.policy.caching import CacheScope
from tests.bench.saas import Event, events

REQUESTS: Final = 500_000
OBJECTS: Final = 100_000
ALPHA: Final = 1.0
SCANNED: Final = 0.2  # of all requests
SCAN: Final = 500
COLD: Final = 1_000_000
TTL_MS: Final = 300_000


def zipf_with_scans(seed: int, requests: int) -> Iterator[tuple[int, bool]]:
    """Numbers of objects, and whether it is a scan's; those of scans are negative."""
    chance = random.Random(seed)
    sums = list(accumulate((place + 1) ** -ALPHA for place in range(OBJECTS)))
    made = 0
    while made < requests:
        if chance.random() < SCANNED / SCAN / (1 - SCANNED):
            start = chance.randrange(COLD)
            for number in range(start, start + SCAN):
                yield -1 - number, True
            made += SCAN
        yield bisect(sums, chance.random() * sums[-1]), False
        made += 1


class Lru:
    """The yardstick."""

    def __init__(self, capacity: int) -> None:
        self._held: OrderedDict[int, None] = OrderedDict()
        self._capacity = capacity

    def asked(self, number: int) -> bool:
        if number in self._held:
            self._held.move_to_end(number)
            return True
        self._held[number] = None
        if len(self._held) > self._capacity:
            self._held.popitem(last=False)
        return False


class Ours:
    """``Memory`` with room for so many objects of one weight."""

    def __init__(self, capacity: int) -> None:
        self._stored = Stored(200, b"OK", [], b"x" * 1_000, Terms(0, 0, 1 << 60), b"")
        probe = Memory(1 << 30, tenant_share=1.0, largest=1 << 20)
        probe.put(_name(0), None, self._stored, 0)
        self._memory = Memory(probe.bytes * capacity, tenant_share=1.0, largest=1 << 20)

    def asked(self, number: int) -> bool:
        name = _name(number)
        if self._memory.get(name) is not None:
            return True
        self._memory.put(name, None, self._stored, 0)
        return False


def _name(number: int) -> bytes:
    return b"%012d" % number  # all of one length


def zipf_ratio(cache: Lru | Ours, trace: Sequence[tuple[int, bool]]) -> float:
    """Hits of the requests outside scans, in percent."""
    hits = asked = 0
    warm = len(trace) // 5
    for place, (number, scan) in enumerate(trace):
        hit = cache.asked(number)
        if place >= warm and not scan:
            asked += 1
            hits += hit
    return 100 * hits / asked


def saas_ratio(trace: Sequence[Event], budget: int = 64 << 20, warm_s: float = 600.0) -> dict[str, float]:
    """Hits in percent of all reads that may be stored, by scope and in ``all``, with the parts of other requests."""
    memory, purges = Memory(budget, tenant_share=0.25, largest=1 << 20), Purges()
    hits, reads, writes = Counter[str](), Counter[str](), 0
    for record, event in enumerate(trace, 1):
        now_ms = int(event.time_s * 1000)
        public = event.scope == "public"
        partition = PUBLIC if public else of_tenant(event.tenant)
        if event.method != "GET":
            named = [digest for tag in event.tags for digest in purge_of_tag(partition, tag.encode())]
            purges.obey((record, tuple(named)))
            writes += event.time_s >= warm_s
            continue
        owner = owner_prefix(CacheScope(event.scope), event.tenant, "issuer", event.user, "api")
        key = canonical_key(owner, "https", "app.example.com", event.path)
        found = memory.get(key)
        hit = found is not None and any(
            each.terms.age_ms(now_ms) < each.terms.lifetime_ms and purges.valid(each) for each in found.variants
        )
        if event.time_s >= warm_s:
            reads[event.scope] += 1
            hits[event.scope] += hit
        if not hit:
            tags = tags_of(partition, "app.example.com", event.path, [tag.encode() for tag in event.tags])
            stored = Stored(200, b"OK", [], b"x" * 4096, Terms(now_ms, 0, TTL_MS), key, tags=tags, seen=purges.last)
            memory.put(key, None if public else event.tenant, stored, now_ms)
    ratios = {scope: 100 * hits[scope] / reads[scope] for scope in sorted(reads)}
    return {"all": 100 * hits.total() / reads.total(), **ratios, "writes": 100 * writes / (writes + reads.total())}


def _times() -> tuple[float, float]:
    """Nanoseconds of a get that finds and of a put that evicts."""
    stored = Stored(200, b"OK", [(b"Content-Type", b"application/json")] * 10, b"x" * 1_000, Terms(0, 0, 1 << 60), b"")
    memory = Memory(16 << 20, tenant_share=1.0, largest=1 << 20)
    names = [
        b"a canonical key of about a hundred bytes, as those of most URLs with their tenant are %8d" % number
        for number in range(20_000)
    ]
    for name in names:
        memory.put(name, "tenant", stored, 0)
    # As from requests: made anew, so that their hashes are not known yet.
    kept = [bytes(bytearray(name)) for name in names if memory.get(name) is not None]
    began = time.perf_counter_ns()
    for _ in kept:
        pass
    loop = time.perf_counter_ns() - began
    began, get = time.perf_counter_ns(), memory.get
    for name in kept:
        get(name)
    got = time.perf_counter_ns() - began - loop
    fresh = [bytes(reversed(name)) for name in names]
    began, put = time.perf_counter_ns(), memory.put
    for name in fresh:
        put(name, "tenant", stored, 0)
    return got / len(kept), (time.perf_counter_ns() - began) / len(fresh)


def main() -> None:
    trace = list(zipf_with_scans(1, REQUESTS))
    print(f"Zipf {ALPHA}, {OBJECTS} objects, {len(trace)} requests, {SCANNED:.0%} of them in scans of {SCAN}")
    for part in (100, 10):
        ours, lru = (zipf_ratio(made(OBJECTS // part), trace) for made in (Ours, Lru))
        print(f"  {100 // part:3}% capacity: S3-FIFO {ours:.1f}%  LRU {lru:.1f}%  {ours - lru:+.1f}")
    reads = events(1, 7_200.0)
    told = "  ".join(f"{name} {ratio:.1f}%" for name, ratio in saas_ratio(reads).items())
    print(f"SaaS, {len(reads)} requests in two hours: {told}")
    get_ns, put_ns = min(_times() for _ in range(5))
    print(f"get {get_ns:.0f} ns, put {put_ns:.0f} ns")


if __name__ == "__main__":
    main()
