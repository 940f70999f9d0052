"""A request as the cache sees it: whose it is, what it is found by, what it asks for."""

import copy
from typing import Final

from multidict import CIMultiDictProxy, istr

from proxy.cache.digests import PUBLIC, Partition, canonical_key, of_tenant, owner_prefix
from proxy.cache.query import normalised_target
from proxy.cache.reuse import Wish
from proxy.cache.terms import Asked
from proxy.cache.vary import compared
from proxy.core.headers import HOP_BY_HOP, list_members
from proxy.core.identity import Identity, IdentityKind, claim_at
from proxy.gateway.exchange import Exchange
from proxy.policy.caching import Bypass, CacheScope, Caching

_MEMO: Final = "gateway.cache"

_CONNECTION: Final = istr("Connection")
_OPTIONS: Final = HOP_BY_HOP | {b"close"}  # what Connection may say without taking away a field that an app would see
_HARMLESS: Final = (["keep-alive"], ["close"], ["Keep-Alive"], ["Close"])

# Some frameworks and servers let these say what a request is, in place of its target, method and Host, which are all
# that a key holds: what one client gets by them must not be what others get without. (X-Forwarded-* never pass here.)
STEERING: Final = frozenset(
    {
        istr("X-Original-URL"),  # the target: IIS' rewriting, Symfony, Zend, ingresses
        istr("X-Rewrite-URL"),
        istr("X-HTTP-Method-Override"),  # the method: Rails, Symfony, Express' method-override, ASP.NET
        istr("X-HTTP-Method"),
        istr("X-Method-Override"),
        istr("X-Host"),  # the host, and so the links in what is answered
        istr("X-Original-Host"),
        istr("X-HTTP-Host-Override"),
        istr("X-Url-Scheme"),  # the scheme, and so where it redirects to
        istr("Front-End-Https"),
    }
)


class CachedRequest:
    """Made once a request."""

    __slots__ = (
        "caching",
        "exchange",
        "headers",
        "host",
        "identity",
        "key",
        "owner",
        "partition",
        "shelf",
        "target",
        "wish",
    )

    def __init__(
        self, exchange: Exchange, caching: Caching, shelf: str, identity: Identity, owner: bytes, wish: Wish
    ) -> None:
        """``owner`` is from ``owner_of`` for this ``shelf``."""
        self.exchange = exchange
        self.shelf = shelf
        self.caching = caching
        self.identity = identity
        self.wish = wish
        self.headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
        self.host = exchange.forwarded_host.lower()
        self.target = normalised_target(exchange.target, caching.ignore_query, caching.only_query)
        self.key = canonical_key(owner, exchange.scheme, self.host, self.target)
        public = caching.scope is CacheScope.PUBLIC
        self.owner = None if public else identity.tenant
        self.partition: Partition = PUBLIC if public else of_tenant(identity.tenant or "")

    def behind(self, exchange: Exchange, wish: Wish) -> "CachedRequest":
        """The same, asked on nobody's behalf."""
        other = copy.copy(self)
        other.exchange, other.wish = exchange, wish
        return other

    def flight_key(self, vary: tuple[tuple[str, str], ...]) -> bytes:
        """What those fetch together who select the same by these fields: the key, and what this request has in them."""
        values = [compared(name, self.headers, self.caching.profile) for name, _ in vary]
        return self.key + "\0".join(values).encode("utf-8", "surrogatepass")

    def asked(self, untold: frozenset[bytes]) -> Asked:
        """For the standard's decisions; ``untold`` as ``Runtime.untold``."""
        exchange = self.exchange
        return Asked(
            exchange.method,
            f"{exchange.scheme}://{exchange.forwarded_host}",
            exchange.target,
            self.headers,
            identified=self.identity.kind is not IdentityKind.ANONYMOUS,
            no_store=not self.wish.stores,
            untold=untold,
        )


def is_steered(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the answer may depend on what neither its key nor Vary can see: on fields by which apps override the
    target, or on the lack of those that Connection takes away before the app sees them (RFC 9110 §7.6.1)."""
    if not headers.keys().isdisjoint(STEERING):
        return True
    lines = headers.getall(_CONNECTION, None)
    if lines is None or lines in _HARMLESS:
        return False
    return any(not _OPTIONS.issuperset(list_members(line.encode("utf-8", "surrogateescape"))) for line in lines)


def owner_of(caching: Caching, shelf: str, identity: Identity) -> bytes | None:
    """What the keys of this caller's answers begin with; None where the scope wants an owner and there is none."""
    if caching.scope is CacheScope.PUBLIC:
        return owner_prefix(CacheScope.PUBLIC, None, "", None, shelf)
    name = (_MEMO, caching.scope, shelf)
    memo = identity.memo
    if name not in memo:
        try:
            memo[name] = owner_prefix(caching.scope, identity.tenant, identity.issuer, identity.user, shelf)
        except ValueError:
            memo[name] = None
    owner: bytes | None = memo[name]
    return owner


def may_bypass(bypass: Bypass, identity: Identity) -> bool:
    """Whether this caller gets the upstream's own answer when it asks for it."""
    if identity.tier in bypass.tiers:
        return True
    return any(all(claim_at(identity.claims, path) == value for path, value in rule.claims) for rule in bypass.claims)
