"""Whether a response may be stored, and on what terms it may be reused (RFC 9111 §3, §4.2, §5.2.2; RFC 5861).

Pure, never raises; times in epoch ms. All that a hit will ask is decided here, once. Tenant and public scope are
shared caches, user scope is a private one: to it ``private`` and Authorization are no obstacle, and s-maxage and
proxy-revalidate say nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from multidict import CIMultiDictProxy

from proxy.cache.dates import format_date, initial_age_ms, parse_age_ms, parse_date
from proxy.cache.directives import Directives, field_names, lifetime_ms, window_ms
from proxy.cache.entry import Terms
from proxy.cache.invalidation import names_itself
from proxy.cache.ranges import content_range
from proxy.cache.targeted import Governing, governing
from proxy.core.headers import HOP_BY_HOP, RawHeaders, get_all, list_members
from proxy.policy.caching import CacheScope, Caching, Profile

# RFC 9110 §15.1: reusable although nobody said for how long.
HEURISTICALLY_CACHEABLE: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
# Those whose caching this cache does by their definition: what must-understand asks for (§5.2.2.3).
UNDERSTOOD: Final = HEURISTICALLY_CACHEABLE | {302, 303, 307, 400, 401, 403, 500, 502, 503, 504}

_HEURISTIC_PART: Final = 10  # a tenth of its age then (§4.2.2)
_HEURISTIC_MOST_MS: Final = 24 * 3600 * 1000
_FIRST_ERROR: Final = 400
_PARTIAL: Final = 206
_NOT_MODIFIED: Final = 304
_UNSATISFIABLE: Final = 416
_COOKIES: Final = frozenset({b"set-cookie", b"set-cookie2"})
_CUTTING: Final = b"\r\n\0"


class NotStored(StrEnum):
    """Why a response is not stored."""

    METHOD = "method"
    STATUS = "status"
    NO_STORE = "no-store"
    REQUEST_NO_STORE = "request-no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    VARY_STAR = "vary-star"
    VARIES_BY_CALLER = "vary-caller"  # by a field of ours, which no later request can be compared by
    SET_COOKIE = "set-cookie"
    NO_LIFETIME = "no-lifetime"  # nobody says how long, or it says not at all and there is nothing to validate it by
    RANGE = "range"  # a part of which it is not clear what part
    MALFORMED = "malformed"  # a field that would cut a head in two


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a response answers. ``origin``: its scheme and authority; ``target`` in origin form;
    ``identified``: the gateway knows who asks, by whatever credential; ``untold``: lower-case names of fields that the
    app gets from the gateway, and that differ between those who would share what is stored.
    """

    method: str
    origin: str
    target: str
    headers: CIMultiDictProxy[str]
    identified: bool = False
    no_store: bool = False
    untold: frozenset[bytes] = frozenset()


def judge(
    asked: Asked, status: int, headers: RawHeaders, requested_ms: int, received_ms: int, caching: Caching
) -> Terms | NotStored:
    """The terms of a complete answer to ``asked``, or why it is not stored. ``headers`` as they came, Age included."""
    word = governing(headers)
    refusal = _refusal(asked, status, headers, word, caching)
    if refusal is not None:
        return refusal
    terms = _terms(status, headers, word, requested_ms, received_ms, caching)
    if terms is None:
        return NotStored.NO_LIFETIME
    if asked.method == "POST" and terms.heuristic:
        return NotStored.METHOD  # only with explicit freshness (RFC 9110 §9.3.3)
    validates = any(name.lower() in (b"etag", b"last-modified") for name, _ in headers)
    fresh = terms.lifetime_ms > terms.initial_age_ms and not terms.no_cache
    if not validates and not fresh and not terms.swr_ms and not terms.sie_ms:
        return NotStored.NO_LIFETIME
    return terms


def keepable(headers: RawHeaders, received_ms: int, caching: Caching) -> RawHeaders:
    """The fields to store (§3.1): not those of one hop, nor what Connection names, nor Age, which is in the terms.

    Those that no-cache or private name are left out too, so that the rest may be reused without asking (§5.2.2.4,
    §5.2.2.7). A Date that is missing or none is that of the receipt (RFC 9110 §6.6.1).
    """
    dropped = {b"age"}
    dropped.update(HOP_BY_HOP)
    for value in get_all(headers, b"connection"):
        dropped.update(list_members(value))
    dropped |= _narrowed(governing(headers).directives, caching)
    kept = [field for field in headers if field[0].lower() not in dropped]
    if _date_of(headers, received_ms) is None:
        kept = [field for field in kept if field[0].lower() != b"date"]
        kept.append((b"Date", format_date(received_ms)))
    return kept


def is_shared(caching: Caching) -> bool:
    """Whether more than one user is answered from it (§1)."""
    return caching.scope is not CacheScope.USER


# --- may it be stored --------------------------------------------------------------------------------------------


def _refusal(asked: Asked, status: int, headers: RawHeaders, word: Governing, caching: Caching) -> NotStored | None:
    if not _storable_method(asked, headers, caching):
        return NotStored.METHOD
    if not _storable_status(status, caching):
        return NotStored.STATUS
    if asked.no_store:
        return NotStored.REQUEST_NO_STORE
    safe = caching.profile is Profile.SAFE
    if (safe or caching.force) and any(name.lower() in _COOKIES for name, _ in headers):
        return NotStored.SET_COOKIE
    varies_by = {name for value in get_all(headers, b"vary") for name in list_members(value)}
    if b"*" in varies_by:
        return NotStored.VARY_STAR
    if varies_by & asked.untold:
        return NotStored.VARIES_BY_CALLER
    if status == _PARTIAL and content_range(headers) is None:
        return NotStored.RANGE
    if any(len(part.translate(None, _CUTTING)) != len(part) for field in headers for part in field):
        return NotStored.MALFORMED
    return None if caching.force else _forbidden(asked, status, word.directives, caching)


