"""The client's address behind proxies that the policy trusts, and what they say of scheme and host. Pure.

Each proxy adds the address it heard from at the right end, so the list is read from right to left, and only as long as
the speaker is trusted: the nearest address that is not a trusted proxy's is the client (RFC 7239 §8.1). What stands
further left may be anything that the client wrote.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from multidict import CIMultiDictProxy, istr

from proxy.core.addresses import unmapped
from proxy.identity.bounded import BoundedMap
from proxy.policy.model import Network

Headers = CIMultiDictProxy[str]

MAX_HOPS: Final = 32
MAX_REMEMBERED: Final = 10_000
MAX_REMEMBERED_CHARS: Final = 2**21

X_FORWARDED_FOR: Final = istr("X-Forwarded-For")
X_FORWARDED_PROTO: Final = istr("X-Forwarded-Proto")
X_FORWARDED_HOST: Final = istr("X-Forwarded-Host")
FORWARDED: Final = istr("Forwarded")

_V4_PORT = re.compile(r"([0-9.]+)(?::[0-9]{1,5})?")
_V6_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?")
_V6 = re.compile(r"[0-9A-Fa-f:.]+")
_HOST = re.compile(r"(?:[0-9A-Za-z_.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# One pair of a Forwarded element (RFC 7239 §4): a token, or a quoted string with its quoted pairs.
_PAIR = re.compile(r'[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]*))[ \t]*')


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end. ``scheme`` and ``host`` are None where no trusted proxy told them."""

    address: str
    scheme: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One proxy's word: for whom it forwarded, and how it was addressed. ``node`` is None where that is unreadable."""

    node: str | None
    scheme: str | None = None
    host: str | None = None


def parse_node(text: str) -> str | None:
    """The normal form of an address as proxies write it, with or without a port; None for anything else.

    Obfuscated names and ``unknown`` (RFC 7239 §6) are no addresses. IPv4 mapped into IPv6 becomes IPv4.
    """
    text = text.strip(" \t")
    for form in (_V4_PORT, _V6_PORT):
        found = form.fullmatch(text)
        if found is not None:
            text = found[1]
            break
    else:
        if _V6.fullmatch(text) is None:
            return None
    try:
        return str(unmapped(ip_address(text)))
    except ValueError:
        return None


def parse_forwarded(values: Iterable[str]) -> list[Hop]:
    """The elements of Forwarded fields (RFC 7239 §4), in order. From an element that is not well formed on, to its
    left, nothing can be believed: it becomes a hop without a node.
    """
    hops: list[Hop] = []
    for value in values:
        hops += _forwarded_elements(value)
    return hops


def _forwarded_elements(value: str) -> list[Hop]:
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    position = 0
    while True:
        found = _PAIR.match(value, position)
        if found is None:
            if not value[position:].strip(" \t") and not pairs:
                return hops  # an empty list member
            return [*hops, Hop(None)]
        name = found[1].lower()
        if name in pairs:
            return [*hops, Hop(None)]
        pairs[name] = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        position = found.end()
        separator = value[position : position + 1]
        position += 1
        if separator == ";":
            continue
        hops.append(_hop(pairs.get("for"), pairs.get("proto"), pairs.get("host")))
        pairs = {}
        if separator == "":
            return hops
        if separator != ",":
            return [*hops, Hop(None)]


def _hop(node: str | None, scheme: str | None, host: str | None) -> Hop:
    return Hop(parse_node(node) if node is not None else None, _scheme(scheme), _host(host))


def _scheme(text: str | None) -> str | None:
    scheme = text.strip(" \t").lower() if text is not None else None
    return scheme if scheme in ("http", "https") else None


def _host(text: str | None) -> str | None:
    host = text.strip(" \t") if text is not None else ""
    return host.lower() if _HOST.fullmatch(host) else None


def _members(values: Iterable[str]) -> list[str]:
    """Members of comma lists, those that are empty left out (RFC 9110 §5.6.1)."""
    return [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]


