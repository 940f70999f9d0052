"""A stored response, with what was decided of it when it came, so that a hit costs a comparison of numbers."""

from dataclasses import dataclass
from typing import Any, Final

from proxy.core.headers import RawHeaders

FOREVER_MS: Final = (1 << 31) * 1000  # what a delta that is larger means (RFC 9111 §1.2.2)


@dataclass(frozen=True, slots=True)
class Terms:
    """For how long and on what conditions a response may be reused; times in epoch ms, lengths in ms.

    A response is fresh while ``age_ms(now) < lifetime_ms`` (RFC 9111 §4.2).
    """

    received_ms: int  # when its head came, or when it was last validated
    initial_age_ms: int  # corrected_initial_age (§4.2.3)
    lifetime_ms: int
    heuristic: bool = False  # nobody said the lifetime (§4.2.2)
    no_cache: bool = False  # reuse only after validation (§5.2.2.4)
    must_revalidate: bool = False  # never stale beyond these windows: must-revalidate, s-maxage and the like (§4.2.4)
    swr_ms: int = 0  # stale-while-revalidate (RFC 5861 §3); 0 where stale is forbidden outright
    sie_ms: int = 0  # stale-if-error (RFC 5861 §4); likewise
    date_ms: int = 0  # its Date, or when it came: of several that match the latest is used (§4)

    def age_ms(self, now_ms: int) -> int:
        """current_age (§4.2.3); a clock that steps back makes nothing younger than it came."""
        return self.initial_age_ms + max(now_ms - self.received_ms, 0)

    def left_ms(self, now_ms: int) -> int:
        """Of its lifetime; negative once it is stale."""
        return self.lifetime_ms - self.age_ms(now_ms)


@dataclass(slots=True, weakref_slot=True)
class Stored:
    """One response, as it is kept. Immutable but for ``seen`` and what is not stored.

    ``headers`` are raw, in order, less hop-by-hop fields, those that Connection named, and Age. ``vary`` are the
    selecting fields: lower-case name and the request's value, in the form that it is compared in (§4.1).
    """

    status: int
    reason: bytes
    headers: RawHeaders
    body: bytes
    terms: Terms
    key: bytes  # canonical: compared when it is read, so that a collision of digests finds nothing
    vary: tuple[tuple[str, str], ...] = ()
    range: tuple[int, int, int] | None = None  # of a 206: first and last byte, and the whole length (-1: not known)
    tags: tuple[int, ...] = ()  # digests of all that a purge could name it by; first what names its content alone
    seen: int = 0  # the last purge that was known before its fetch began
    fetch_ms: int = 0  # how long the upstream took: what an early refresh is weighed by
    etag: bytes = b""
    modified: bytes = b""  # Last-Modified as it came
    saved_nanousd: int = 0  # what a hit spares, of an answer to an AI call
    checked: int = -1  # the last purge that it was compared with; this and what follows is not stored
    new_until_ms: float = float("-inf")  # monotonic: so long it is what this worker has just fetched itself
    due: bool = False  # to be fetched anew by the next hit, although it is fresh
    ready: tuple[Any, bytes] | None = None  # its head as it leaves, and for what that was made

    @property
    def own(self) -> tuple[int, ...]:
        """What names its content and no other (``digests.purge_of_content``): one digest, or none."""
        return self.tags[:1]

    @property
    def weight(self) -> int:
        """Bytes that it takes in memory, about: its fields twice, since they are in ``ready`` once more."""
        fields = sum(2 * (len(n) + len(v)) + 144 for n, v in self.headers)
        selecting = sum(len(n) + len(v) + 160 for n, v in self.vary)
        return 700 + len(self.body) + len(self.key) + fields + selecting + 44 * len(self.tags)
