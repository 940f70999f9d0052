"""What a request that changed something takes out of the cache (RFC 9111 §4.4), whichever route it took."""

import re

from proxy.cache.digests import PUBLIC, Partition, of_tenant, purge_of_url
from proxy.cache.invalidation import SAFE_METHODS, invalidated
from proxy.cache.query import normalised_target
from proxy.core.errors import GatewayError
from proxy.core.headers import RawHeaders
from proxy.core.identity import Identity
from proxy.gateway.caches import Caches
from proxy.gateway.exchange import Exchange
from proxy.policy.caching import CacheScope, Caching
from proxy.policy.model import Ambiguous, Policy
from proxy.policy.patterns import path_regex
from proxy.policy.target import matched_path
from proxy.telemetry.metrics import CACHE_PURGES


class Invalidation:
    """Of one policy: the routes that answers of a target may have been stored by."""

    def __init__(self, policy: Policy) -> None:
        self._routes: list[tuple[re.Pattern[str], Caching]] = [
            (re.compile(path_regex(route.match.path)), route.caching)
            for route in policy.routes
            if route.caching is not None
        ]

    def concerns(self, method: str) -> bool:
        """Whether an answer to this method may make stored ones invalid."""
        return bool(self._routes) and method not in SAFE_METHODS

    def heard(
        self, exchange: Exchange, identity: Identity, status: int, headers: RawHeaders, caches: Caches
    ) -> tuple[int, ...]:
        """The upstream has answered: what it may have changed is reused no more, before its client knows.

        A tenant's request invalidates what is stored for that tenant, all its users included, and what is public; never
        another tenant's. Gives the digests that were purged.
        """
        origin = f"{exchange.scheme}://{exchange.forwarded_host}"
        return self._purge(
            invalidated(exchange.method, status, origin, exchange.target, headers), exchange, identity, caches
        )

    def unheard(self, exchange: Exchange, identity: Identity, caches: Caches) -> None:
        """No answer has come: what was sent may have been acted on all the same, so its own URL is reused no more.

        What never left here has changed nothing.
        """
        attempt = exchange.attempt
        if attempt is not None and attempt.sent and self.concerns(exchange.method):
            self._purge((exchange.target,), exchange, identity, caches)

    def _purge(
        self, targets: tuple[str, ...], exchange: Exchange, identity: Identity, caches: Caches
    ) -> tuple[int, ...]:
        host = exchange.forwarded_host.lower()
        digests: dict[int, None] = {}
        for target in targets:
            path = _as_matched(target.partition("?")[0])
            for regex, caching in self._routes:
                partition = _partition(caching, identity)
                if partition is not None and regex.fullmatch(path):
                    named = normalised_target(target, caching.ignore_query, caching.only_query)
                    digests.update(dict.fromkeys(purge_of_url(partition, host, named)))
        if digests:
            caches.log.purge(digests)
            caches.metrics.inc(CACHE_PURGES, "write")
        return tuple(digests)


def _as_matched(path: str) -> str:
    """As routes see it. What none would take is left as it is."""
    try:
        return matched_path(path, Ambiguous.KEEP, Ambiguous.KEEP)
    except GatewayError:
        return path


def _partition(caching: Caching, identity: Identity) -> Partition | None:
    if caching.scope is CacheScope.PUBLIC:
        return PUBLIC
    return of_tenant(identity.tenant) if identity.tenant is not None else None
