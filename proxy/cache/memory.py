"""What a worker keeps in its own memory, and what it lets go of. Pure; of one event loop.

S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023) over resources, one for a URL key
with all its variants: a small queue, whose items go unless they were asked for again, a main queue, whose items go
around for as often as they were asked for, and a queue of ghosts, the hashes of keys that have gone from the small
queue and would have better gone to the main one. A hit writes one small number, so that a scan moves nothing.

A tenant holds no more than its share: beyond it its own oldest go, and never another's.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from proxy.cache.entry import Stored

MAX_VARIANTS: Final = 16  # of one URL
KEPT_STALE_MS: Final = 600_000  # after it can't be served any more, for a validation or a dead origin

_RESOURCE_WEIGHT: Final = 500  # of a resource without variants and its places in the queues
_SMALL: Final = 10  # the small queue's part of the budget: one tenth
_MOST_ASKED: Final = 3  # how often, as far as it counts
_SWEPT: Final = 2  # resources looked at in each put


class Resource:
    """One URL's stored answers, oldest first. Read only but for Memory."""

    __slots__ = ("asked", "key", "main", "owner", "variants", "weight")

    def __init__(self, key: bytes, owner: str | None) -> None:
        self.key = key
        self.owner = owner  # the tenant; None: public
        self.variants: list[Stored] = []
        self.weight = _RESOURCE_WEIGHT + len(key)  # bytes
        self.asked = 0  # since it was put, up to _MOST_ASKED
        self.main = False  # in which queue it is


class _Owned:
    """What one tenant holds: its resources in the order that they came in."""

    __slots__ = ("queue", "weight")

    def __init__(self) -> None:
        self.queue: OrderedDict[bytes, Resource] = OrderedDict()
        self.weight = 0


