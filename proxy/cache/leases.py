"""Who of all workers of all gateways fetches a URL, or a variant of it: the others wait for what it stores."""

from typing import Final

from proxy.cache.digests import key_digest
from proxy.cache.link import Link
from proxy.store.scripts import load

_LEASE: Final = b"sl:{%b}"
_OF_VARIANT: Final = b":%b"


def lease_name(key: bytes, variant: bytes = b"") -> bytes:
    """Of a canonical key, and of what is known to select one of its variants: in a cluster where the answers are."""
    name = _LEASE % key_digest(key)
    return name + _OF_VARIANT % key_digest(variant) if variant else name


class Leases:
    """One lease a name, each with the token of its holder; ``Shared.look`` gives it. Nothing raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._script = load("cache_lease")

    async def renew(self, name: bytes, token: bytes, ttl_ms: int) -> bool:
        """Whether it is still held, and from now for ``ttl_ms``."""
        return await self._call(name, b"renew", token, ttl_ms) == 1

    async def release(self, name: bytes, token: bytes) -> bool:
        """Whether it was held until now. It ends by itself where this is not heard."""
        return await self._call(name, b"release", token, 0) == 1

    async def _call(self, name: bytes, what: bytes, token: bytes, ttl_ms: int) -> object:
        return await self._link.run(self._script, (name,), what, token, ttl_ms)
