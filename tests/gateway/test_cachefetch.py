"""A fetch through the cache: what its answer does to what is stored, and when what is stored stands in for it."""

from types import SimpleNamespace

import pytest

from proxy.cache.entry import Stored, Terms
from proxy.cache.flights import Flights
from proxy.cache.memory import Memory
from proxy.cache.reuse import PLAIN, Failure, Wish
from proxy.gateway.cachefetch import keep, stands_in
from proxy.policy.caching import Profile

NOW = 1_800_000_000_000


def caches_of(*, purged=False):
    memory = Memory(1 << 20, tenant_share=1.0, largest=1 << 16)
    return SimpleNamespace(
        clock=SimpleNamespace(now_ms=lambda: NOW),
        flights=Flights(),
        memory=memory,
        keep=lambda owner, stored, now_ms: memory.put(stored.key, owner, stored, now_ms),
        may_reuse=lambda _stored: not purged,
    )


def asked(wish=PLAIN):
    return SimpleNamespace(wish=wish, key=b"key", owner="acme", caching=SimpleNamespace(profile=Profile.SAFE))


def stored(*, sie_ms=60_000, received_ms=NOW - 10_000):
    return Stored(200, b"OK", [], b"body", Terms(received_ms, 0, 5_000, sie_ms=sie_ms), b"key")


@pytest.mark.parametrize(
    ("best", "purged", "wish", "stands"),
    [
        (stored(), False, PLAIN, True),
        (None, False, PLAIN, False),
        (stored(), True, PLAIN, False),
        (stored(sie_ms=0), False, PLAIN, False),
        (stored(received_ms=NOW - 70_000), False, PLAIN, False),
        (stored(), False, Wish(reads=True, no_cache=True), False),
    ],
    ids=["for so long", "nothing stored", "purged", "not allowed", "too old", "not wished"],
)
@pytest.mark.parametrize("failure", list(Failure))
def test_what_is_stored_stands_in_for_an_upstream_that_fails(best, purged, wish, stands, failure):
    """As long as the answer said, and never after it was purged."""
    assert stands_in(best, asked(wish), caches_of(purged=purged), failure) is stands


def test_what_is_kept_is_waited_for_again():
    """It was marked as one whose answers cannot be stored: the next miss leads for all."""
    caches = caches_of()
    caches.flights.mark(b"key", 0)
    one = stored()
    keep(asked(), caches, one, NOW)
    assert not caches.flights.is_marked(b"key", 0)
    assert caches.memory.get(b"key").variants == [one]
