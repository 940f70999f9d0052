"""Addresses in one form, and what of them is counted. Pure."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

MAX_REMEMBERED: Final = 10_000


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 that is mapped into IPv6 (RFC 4291 §2.5.5.2) as the IPv4 that it is."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


@lru_cache(MAX_REMEMBERED)
def counted_address(address: str) -> str:
    """What meters count an address by: IPv4 as it is, IPv6 by its /64, of which one customer has all (RFC 6177).

    What is no address (a unix socket's peer) is counted as it is written.
    """
    try:
        parsed = unmapped(ip_address(address))
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
