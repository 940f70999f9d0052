"""What a 304, or an answer to HEAD, does to a stored response (RFC 9111 §3.2, §4.3.4, §4.3.5). Pure, never raises."""

from dataclasses import dataclass, replace
from typing import Final

from proxy.cache.conditions import is_strong, same_opaque
from proxy.cache.entry import Stored, Terms
from proxy.cache.ranges import merged
from proxy.cache.terms import Asked, NotStored, judge, keepable
from proxy.cache.vary import selecting_fields
from proxy.core.headers import RawHeaders, get_all
from proxy.policy.caching import Caching, Profile

# Of the body that is held, which came with the fields that are held (§3.2).
_OF_THE_BODY: Final = frozenset({b"content-length", b"content-encoding", b"content-range", b"etag"})
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Freshened:
    """The response to answer with. ``refused``: why it may not be kept any longer, if so."""

    stored: Stored
    refused: NotStored | None = None


def freshen(
    stored: Stored, asked: Asked, headers: RawHeaders, requested_ms: int, received_ms: int, caching: Caching
) -> Freshened | None:
    """``stored`` as a 304 to our own conditional request leaves it (§4.3.4). ``headers`` are the 304's, as they came.

    None: the 304 speaks of another representation by its entity tag, and says nothing of ours: ask anew, without a
    condition. A tag that is ours but for its weakness is ours: compressing servers weaken it in a 200 alone. A weak one
    where ours has none is no other's: what was asked was its date.
    """
    etag = _first(headers, b"etag")
    if (is_strong(etag) or (etag and stored.etag)) and not same_opaque(etag, stored.etag):
        return None
    return _updated(stored, asked, headers, requested_ms, received_ms, caching)


def freshen_by_head(
    stored: Stored,
    asked: Asked,
    status: int,
    headers: RawHeaders,
    requested_ms: int,
    received_ms: int,
    caching: Caching,
) -> Freshened | None:
    """``stored``, the answer to GET, as an answer to HEAD leaves it (§4.3.5): None if it is outdated.

    A status other than 200 tells nothing of a stored one: it stays. Without any validator the standard lets the answer
    count; the safe profile does not believe that the body is still the same. Nobody does where the answer varies by
    fields that the stored one was not selected by: only an entity tag says that both requests get the same.
    """
    if status != _OK:
        return Freshened(stored)
    etag, modified = _first(headers, b"etag"), _first(headers, b"last-modified")
    length = _first(headers, b"content-length")
    whole = len(stored.body) if stored.range is None else stored.range[2]
    if (
        stored.status not in (_OK, 206)
        or (etag and etag != stored.etag)
        or (modified and modified != stored.modified)
        or (length and whole >= 0 and length != b"%d" % whole)
        or (caching.profile is Profile.SAFE and not etag and not modified)
    ):
        return None
    found = _updated(stored, replace(asked, method="GET"), headers, requested_ms, received_ms, caching)
    return found if etag or not regrouped(stored, found.stored) else None


def regrouped(stored: Stored, updated: Stored) -> bool:
    """Whether it varies by other fields than before: then it may no longer be selected as it was (§4.1)."""
    return [name for name, _ in stored.vary] != [name for name, _ in updated.vary]


def _updated(
    stored: Stored, asked: Asked, headers: RawHeaders, requested_ms: int, received_ms: int, caching: Caching
) -> Freshened:
    fields = merged(stored.headers, keepable(headers, received_ms, caching), but=_OF_THE_BODY)
    fields = keepable(fields, received_ms, caching)  # what the stored Cache-Control names is not kept of a 304 either
    ages = [field for field in headers if field[0].lower() == b"age"]
    verdict = judge(asked, stored.status, fields + ages, requested_ms, received_ms, caching)
    terms = verdict if isinstance(verdict, Terms) else stored.terms
    # Those of the request that was answered now: what Vary says may be new (§4.1).
    vary = selecting_fields(fields, asked.headers, caching.profile)
    updated = replace(
        stored,
        headers=fields,
        terms=terms,
        vary=stored.vary if vary is None else vary,
        fetch_ms=max(received_ms - requested_ms, 0),
        etag=_first(fields, b"etag"),
        modified=_first(fields, b"last-modified"),
        checked=-1,
        ready=None,
    )
    return Freshened(updated, None if isinstance(verdict, Terms) else verdict)


def _first(headers: RawHeaders, name: bytes) -> bytes:
    lines = get_all(headers, name)
    return lines[0] if lines else b""