class Memory:
    """At most ``budget`` bytes, ``tenant_share`` (0 to 1) of it for one tenant, no body above ``largest`` bytes."""

    def __init__(self, budget: int, *, tenant_share: float, largest: int) -> None:
        self.evictions = 0  # resources that had to make room, and variants that had to for a newer one
        self.bytes = 0
        self._budget = budget
        self._share = int(budget * tenant_share)
        self._largest = largest
        self._index: dict[bytes, Resource] = {}
        self._small: OrderedDict[bytes, Resource] = OrderedDict()
        self._small_bytes = 0
        self._main: OrderedDict[bytes, Resource] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._owned: dict[str, _Owned] = {}
        self._hand: Iterator[bytes] = iter(())

    @property
    def entries(self) -> int:
        """How many URLs there are answers of."""
        return len(self._index)

    def get(self, key: bytes) -> Resource | None:
        """What there is for a key, also what has become stale: that its terms tell."""
        resource = self._index.get(key)
        if resource is not None and resource.asked < _MOST_ASKED:
            resource.asked += 1
        return resource

    def put(self, key: bytes, owner: str | None, stored: Stored, now_ms: int) -> bool:
        """Adds a variant, or replaces the one with the same ``vary``. False: it is too large to be kept.

        ``owner`` is the tenant that it counts for, None where it is public; the same for one key always. What it
        replaces goes in any case.
        """
        self._sweep(now_ms)
        weight = stored.weight
        fits = len(stored.body) <= self._largest and _RESOURCE_WEIGHT + len(key) + weight <= self._share
        resource = self._index.get(key)
        if resource is not None:
            self._replace(resource, stored, weight if fits else 0)
        elif fits:
            self._add(key, owner, stored, weight)
        return fits

    def remove(self, key: bytes, stored: Stored) -> None:
        """Lets go of one variant, if it is still there."""
        resource = self._index.get(key)
        if resource is None:
            return
        for place, each in enumerate(resource.variants):
            if each is stored:
                self._drop_variant(resource, place)
                break
        if not resource.variants:
            self._remove(resource)

    def held_by(self, owner: str) -> int:
        """Bytes that count for a tenant."""
        owned = self._owned.get(owner)
        return owned.weight if owned is not None else 0

    # --- bookkeeping: every change of a weight or a place is one of these ---

    def _grow(self, resource: Resource, by: int) -> None:
        resource.weight += by
        self.bytes += by
        if not resource.main:
            self._small_bytes += by
        if resource.owner is not None:
            self._owned[resource.owner].weight += by

    def _add(self, key: bytes, owner: str | None, stored: Stored, weight: int) -> None:
        resource = Resource(key, owner)
        resource.variants.append(stored)
        resource.weight += weight
        if owner is not None:
            self._hold_to_share(owner, self._share - resource.weight)
        while self.bytes + resource.weight > self._budget:
            self._evict()
        self._index[key] = resource
        self.bytes += resource.weight
        if hash(key) in self._ghosts:
            del self._ghosts[hash(key)]
            resource.main = True
            self._main[key] = resource
        else:
            self._small[key] = resource
            self._small_bytes += resource.weight
        if owner is not None:
            owned = self._owned.get(owner)
            if owned is None:
                owned = self._owned[owner] = _Owned()
            owned.queue[key] = resource
            owned.weight += resource.weight

    def _replace(self, resource: Resource, stored: Stored, weight: int) -> None:
        """``weight`` is 0 where the new one can't be kept."""
        for place, each in enumerate(resource.variants):
            if each.vary == stored.vary:
                self._drop_variant(resource, place)
                break
        if weight:
            resource.variants.append(stored)
            self._grow(resource, weight)
            while len(resource.variants) > MAX_VARIANTS or resource.weight > self._share:
                self._drop_variant(resource, 0)
                self.evictions += 1
        if not resource.variants:
            self._remove(resource)
            return
        if resource.owner is not None:
            self._hold_to_share(resource.owner, self._share)
        while self.bytes > self._budget:
            self._evict()

    def _drop_variant(self, resource: Resource, place: int) -> None:
        self._grow(resource, -resource.variants.pop(place).weight)

    def _remove(self, resource: Resource) -> None:
        key, owner, weight = resource.key, resource.owner, resource.weight
        del self._index[key]
        self.bytes -= weight
        if resource.main:
            del self._main[key]
        else:
            del self._small[key]
            self._small_bytes -= weight
        if owner is not None:
            owned = self._owned[owner]
            del owned.queue[key]
            owned.weight -= weight
            if not owned.queue:
                del self._owned[owner]

    # --- who goes ---

    def _hold_to_share(self, owner: str, most: int) -> None:
        """The tenant's own oldest go; what was asked for since it came goes around once more."""
        owned = self._owned.get(owner)
        while owned is not None and owned.weight > most:
            key, resource = next(iter(owned.queue.items()))
            if resource.asked:
                resource.asked -= 1
                owned.queue.move_to_end(key)
                continue
            self.evictions += 1
            self._remove(resource)
            owned = self._owned.get(owner)

    def _evict(self) -> None:
        """Lets one resource go; there is one."""
        while True:
            if self._small and (self._small_bytes * _SMALL >= self._budget or not self._main):
                resource = next(iter(self._small.values()))
                if resource.asked <= 1:
                    self._remember(resource)
                    break
                del self._small[resource.key]
                self._small_bytes -= resource.weight
                resource.asked, resource.main = 0, True
                self._main[resource.key] = resource
            else:
                resource = next(iter(self._main.values()))
                if not resource.asked:
                    break
                resource.asked -= 1
                self._main.move_to_end(resource.key)
        self.evictions += 1
        self._remove(resource)

    def _remember(self, resource: Resource) -> None:
        self._ghosts[hash(resource.key)] = None
        while len(self._ghosts) > max(len(self._main), len(self._index) - len(self._main)):
            self._ghosts.popitem(last=False)

    def _sweep(self, now_ms: int) -> None:
        """Looks at a few resources, at all of them in turn, and removes those that are of no more use."""
        for _ in range(_SWEPT):
            key = next(self._hand, None)
            if key is None:
                self._hand = iter(list(self._index))
                return
            resource = self._index.get(key)
            if resource is None:
                continue
            for place in range(len(resource.variants) - 1, -1, -1):
                if useless(resource.variants[place], now_ms):
                    self._drop_variant(resource, place)
            if not resource.variants:
                self._remove(resource)


def useless(stored: Stored, now_ms: int) -> bool:
    """Whether it has been stale for so long that nobody will want it."""
    terms = stored.terms
    return terms.age_ms(now_ms) >= terms.lifetime_ms + max(terms.swr_ms, terms.sie_ms) + KEPT_STALE_MS
