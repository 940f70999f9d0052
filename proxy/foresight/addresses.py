"""Clients' addresses where a log has its peer and X-Forwarded-For: as the policy's gateway would find them. Pure.

Our own lines have the address that was found, and nginx's the peer's or what its realip module made of it.
"""

from typing import Final

from proxy.foresight.loglines import Entry
from proxy.identity.address import is_trusted, legacy_hops, nearest_untrusted
from proxy.policy.model import Policy

MAX_REMEMBERED: Final = 20_000


class LoggedAddresses:
    """Under one policy. ``unbelieved`` counts lines whose peer tells of others, and is none of its trusted proxies."""

    def __init__(self, policy: Policy) -> None:
        self._trusted = policy.listen.trusted_proxies
        self._found: dict[tuple[str, str], tuple[str, bool]] = {}
        self.unbelieved = 0

    def of(self, entry: Entry) -> str:
        """The nearest address that no trusted proxy has (RFC 7239 §8.1). Where the log does not tell the peer, it is
        whoever stands last in the field: the log's writer has put it there."""
        if not entry.forwarded:
            return entry.address
        told = (entry.address, entry.forwarded)
        found = self._found.get(told)
        if found is None:
            if len(self._found) >= MAX_REMEMBERED:
                self._found.clear()
            found = self._found[told] = self._read(*told)
        self.unbelieved += not found[1]
        return found[0]

    def _read(self, peer: str, forwarded: str) -> tuple[str, bool]:
        """The address, and whether what stands further left was heard."""
        hops = legacy_hops([forwarded], (), ())
        if hops and (not peer or hops[-1].node == peer):  # who has written the line has added its peer
            peer = hops.pop().node or ""
        return nearest_untrusted(peer, hops, self._trusted).address, not hops or is_trusted(peer, self._trusted)
