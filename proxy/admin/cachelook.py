"""What the cache's Redis has for a request, and what was purged of it since: looked up for ops, without any body."""

from typing import Any, Final

from proxy.admin.cacheexplain import Look, told
from proxy.admin.cachequestion import Question, place
from proxy.admin.stores import Unanswered, cache_url
from proxy.cache.link import Link
from proxy.cache.purgelog import LOG
from proxy.cache.purges import Record, id_parts, number_of, unpacked
from proxy.cache.room import Room
from proxy.cache.shared import Listing, Shared
from proxy.core.clock import Clock
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.errors import StoreAway

ANSWER_MS: Final = 5_000

_COUNT: Final = 1_000  # records at once


async def explain(policy: Policy, question: Question, clock: Clock) -> dict[str, Any]:
    """JSON's map; Redis is only asked where the cache would ask it. Raises: Unanswered."""
    found = place(policy, question)
    return told(found, await look(policy, found.key, clock) if found.key else Look(), clock.now_ms())


async def look(policy: Policy, key: bytes, clock: Clock) -> Look:
    """Raises: Unanswered."""
    url = cache_url(policy)
    link, store = Link(url, clock, ANSWER_MS), Store(url, ANSWER_MS)
    try:
        listing = await Shared(link, Room(link, None)).listed(key)
        if not isinstance(listing, Listing):
            raise Unanswered(f"the cache's Redis ({url}) cannot be asked")
        if not listing.variants:
            return Look(listing)
        first, records = await _purged(store, min(one.stored.seen for one in listing.variants))
        return Look(listing, first, records)
    except StoreAway as away:
        raise Unanswered(f"the cache's Redis cannot be asked: {away.detail}") from away
    finally:
        await link.close()
        await store.close()


async def _purged(store: Store, seen: int) -> tuple[int | None, tuple[Record, ...]]:
    """The log's first record, and all after ``seen``. Raises: StoreAway."""
    oldest = await store.command(b"XRANGE", LOG, b"-", b"+", b"COUNT", b"1")
    if not oldest:
        return None, ()
    records: list[Record] = []
    last = seen
    while True:
        start = b"%d-%d" % id_parts(last + 1)
        entries = await store.command(b"XRANGE", LOG, start, b"+", b"COUNT", b"%d" % _COUNT)
        records += [(number_of(entry), unpacked(fields[1])) for entry, fields in entries]
        if len(entries) < _COUNT:
            return number_of(oldest[0][0]), tuple(records)
        last = records[-1][0]