def _forbidden(asked: Asked, status: int, found: Directives, caching: Caching) -> NotStored | None:
    """What the app forbids, and §3.5 without its leave."""
    if b"must-understand" in found:  # no-store is then for those who don't (§5.2.2.3)
        if status not in UNDERSTOOD:
            return NotStored.STATUS
    elif b"no-store" in found:
        return NotStored.NO_STORE
    if not is_shared(caching):
        return None
    if b"private" in found and not found[b"private"]:
        return NotStored.PRIVATE
    by_credential = "Authorization" in asked.headers or (asked.identified and caching.profile is Profile.SAFE)
    permitted = caching.ttl_ms is not None or not found.keys().isdisjoint((b"public", b"must-revalidate", b"s-maxage"))
    return NotStored.AUTHORIZATION if by_credential and not permitted else None


def _storable_method(asked: Asked, headers: RawHeaders, caching: Caching) -> bool:
    if asked.method == "GET":
        return True
    # An answer to POST that says to be what GET would give (RFC 9110 §9.3.3).
    return (
        asked.method == "POST" and caching.profile is Profile.RFC and names_itself(asked.origin, asked.target, headers)
    )


def _storable_status(status: int, caching: Caching) -> bool:
    # A 304 is for who asked on a condition, a 416 for who asked for a range: neither is in a key.
    if status < 200 or status in (_NOT_MODIFIED, _UNSATISFIABLE):
        return False
    if caching.statuses:
        return status in caching.statuses
    return caching.ttl_ms is None or status in HEURISTICALLY_CACHEABLE


# --- for how long ------------------------------------------------------------------------------------------------


def _terms(
    status: int, headers: RawHeaders, word: Governing, requested_ms: int, received_ms: int, caching: Caching
) -> Terms | None:
    """None: nothing says how long it lives, and nothing may be guessed."""
    found = word.directives
    shared = is_shared(caching)
    date_ms = _date_of(headers, received_ms)
    if date_ms is None:
        date_ms = received_ms
    age_ms = initial_age_ms(parse_age_ms(get_all(headers, b"age")), date_ms, requested_ms, received_ms)
    no_cache = b"no-cache" in found and not found[b"no-cache"] and not caching.force
    heuristic = False
    if caching.ttl_ms is not None:
        length: int | None = age_ms + caching.ttl_ms  # from now on, whatever caches on the way have used up
    else:
        length = _explicit_ms(word, headers, date_ms, received_ms, shared=shared)
        if length is None and caching.profile is Profile.RFC:
            length = _heuristic_ms(status, headers, found, date_ms, received_ms)
            heuristic = length is not None
        if length is None and no_cache and status in HEURISTICALLY_CACHEABLE:
            length = 0
    if length is None:
        return None
    strict = not caching.force and (b"must-revalidate" in found or (shared and b"proxy-revalidate" in found))
    swr_ms = _window(caching.stale_while_revalidate_ms, found, b"stale-while-revalidate")
    sie_ms = _window(caching.stale_if_error_ms, found, b"stale-if-error")
    capped = status >= _FIRST_ERROR and caching.profile is Profile.SAFE
    if capped:
        length = min(length, age_ms + caching.error_ttl_ms)
    if strict or no_cache or capped:
        swr_ms = sie_ms = 0
    return Terms(
        received_ms=received_ms,
        initial_age_ms=age_ms,
        lifetime_ms=length,
        date_ms=date_ms,
        heuristic=heuristic,
        no_cache=no_cache,
        must_revalidate=strict or (shared and b"s-maxage" in found and not caching.force),
        swr_ms=swr_ms,
        sie_ms=sie_ms,
    )


def _window(of_policy: int | None, found: Directives, name: bytes) -> int:
    return of_policy if of_policy is not None else window_ms(found, name)


def _explicit_ms(word: Governing, headers: RawHeaders, date_ms: int, received_ms: int, *, shared: bool) -> int | None:
    """s-maxage before max-age before Expires less Date (§4.2.1). What is no number, or no date, is past."""
    found = word.directives
    length = lifetime_ms(found, b"s-maxage") if shared else None
    if length is None:
        length = lifetime_ms(found, b"max-age")
    if length is None and not word.targeted:
        expires = get_all(headers, b"expires")
        if expires:
            moment = parse_date(expires[0], received_ms)
            length = 0 if moment is None else max(moment - date_ms, 0)
    return length


def _heuristic_ms(status: int, headers: RawHeaders, found: Directives, date_ms: int, received_ms: int) -> int | None:
    """A tenth of what passed since it was modified (§4.2.2); 0: to be validated each time; None: not to be kept."""
    if status not in HEURISTICALLY_CACHEABLE and b"public" not in found:
        return None
    modified = get_all(headers, b"last-modified")
    moment = parse_date(modified[0], received_ms) if modified else None
    if moment is None:
        return 0
    return min(max(date_ms - moment, 0) // _HEURISTIC_PART, _HEURISTIC_MOST_MS)


def _date_of(headers: RawHeaders, received_ms: int) -> int | None:
    lines = get_all(headers, b"date")
    return parse_date(lines[0], received_ms) if lines else None


def _narrowed(found: Directives, caching: Caching) -> frozenset[bytes]:
    """Field names that no-cache, and for a shared cache private, are narrowed to."""
    names: frozenset[bytes] = frozenset()
    if caching.force:
        return names
    for directive in (b"no-cache", b"private") if is_shared(caching) else (b"no-cache",):
        if argument := found.get(directive):
            names |= field_names(argument)
    return names