def nearest_untrusted(peer: str, hops: Sequence[Hop], trusted: Sequence[Network]) -> Caller:
    """Walk from the right while the speaker is trusted. ``peer`` is in normal form.

    A hop that cannot be read stops the walk: the proxy that wrote it is the last one known. Where all are trusted the
    leftmost is the client.
    """
    caller = Caller(peer)
    for hop in reversed(hops[-MAX_HOPS:]):
        if not is_trusted(caller.address, trusted):
            break
        # Who told us of this hop is trusted, so its word on scheme and host is as good, even without an address.
        scheme, host = hop.scheme or caller.scheme, hop.host or caller.host
        if hop.node is None:
            return Caller(caller.address, scheme, host)
        caller = Caller(hop.node, scheme, host)
    return caller


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is one of the trusted proxies'; what is no address (a unix socket's peer) never is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def legacy_hops(addresses: Iterable[str], schemes: Iterable[str], hosts: Iterable[str]) -> list[Hop]:
    """The X-Forwarded-* fields as hops. Lists of schemes and hosts are matched from the right; most are one value,
    which the outermost trusted proxy wrote, so the leftmost value holds for all hops further left.
    """
    nodes, told_schemes, told_hosts = _members(addresses), _members(schemes), _members(hosts)
    hops: list[Hop] = []
    for back in range(1, len(nodes) + 1):
        scheme = told_schemes[max(-back, -len(told_schemes))] if told_schemes else None
        host = told_hosts[max(-back, -len(told_hosts))] if told_hosts else None
        hops.append(_hop(nodes[-back], scheme, host))
    hops.reverse()
    return hops


class CallerFinder:
    """Knows the trusted proxies, and remembers whom it found."""

    __slots__ = ("_found", "_peers", "_trusted")

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._peers: BoundedMap[tuple[Caller, bool]] = BoundedMap(MAX_REMEMBERED, MAX_REMEMBERED_CHARS)
        self._found: BoundedMap[Caller] = BoundedMap(MAX_REMEMBERED, MAX_REMEMBERED_CHARS)

    def find(self, peer: str, headers: Headers) -> Caller:
        """The caller of a request that ``peer``, the connection's other end, has sent.

        X-Forwarded-For is read where there is one, else Forwarded: a proxy that writes the one passes on what a client
        wrote into the other. A proxy that writes Forwarded must therefore take X-Forwarded-For out.
        """
        known = self._peers.get(peer)
        if known is None:
            address = parse_node(peer) or peer
            known = Caller(address), is_trusted(address, self._trusted)
            self._peers.put(peer, known)
        caller, trusted = known
        return self._told(caller.address, headers) if trusted else caller

    def _told(self, peer: str, headers: Headers) -> Caller:
        addresses = headers.getall(X_FORWARDED_FOR, _NONE)
        schemes = headers.getall(X_FORWARDED_PROTO, _NONE)
        hosts = headers.getall(X_FORWARDED_HOST, _NONE)
        forwarded = _NONE if addresses else headers.getall(FORWARDED, _NONE)
        text = "\n".join((peer, *addresses, "", *schemes, "", *hosts, "", *forwarded))
        found = self._found.get(text)
        if found is None:
            found = self._read(peer, addresses, schemes, hosts, forwarded)
            self._found.put(text, found)
        return found

    def _read(
        self, peer: str, addresses: list[str], schemes: list[str], hosts: list[str], forwarded: list[str]
    ) -> Caller:
        hops = legacy_hops(addresses, schemes, hosts) if addresses else parse_forwarded(forwarded)
        if hops:
            return nearest_untrusted(peer, hops, self._trusted)
        # The trusted proxy says nothing of an address, perhaps of scheme and host.
        told_schemes, told_hosts = _members(schemes), _members(hosts)
        scheme = _scheme(told_schemes[-1]) if told_schemes else None
        return Caller(peer, scheme, _host(told_hosts[-1]) if told_hosts else None)


_NONE: Final[list[str]] = []
