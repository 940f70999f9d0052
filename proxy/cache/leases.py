"""Who of all workers of all gateways fetches a URL: the others wait for what it stores."""

from typing import Final

from proxy.cache.digests import key_digest
from proxy.cache.link import Link
from proxy.store.scripts import load

_LEASE: Final = b"sl:{%b}"


def lease_key(digest: bytes) -> bytes:
    """Of a canonical key's digest."""
    return _LEASE % digest


class Leases:
    """One lease a key, each with the token of its holder; ``Shared.look`` gives it. Nothing raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._script = load("cache_lease")

    async def renew(self, key: bytes, token: bytes, ttl_ms: int) -> bool:
        """Whether it is still held, and from now for ``ttl_ms``."""
        return await self._call(key, b"renew", token, ttl_ms) == 1

    async def release(self, key: bytes, token: bytes) -> bool:
        """Whether it was held until now. It ends by itself where this is not heard."""
        return await self._call(key, b"release", token, 0) == 1

    async def _call(self, key: bytes, what: bytes, token: bytes, ttl_ms: int) -> object:
        return await self._link.run(self._script, (lease_key(key_digest(key)),), what, token, ttl_ms)
