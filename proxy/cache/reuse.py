"""What a request asks of the cache, and whether a stored response may answer it (RFC 9111 §4, §5.2.1; RFC 5861).

Pure, never raises. ``now_ms`` is epoch ms.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import lru_cache
from math import log
from typing import Final

from multidict import CIMultiDictProxy, istr

from proxy.cache.conditions import range_applies
from proxy.cache.directives import parse, seconds_ms
from proxy.cache.entry import FOREVER_MS, Stored
from proxy.cache.ranges import Range, parse_range, within
from proxy.policy.caching import Caching, Profile

Headers = CIMultiDictProxy[str]

_READS: Final = frozenset({"GET", "HEAD"})
_CACHE_CONTROL: Final = istr("Cache-Control")
_RANGE: Final = istr("Range")
_IF_RANGE: Final = istr("If-Range")
_IF_NONE_MATCH: Final = istr("If-None-Match")
_IF_MODIFIED_SINCE: Final = istr("If-Modified-Since")
# What only the origin can judge (RFC 9110 §13.1.1, §13.1.4), and contents, which no key holds.
_IF_MATCH: Final = istr("If-Match")
_IF_UNMODIFIED_SINCE: Final = istr("If-Unmodified-Since")
_TRANSFER_ENCODING: Final = istr("Transfer-Encoding")
_CONTENT_LENGTH: Final = istr("Content-Length")
_LEAST_PART: Final = 10  # an early refresh comes in the last tenth of a lifetime at most
_REMEMBERED: Final = 256
_REMEMBERED_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """A request, as far as the cache is concerned. Lengths in ms."""

    reads: bool  # a stored response may answer it
    stores: bool = True  # its answer may be stored (§5.2.1.5)
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_ms: int = FOREVER_MS
    min_fresh_ms: int = 0
    max_stale_ms: int = 0
    range: Range | None = None  # of a GET, if it is one range of bytes
    if_range: str = ""
    conditional: bool = False  # If-None-Match or If-Modified-Since


PLAIN: Final = Wish(reads=True)  # nearly every request
NO_READ: Final = Wish(reads=False)
NO_FETCH: Final = Wish(reads=False, only_if_cached=True)


class Use(Enum):
    """What to do with the response that a request selects."""

    FRESH = "fresh"
    WHILE_REVALIDATING = "while-revalidating"  # serve it, and fetch anew behind it (RFC 5861 §3)
    AS_ASKED = "as-asked"  # stale, but the client takes it (§5.2.1.2)
    STALE = "stale"  # ask upstream first
    REQUEST = "request"  # likewise: it is fresh, and the client wants fresher
    PARTIAL = "partial"  # fresh, but not all that is asked for

    @property
    def serves(self) -> bool:
        """Whether it answers the request at once."""
        return self in _SERVES


_SERVES: Final = frozenset({Use.FRESH, Use.WHILE_REVALIDATING, Use.AS_ASKED})


class Failure(StrEnum):
    """How the upstream failed."""

    DISCONNECTED = "disconnected"  # no answer came: refused, cut, too late
    STATUS = "status"  # it answered 500, 502, 503 or 504 (RFC 5861 §4)


FIRST_SERVER_ERROR: Final = 500
STALE_IF_ERROR: Final = frozenset({500, 502, 503, 504})  # the statuses that RFC 5861 §4 calls an error


def read_wish(method: str, headers: Headers, caching: Caching, *, may_bypass: bool) -> Wish:
    """``may_bypass``: in the safe profile, whether this caller's no-cache counts. That profile takes no other word of
    a client than that its answer must not be stored, and that nothing may be fetched: that also counts where nothing
    stored can answer it.
    """
    passes = (
        method not in _READS
        or _IF_MATCH in headers
        or _IF_UNMODIFIED_SINCE in headers
        or _TRANSFER_ENCODING in headers
        or headers.get(_CONTENT_LENGTH, "0") != "0"
    )
    asked = PLAIN
    if _CACHE_CONTROL in headers:
        value = ",".join(headers.getall(_CACHE_CONTROL))
        read = _remembered if len(value) <= _REMEMBERED_CHARS else _directives
        asked = read(value, caching.profile, may_bypass)
    if passes:
        return NO_FETCH if asked.only_if_cached and method in _READS else NO_READ
    conditional = _IF_NONE_MATCH in headers or _IF_MODIFIED_SINCE in headers
    ranged = parse_range(headers[_RANGE]) if _RANGE in headers and method == "GET" else None
    if not conditional and ranged is None:
        return asked
    if_range = headers.get(_IF_RANGE, "") if ranged is not None else ""
    return replace(asked, range=ranged, if_range=if_range, conditional=conditional)


def forbids_storing(headers: Headers) -> bool:
    """Whether a request of any method says that its answer must not be stored (§5.2.1.5)."""
    lines = headers.getall(_CACHE_CONTROL, ())
    return b"no-store" in parse(line.encode("utf-8", "surrogateescape") for line in lines)


def reuse(stored: Stored, wish: Wish, now_ms: int) -> Use:
    """Whether ``stored``, which the request has selected, may answer it."""
    terms = stored.terms
    age_ms = terms.age_ms(now_ms)
    left_ms = terms.lifetime_ms - age_ms
    if terms.no_cache:
        return Use.STALE
    if left_ms > 0:
        if stored.range is not None and not _covers(stored, wish, now_ms):
            return Use.PARTIAL
        if wish is PLAIN:
            return Use.FRESH
        if wish.no_cache or age_ms > wish.max_age_ms or left_ms < wish.min_fresh_ms:
            return Use.REQUEST
        return Use.FRESH
    if wish.no_cache or age_ms > wish.max_age_ms or wish.min_fresh_ms:
        return Use.STALE
    if stored.range is not None and not _covers(stored, wish, now_ms):
        return Use.STALE
    if -left_ms < terms.swr_ms:
        return Use.WHILE_REVALIDATING
    if -left_ms < wish.max_stale_ms and not terms.must_revalidate:
        return Use.AS_ASKED
    return Use.STALE


def serves_on_error(stored: Stored, wish: Wish, now_ms: int, failure: Failure, profile: Profile) -> bool:
    """Whether a response that may not be used otherwise answers once the upstream has failed (§4.2.4, RFC 5861 §4).

    Within stale-if-error it does. By the standard's letter a cache that is cut off may serve what is stale for any
    time, unless the app forbids it; the safe profile does not.
    """
    terms = stored.terms
    if terms.no_cache or wish.no_cache or not _covers(stored, wish, now_ms):
        return False
    if terms.age_ms(now_ms) - terms.lifetime_ms < terms.sie_ms:
        return True
    return failure is Failure.DISCONNECTED and profile is Profile.RFC and not terms.must_revalidate


def early(stored: Stored, now_ms: int, roll: float) -> bool:
    """Whether this hit of a fresh response fetches it anew already, so that few find it stale together.

    XFetch with β = 1 (Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015):
    the longer a fetch takes, and the nearer the end, the likelier. ``roll`` is uniform in (0, 1].
    """
    terms = stored.terms
    left_ms = terms.lifetime_ms - terms.age_ms(now_ms)
    if left_ms * _LEAST_PART > terms.lifetime_ms:
        return False
    return -log(roll) * stored.fetch_ms >= left_ms


def outranked(stored: Stored, by: Stored, now_ms: int) -> str:
    """Why ``stored`` must not take the place of another answer that may be reused; empty: it may.

    An error is less than an answer for whatever request: errors seldom say what they vary by. A part is less than the
    whole of the same, as long as that is fresh; and what came earlier, but took longer to be whole, is less than what
    came later (RFC 9111 §4: the most recent one is used).
    """
    if stored.status >= FIRST_SERVER_ERROR > by.status:
        return "error"
    if by.vary != stored.vary or (by.range is not None and stored.range is None):
        return ""
    if stored.range is not None and by.range is None and by.terms.left_ms(now_ms) > 0:
        return "part"
    late = by.terms.received_ms > stored.terms.received_ms
    return "older" if late and (by.status < FIRST_SERVER_ERROR or stored.status >= FIRST_SERVER_ERROR) else ""


def _covers(stored: Stored, wish: Wish, now_ms: int) -> bool:
    """Whether what is held of it is all that is asked for."""
    if stored.range is None:
        return True
    return within(stored.range, wish.range) is not None and range_applies(stored, wish.if_range, now_ms)


def _directives(value: str, profile: Profile, may_bypass: bool) -> Wish:
    found = parse((value.encode("utf-8", "surrogateescape"),))
    stores = b"no-store" not in found
    only_if_cached = b"only-if-cached" in found
    if profile is Profile.SAFE:
        no_cache = may_bypass and b"no-cache" in found
        if stores and not only_if_cached and not no_cache:
            return PLAIN
        return Wish(reads=True, stores=stores, no_cache=no_cache, only_if_cached=only_if_cached)
    max_age_ms = seconds_ms(found.get(b"max-age"))
    max_stale_ms = seconds_ms(found.get(b"max-stale")) or 0
    if b"max-stale" in found and found[b"max-stale"] is None:
        max_stale_ms = FOREVER_MS  # of any age (§5.2.1.2)
    wish = Wish(
        reads=True,
        stores=stores,
        no_cache=b"no-cache" in found,
        only_if_cached=only_if_cached,
        max_age_ms=FOREVER_MS if max_age_ms is None else max_age_ms,
        min_fresh_ms=seconds_ms(found.get(b"min-fresh")) or 0,
        max_stale_ms=max_stale_ms,
    )
    return PLAIN if wish == PLAIN else wish


_remembered = lru_cache(maxsize=_REMEMBERED)(_directives)
