"""Appends what ops purge to the log that every worker of every gateway reads: all of them obey within a second."""

from dataclasses import dataclass
from typing import Any, Final

from proxy.admin.cachestats import scope_of
from proxy.admin.moments import precisely
from proxy.admin.purgewords import Wanted, cachings, digests
from proxy.admin.stores import Unanswered, cache_url
from proxy.cache.purgelog import LOG, MAX_RECORDS
from proxy.cache.purges import id_parts, number_of, packed
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.store.errors import StoreAway
from proxy.store.scripts import load

ANSWER_MS: Final = 5_000
OBEYED_S: Final = 1.0  # by workers that Redis reaches; those that it does not reach reuse nothing older than this

_PER_RECORD: Final = 512  # digests


@dataclass(frozen=True, slots=True)
class Purged:
    """``record``: the last of the log that says it."""

    wanted: Wanted
    record: int
    concerned: bool  # whether the policy has a route that stores such a thing

    @property
    def at_ms(self) -> int:
        """By Redis' clock: what was fetched before is not reused."""
        return id_parts(self.record)[0]

    def __str__(self) -> str:
        return f"purged {self.wanted}: what was stored before {precisely(self.at_ms)} is not reused"

    def as_json(self) -> dict[str, Any]:
        wanted = self.wanted
        what: dict[str, Any] = {
            "url": wanted.url,
            "prefix": wanted.prefix,
            "tags": list(wanted.tags) or None,
            "tenant": wanted.tenant,
            "all": wanted.everything or None,
            "within": wanted.partition.tenant or None if wanted.tenant is None else None,
            "public": wanted.partition.kind == b"public" or None,
        }
        return {
            "purged": {name: value for name, value in what.items() if value is not None},
            "before": precisely(self.at_ms),
            "record": "{}-{}".format(*id_parts(self.record)),
            "obeyed_within_s": OBEYED_S,
            "routes_concerned": self.concerned,
        }


async def purge(policy: Policy, wanted: Wanted) -> Purged:
    """Raises: Unanswered."""
    named = digests(wanted, policy)
    records = [packed(named[at : at + _PER_RECORD]) for at in range(0, len(named), _PER_RECORD)]
    store = Store(cache_url(policy), ANSWER_MS)
    try:
        # Zeros: whoever asks has read nothing of the log.
        told = await store.run(load("cache_purges"), [LOG], b"0", b"0", b"%d" % MAX_RECORDS, *records)
    except StoreAway as away:
        again = "nothing may be purged yet; to ask again does no harm"
        raise Unanswered(f"the cache's Redis cannot be told: {away.detail}; {again}") from away
    finally:
        await store.close()
    return Purged(wanted, number_of(told[-1]), _concerns(policy, wanted))


def _concerns(policy: Policy, wanted: Wanted) -> bool:
    if wanted.url is not None:
        return bool(cachings(wanted.url, policy))
    return any(scope_of(route) is not None for route in policy.routes)
